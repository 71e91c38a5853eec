/** Sends one part to S3 with progress, which fetch can't report. */

/** A part that storage refused, or acknowledged without its ETag (its HTTP status), or that did not arrive (0). */
export class PartError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'PartError';
    this.status = status;
  }
}

export interface PartRequest {
  url: string;
  body: Blob;
  progress: (bytes: number) => void;
  signal: AbortSignal;
}

export type PutPart = (request: PartRequest) => Promise<string>;

/** A request that moves nothing for this long, in ms, is given up and retried. */
const STALL_LIMIT = 60_000;

/** Puts a part and returns its ETag. Rejects with `PartError`, or with the signal's reason when aborted. */
export const putPart: PutPart = ({ url, body, progress, signal }) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    let stall: ReturnType<typeof setTimeout>;
    const abort = () => request.abort();
    const watch = () => {
      clearTimeout(stall);
      stall = setTimeout(abort, STALL_LIMIT);
    };
    const fail = (status: number, message: string) =>
      reject(signal.aborted ? (signal.reason as Error) : new PartError(status, message));

    request.upload.onprogress = (event) => {
      watch();
      progress(event.loaded);
    };
    request.onload = () => {
      if (request.status < 200 || request.status > 299) {
        fail(request.status, `Storage answered with status ${request.status}.`);
        return;
      }
      const etag = request.getResponseHeader('etag');
      if (etag === null) fail(request.status, 'Storage hides the ETag: its CORS rules must expose that header.');
      else resolve(etag);
    };
    request.onerror = () => fail(0, 'Storage can’t be reached.');
    request.onabort = () => fail(0, 'Storage did not take the data in time.');
    request.onloadend = () => {
      clearTimeout(stall);
      signal.removeEventListener('abort', abort);
    };
    signal.addEventListener('abort', abort, { once: true });
    request.open('PUT', url);
    watch();
    request.send(body);
  });
