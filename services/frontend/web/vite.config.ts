import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const backend = process.env['BACKEND_URL'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    // No data: URLs: the Content-Security-Policy admits files of this origin only.
    assetsInlineLimit: 0,
    // The player is a chunk of its own and brings hls.js, which is about this large.
    chunkSizeWarningLimit: 650,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/api': { target: backend, changeOrigin: false },
      '/media': { target: backend, changeOrigin: false },
    },
  },
  test: {
    environment: 'node',
    include: ['src/**/*.test.ts'],
  },
});
