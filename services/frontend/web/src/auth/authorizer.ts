/** Brings the API token to the calls that need one: asked once, kept, and asked again when refused. */

import { ApiError } from '../api/client';

/** The person closed the dialog instead of giving a token. */
export class TokenDeclined extends Error {
  constructor() {
    super('This needs the API token of the platform.');
    this.name = 'TokenDeclined';
  }
}

export interface TokenQuestion {
  /** Why a token is asked for again. */
  error?: string;
  answer: (token: string, remember: boolean) => void;
  decline: () => void;
}

type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

const KEY = 'apiToken';

export class Authorizer {
  readonly #session: Store;
  readonly #lasting: Store;
  #question: TokenQuestion | undefined;
  #asked: Promise<string> | undefined;
  #watchers = new Set<() => void>();

  constructor(session: Store, lasting: Store) {
    this.#session = session;
    this.#lasting = lasting;
  }

  /** Calls with the token; where it is refused, asks for another one and calls again. */
  authorized = async <T>(call: (token: string) => Promise<T>): Promise<T> => {
    let token = this.#token() ?? (await this.#ask());
    for (;;) {
      try {
        return await call(token);
      } catch (error) {
        if (!(error instanceof ApiError && error.refusesToken)) throw error;
        const current = this.#token();
        if (current !== undefined && current !== token) {
          token = current;
          continue;
        }
        this.forget();
        token = await this.#ask('This token was refused. Check it and try again.');
      }
    }
  };

  /** Whether a token is kept. */
  known = (): boolean => this.#token() !== undefined;

  forget(): void {
    this.#session.removeItem(KEY);
    this.#lasting.removeItem(KEY);
    this.#changed();
  }

  watch = (changed: () => void): (() => void) => {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  };

  /** What the dialog has to ask now. */
  question = (): TokenQuestion | undefined => this.#question;

  #token(): string | undefined {
    return this.#session.getItem(KEY) ?? this.#lasting.getItem(KEY) ?? undefined;
  }

  /** Calls that need a token at the same time share one dialog. */
  #ask(error?: string): Promise<string> {
    this.#asked ??= new Promise<string>((resolve, reject) => {
      const close = () => {
        this.#asked = undefined;
        this.#question = undefined;
        this.#changed();
      };
      this.#question = {
        ...(error === undefined ? {} : { error }),
        answer: (token, remember) => {
          (remember ? this.#lasting : this.#session).setItem(KEY, token);
          close();
          resolve(token);
        },
        decline: () => {
          close();
          reject(new TokenDeclined());
        },
      };
      this.#changed();
    });
    return this.#asked;
  }

  #changed(): void {
    this.#watchers.forEach((changed) => changed());
  }
}
