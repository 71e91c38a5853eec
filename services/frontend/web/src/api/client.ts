import type { NewUpload, Problem, SentPart, Upload, UploadStatus, Video, VideoPage } from './types';

/** A request that the backend refused, or that did not reach it (status 0). */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }

  /** The token is missing or wrong. */
  get refusesToken(): boolean {
    return this.status === 401 || this.status === 403;
  }

  /** Asking again later may help. */
  get transient(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

interface Options {
  token?: string;
  body?: unknown;
  signal?: AbortSignal | undefined;
}

/** What to tell a person about a refused request. */
export function problemMessage(status: number, problem: Problem | undefined): string {
  const fields = problem?.errors?.map(({ field, message }) => `${field}: ${message}`).join('; ');
  const text = [problem?.detail ?? problem?.title, fields].filter(Boolean).join(' — ');
  if (text) return text;
  if (status === 502 || status === 503 || status === 504) {
    return 'The server is not available at the moment. Try again in a little while.';
  }
  return `The server answered with status ${status}.`;
}

async function readProblem(response: Response): Promise<Problem | undefined> {
  try {
    return (await response.json()) as Problem;
  } catch {
    return undefined;
  }
}

async function send(method: string, path: string, { token, body, signal }: Options): Promise<Response> {
  const headers = new Headers({ accept: 'application/json' });
  if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
  if (body !== undefined) headers.set('content-type', 'application/json');
  const init: RequestInit = { method, headers, signal: signal ?? null };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(`/api${path}`, init);
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, 'The server can’t be reached. Check the connection.');
  }
  if (!response.ok) throw new ApiError(response.status, problemMessage(response.status, await readProblem(response)));
  return response;
}

async function read<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await send(method, path, options);
  return (await response.json()) as T;
}

export interface VideoQuery {
  state?: string | undefined;
  cursor?: string | undefined;
  limit?: number;
}

function queryString({ state, cursor, limit }: VideoQuery): string {
  const query = new URLSearchParams();
  if (limit !== undefined) query.set('limit', String(limit));
  if (state !== undefined) query.set('state', state);
  if (cursor !== undefined) query.set('cursor', cursor);
  const text = query.toString();
  return text ? `?${text}` : '';
}

const segment = encodeURIComponent;

export const api = {
  videos: (query: VideoQuery, signal?: AbortSignal) =>
    read<VideoPage>('GET', `/videos${queryString(query)}`, { signal }),
  video: (id: string, signal?: AbortSignal) => read<Video>('GET', `/videos/${segment(id)}`, { signal }),
  deleteVideo: async (token: string, id: string) => {
    await send('DELETE', `/videos/${segment(id)}`, { token });
  },
  retranscode: (token: string, id: string) =>
    read<Video>('POST', `/videos/${segment(id)}/retranscode`, { token }),
  createUpload: (token: string, body: NewUpload) => read<Upload>('POST', '/uploads', { token, body }),
  uploadStatus: (token: string, videoId: string) =>
    read<UploadStatus>('GET', `/uploads/${segment(videoId)}`, { token }),
  completeUpload: (token: string, videoId: string, parts: SentPart[]) =>
    read<Video>('POST', `/uploads/${segment(videoId)}/complete`, { token, body: { parts } }),
  abortUpload: async (token: string, videoId: string) => {
    await send('DELETE', `/uploads/${segment(videoId)}`, { token });
  },
};

export type Api = typeof api;
