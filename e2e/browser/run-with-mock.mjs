// Runs the browser tests against the frontend's server with the mock backend behind it: no cluster needed.
//
//     node run-with-mock.mjs
//
// FRONTEND_BIN   the server; left out, it is built with cargo
// WEB_ROOT       the built web application; left out, it is built with Vite

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { startFrontend } from './lib/frontend.mjs';
import { startMock, TOKEN } from './mock-backend.mjs';

const WORKSPACE = resolve(import.meta.dirname, '../..');
const WEB = resolve(WORKSPACE, 'services/frontend/web');

/** Standard output is for the tests' own report. */
const build = (command, ...args) => execFileSync(command, args, { cwd: WORKSPACE, stdio: ['ignore', 2, 2] });

if (process.env.WEB_ROOT === undefined) {
  build('npm', '--prefix', WEB, 'run', 'build');
  process.env.WEB_ROOT = resolve(WEB, 'dist');
}
if (process.env.FRONTEND_BIN === undefined) {
  build('cargo', 'build', '--locked', '--package', 'frontend');
  process.env.FRONTEND_BIN = resolve(WORKSPACE, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/frontend');
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const mock = await startMock({ seeded: true });
const frontend = await startFrontend(mock);
const tests = spawn(process.execPath, ['--test', '--test-concurrency=1', 'tests/platform.test.mjs', 'tests/application.test.mjs'], {
  cwd: import.meta.dirname,
  env: { ...process.env, FRONTEND_URL: frontend.url, API_TOKEN: TOKEN },
  stdio: 'inherit',
});
const [code] = await once(tests, 'exit');
await frontend.close();
mock.close();
process.exitCode = code ?? 1;
