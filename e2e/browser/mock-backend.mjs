// The backend's API in memory, with real HLS behind it, for developing and testing the web application
// without a cluster. Parts go to a storage on a port of its own, so that CORS and CSP count as they do
// with S3.
//
//     node mock-backend.mjs [--port 8081] [--storage-port 8082] [--seed]

import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { DURATION, output, RENDITIONS, SOURCE_NAMES } from './lib/media.mjs';

export const TOKEN = 'mock-token';
const PART_SIZE = 5 * 1024 * 1024;

const TYPES = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mp4': 'video/mp4',
  '.m4s': 'video/mp4',
  '.vtt': 'text/vtt',
  '.jpg': 'image/jpeg',
};

class Refusal extends Error {
  constructor(status, title, detail, errors) {
    super(detail);
    this.problem = { type: 'about:blank', title, status, detail, ...(errors && { errors }) };
  }
}

const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The platform: videos, uploads, listeners. */
class Platform {
  videos = new Map();
  uploads = new Map();
  outputs = new Map();
  listeners = new Set();
  storageOrigin = '';
  /** Time of each step of a transcode, in ms. */
  pace = 250;
  #clock = 0;

  /** Times that never stand still, so that the order of changes is known. */
  now() {
    this.#clock = Math.max(this.#clock + 1, Date.now());
    return new Date(this.#clock).toISOString();
  }

  put(video, change) {
    const next = { ...video, ...change, updatedAt: this.now() };
    this.videos.set(video.id, next);
    this.tell('video', next);
    return next;
  }

  tell(event, data) {
    for (const response of this.listeners) response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  create({ fileName, size, contentType, title }) {
    const now = this.now();
    const video = {
      id: randomUUID(), title: title ?? fileName.replace(/\.[^.]+$/, ''), fileName, size, contentType,
      state: 'Uploading', percent: 0, attempt: 1, createdAt: now, updatedAt: now,
    };
    return this.put(video, {});
  }

  async ready(video, source) {
    // Each attempt has an output of its own.
    const { attempt } = this.videos.get(video.id);
    const identity = `${video.id.replaceAll('-', '').slice(0, 18)}${String(attempt).padStart(2, '0')}`;
    this.outputs.set(identity, await output(source));
    const at = (path) => `/media/${identity}/${path}`;
    return this.put(this.videos.get(video.id), {
      state: 'Ready', percent: 100, durationSeconds: DURATION, renditions: RENDITIONS, failure: undefined,
      playback: { hls: at('master.m3u8'), dash: at('manifest.mpd'), poster: at('poster.jpg'), storyboard: at('storyboard.vtt') },
    });
  }

  fail(video, reason, message) {
    return this.put(this.videos.get(video.id), { state: 'Failed', failure: { reason, message } });
  }

  /** What becomes of an upload, by its first bytes. */
  async transcode(video, bytes) {
    await later(this.pace);
    this.put(this.videos.get(video.id), { state: 'Queued', percent: 0 });
    for (const percent of [0, 20, 45, 70, 90]) {
      await later(this.pace);
      if (!this.videos.has(video.id)) return;
      this.put(this.videos.get(video.id), { state: 'Transcoding', percent });
      if (percent === 20 && bytes.subarray(4, 8).toString('latin1') !== 'ftyp') {
        this.fail(video, 'NOT_MEDIA', `${video.fileName} holds no video and no audio. Upload a media file.`);
        return;
      }
    }
    await this.ready(video, 'pattern');
  }
}

/** Examples of every state. */
async function seed(platform) {
  const titles = ['Sunrise over the delta', 'Fractal journey', 'Colour bars, reference', 'Evening light', 'Deep zoom'];
  for (const [index, title] of titles.entries()) {
    const video = platform.create({ title, fileName: `clip-${index}.mp4`, size: 18_400_000 * (index + 1), contentType: 'video/mp4' });
    await platform.ready(video, SOURCE_NAMES[index % SOURCE_NAMES.length]);
  }
  const make = (title, fileName, size) => platform.create({ title, fileName, size, contentType: 'video/mp4' });
  platform.fail(make('Meeting notes', 'notes.mp4', 4_096), 'NOT_MEDIA', 'The file holds text, no video and no audio. Upload a media file.');
  platform.fail(make('Interview, second camera', 'cam-b.mov', 912_000_000), 'TRUNCATED', 'The file ends after 4.4 of 18.0 s. Upload it again from its source.');
  platform.fail(make('GPU test', 'gpu.mp4', 1_000_000), 'GPU_LOST', 'The encoder’s device went away.');
  platform.put(make('Harbour timelapse', 'harbour.mp4', 412_000_000), { state: 'Transcoding', percent: 62 });
  platform.put(make('Panel discussion', 'panel.mkv', 2_310_000_000), { state: 'Queued' });
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const json = async (request) => JSON.parse((await body(request)).toString('utf8'));

function reply(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(value === undefined ? undefined : JSON.stringify(value));
}

function guard(request) {
  if (request.headers.authorization !== `Bearer ${TOKEN}`) {
    throw new Refusal(401, 'Unauthorized', 'The API token is missing or wrong.');
  }
}

function targets(platform, upload) {
  const count = Math.max(1, Math.ceil(upload.size / PART_SIZE));
  return Array.from({ length: count }, (_, index) => index + 1)
    .filter((partNumber) => !upload.parts.has(partNumber))
    .map((partNumber) => ({ partNumber, url: `${platform.storageOrigin}/${upload.id}/${partNumber}` }));
}

function found(map, id) {
  const value = map.get(id);
  if (value === undefined) throw new Refusal(404, 'Not Found', 'There is no such video.');
  return value;
}

function page(platform, query) {
  const state = query.get('state');
  const limit = Number(query.get('limit') ?? 24);
  const from = Number(query.get('cursor') ?? 0);
  const all = [...platform.videos.values()]
    .filter((video) => state === null || video.state === state)
    .sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  const nextCursor = from + limit < all.length ? String(from + limit) : undefined;
  return { items: all.slice(from, from + limit), nextCursor };
}

function events(platform, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': hello\n\n');
  platform.listeners.add(response);
  response.on('close', () => platform.listeners.delete(response));
}

async function createUpload(platform, request, response) {
  const wanted = await json(request);
  if (wanted.size > 20 * 2 ** 30) {
    const errors = [{ field: 'size', message: 'is more than 20 GiB' }];
    throw new Refusal(422, 'Unprocessable Content', 'The upload is not possible.', errors);
  }
  const video = platform.create(wanted);
  const upload = { id: video.id, size: wanted.size, parts: new Map() };
  platform.uploads.set(video.id, upload);
  reply(response, 201, { videoId: video.id, partSize: PART_SIZE, parts: targets(platform, upload) });
}

async function complete(platform, id, request, response) {
  const upload = found(platform.uploads, id);
  const { parts } = await json(request);
  const whole = parts.every(({ partNumber, etag }) => upload.parts.get(partNumber)?.etag === etag);
  if (!whole || targets(platform, upload).length > 0) throw new Refusal(409, 'Conflict', 'A part is missing.');
  platform.uploads.delete(id);
  const first = upload.parts.get(1).bytes;
  const video = platform.put(platform.videos.get(id), { state: 'Queued' });
  reply(response, 200, video);
  await platform.transcode(video, first);
}

function remove(platform, id, response) {
  found(platform.videos, id);
  platform.videos.delete(id);
  platform.uploads.delete(id);
  platform.tell('deleted', { id });
  response.writeHead(204).end();
}

const ROUTES = [
  ['GET', /^\/api\/events$/, (p, _m, _q, response) => events(p, response)],
  ['GET', /^\/api\/videos$/, (p, _m, request, response, query) => reply(response, 200, page(p, query))],
  ['GET', /^\/api\/videos\/([^/]+)$/, (p, [, id], _r, response) => reply(response, 200, found(p.videos, id))],
  ['DELETE', /^\/api\/videos\/([^/]+)$/, (p, [, id], request, response) => (guard(request), remove(p, id, response))],
  ['POST', /^\/api\/videos\/([^/]+)\/retranscode$/, async (p, [, id], request, response) => {
    guard(request);
    const video = found(p.videos, id);
    reply(response, 202, p.put(video, { state: 'Queued', percent: 0, attempt: video.attempt + 1 }));
    await p.transcode(video, Buffer.from('____ftyp'));
  }],
  ['POST', /^\/api\/uploads$/, (p, _m, request, response) => (guard(request), createUpload(p, request, response))],
  ['GET', /^\/api\/uploads\/([^/]+)$/, (p, [, id], request, response) => {
    guard(request);
    const upload = found(p.uploads, id);
    const uploadedParts = [...upload.parts].map(([partNumber, { etag, bytes }]) => ({ partNumber, etag, size: bytes.length }));
    reply(response, 200, { videoId: id, partSize: PART_SIZE, uploadedParts, parts: targets(p, upload) });
  }],
  ['POST', /^\/api\/uploads\/([^/]+)\/complete$/, (p, [, id], request, response) => (guard(request), complete(p, id, request, response))],
  ['DELETE', /^\/api\/uploads\/([^/]+)$/, (p, [, id], request, response) => (guard(request), remove(p, id, response))],
  ['GET', /^\/media\/([a-z0-9]+)\/(.+)$/, (p, match, request, response) => media(p, match, request, response)],
];

async function media(platform, [, identity, path], request, response) {
  const file = join(found(platform.outputs, identity), normalize(`/${path}`));
  const { size } = await stat(file).catch(() => {
    throw new Refusal(404, 'Not Found', 'There is no such file.');
  });
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const headers = { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'accept-ranges': 'bytes' };
  if (range === null) {
    response.writeHead(200, { ...headers, 'content-length': size });
    createReadStream(file).pipe(response);
    return;
  }
  const start = Number(range[1]);
  const end = range[2] === '' ? size - 1 : Math.min(size - 1, Number(range[2]));
  response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${end}/${size}`, 'content-length': end - start + 1 });
  createReadStream(file, { start, end }).pipe(response);
}

async function answer(platform, request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://mock');
  for (const [method, pattern, handle] of ROUTES) {
    const match = pattern.exec(pathname);
    if (match !== null && request.method === method) return handle(platform, match, request, response, searchParams);
  }
  throw new Refusal(404, 'Not Found', `${request.method} ${pathname} is nothing here.`);
}

function refuse(response, error) {
  const problem = error.problem ?? { title: 'Internal Server Error', status: 500, detail: String(error) };
  if (response.headersSent) return;
  response.writeHead(problem.status, { 'content-type': 'application/problem+json' });
  response.end(JSON.stringify(problem));
}

/** Takes parts, as S3 does with the CORS rules of the platform. */
async function store(platform, faults, request, response) {
  const cors = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'ETag' };
  if (request.method === 'OPTIONS') {
    response.writeHead(204, { ...cors, 'access-control-allow-methods': 'PUT', 'access-control-allow-headers': '*' }).end();
    return;
  }
  const bytes = await body(request);
  const fault = faults.shift();
  const [, id, number] = request.url.split('/');
  const upload = platform.uploads.get(id);
  if (fault !== undefined || upload === undefined) {
    response.writeHead(fault ?? 404, cors).end();
    return;
  }
  const etag = `"${id.slice(0, 8)}-${number}-${bytes.length}"`;
  upload.parts.set(Number(number), { etag, bytes: bytes.subarray(0, 64) });
  response.writeHead(200, { ...cors, etag }).end();
}

const listen = (server, port) =>
  new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)));

/**
 * Starts backend and storage on free ports, or on given ones.
 * `faults` are the statuses that the next parts meet; `close` ends everything.
 */
export async function startMock({ port = 0, storagePort = 0, seeded = false } = {}) {
  const platform = new Platform();
  const faults = [];
  const api = createServer((request, response) => {
    answer(platform, request, response).catch((error) => refuse(response, error));
  });
  const storage = createServer((request, response) => {
    store(platform, faults, request, response).catch((error) => refuse(response, error));
  });
  platform.storageOrigin = await listen(storage, storagePort);
  const url = await listen(api, port);
  if (seeded) await seed(platform);
  const close = () => {
    for (const server of [api, storage]) {
      server.closeAllConnections();
      server.close();
    }
  };
  return { url, storageOrigin: platform.storageOrigin, platform, faults, close };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8081' },
      'storage-port': { type: 'string', default: '8082' },
      seed: { type: 'boolean', default: false },
    },
  });
  const mock = await startMock({ port: Number(values.port), storagePort: Number(values['storage-port']), seeded: values.seed });
  console.log(`backend ${mock.url}, storage ${mock.storageOrigin}, token ${TOKEN}`);
}
