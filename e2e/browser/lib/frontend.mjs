// Starts the frontend's server in front of a mock backend.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { until } from './until.mjs';

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

const answers = (url) => fetch(url).then(({ ok }) => ok, () => false);

/** Starts `FRONTEND_BIN` with `WEB_ROOT` on `port`, or on a free one; `close` ends it. */
export async function startFrontend(mock, port) {
  const env = process.env;
  const chosen = port ?? (await freePort());
  const url = `http://127.0.0.1:${chosen}`;
  const server = spawn(env.FRONTEND_BIN, [], {
    env: {
      PATH: env.PATH,
      PORT: String(chosen),
      METRICS_PORT: '0',
      WEB_ROOT: env.WEB_ROOT,
      BACKEND_URL: mock.url,
      UPLOAD_ORIGINS: mock.storageOrigin,
      SHUTDOWN_DELAY: '0s',
      SHUTDOWN_TIMEOUT: '1s',
      RUST_LOG: 'warn',
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.once('exit', () => server.kill('SIGKILL'));
  const failed = once(server, 'error').then(([error]) => {
    throw new Error(`${env.FRONTEND_BIN} does not start: ${error.message}`);
  });
  const exited = once(server, 'exit').then(([code]) => {
    throw new Error(`${env.FRONTEND_BIN} ended with ${code}`);
  });
  await Promise.race([until('the frontend answers', () => answers(`${url}/health`)), failed, exited]);
  failed.catch(() => undefined);
  exited.catch(() => undefined);
  const close = async () => {
    if (server.exitCode !== null) return;
    server.kill('SIGTERM');
    await once(server, 'exit');
  };
  return { url, port: chosen, close };
}
