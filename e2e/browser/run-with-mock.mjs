// Runs all browser tests against the frontend's server with the mock backend behind it: no cluster needed.
//
//     node run-with-mock.mjs
//
// FRONTEND_BIN   the server (default: target/debug/frontend of the workspace)
// WEB_ROOT       the built web application (default: services/frontend/web/dist)

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startFrontend } from './lib/frontend.mjs';
import { startMock, TOKEN } from './mock-backend.mjs';

const mock = await startMock({ seeded: true });
const frontend = await startFrontend(mock);
const files = ['tests/platform/platform.test.mjs', 'tests/application/application.test.mjs'];
const tests = spawn(process.execPath, ['--test', '--test-concurrency=1', ...files], {
  cwd: import.meta.dirname,
  env: { ...process.env, FRONTEND_URL: frontend.url, API_TOKEN: TOKEN },
  stdio: 'inherit',
});
const [code] = await once(tests, 'exit');
await frontend.close();
mock.close();
process.exitCode = code ?? 1;
