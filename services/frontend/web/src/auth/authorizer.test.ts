import { expect, it } from 'vitest';
import { ApiError } from '../api/client';
import { Authorizer, TokenDeclined } from './authorizer';

class Memory {
  readonly items = new Map<string, string>();
  getItem = (key: string) => this.items.get(key) ?? null;
  setItem = (key: string, value: string) => void this.items.set(key, value);
  removeItem = (key: string) => void this.items.delete(key);
}

function authorizer() {
  const session = new Memory();
  const lasting = new Memory();
  return { session, lasting, auth: new Authorizer(session, lasting) };
}

const needs = (right: string) => (token: string) =>
  token === right ? Promise.resolve('done') : Promise.reject(new ApiError(401, 'no'));

it('asks once for calls that come together, and keeps the token for the session', async () => {
  const { auth, session, lasting } = authorizer();
  const calls = Promise.all([auth.authorized(needs('good')), auth.authorized(needs('good'))]);
  auth.question()?.answer('good', false);
  expect(await calls).toEqual(['done', 'done']);
  expect(auth.question()).toBeUndefined();
  expect([session.items.size, lasting.items.size]).toEqual([1, 0]);
});

it('asks again, saying so, when the token is refused', async () => {
  const { auth, lasting } = authorizer();
  lasting.setItem('apiToken', 'old');
  const call = auth.authorized(needs('good'));
  await expect.poll(() => auth.question()?.error).toMatch(/refused/);
  expect(auth.known()).toBe(false);
  auth.question()?.answer('good', true);
  expect(await call).toBe('done');
  expect(lasting.items.size).toBe(1);
});

it('lets other errors through and does not ask again for them', async () => {
  const { auth, session } = authorizer();
  session.setItem('apiToken', 'good');
  const refused = auth.authorized(() => Promise.reject(new ApiError(413, 'too large')));
  await expect(refused).rejects.toThrow('too large');
  expect(auth.known()).toBe(true);
});

it('gives up when the person does', async () => {
  const { auth } = authorizer();
  const call = auth.authorized(needs('good'));
  auth.question()?.decline();
  await expect(call).rejects.toBeInstanceOf(TokenDeclined);
});
