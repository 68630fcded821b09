// How the page is built: relative addresses, so that it works behind any prefix, and no code or style within the HTML.
import { defineConfig } from 'vite';

const server = process.env.STEPWELL_URL ?? 'http://127.0.0.1:5000';
// The server takes requests of its own pages only; the development server stands in for them.
const proxy = {
  target: server,
  changeOrigin: true,
  headers: { origin: server },
  configure: (proxy) => proxy.on('proxyReq', (request) => request.removeHeader('sec-fetch-site')),
};

export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    assetsDir: 'page/assets',
    emptyOutDir: false,
    modulePreload: { polyfill: false },
    target: 'es2022',
    assetsInlineLimit: 0,
    cssCodeSplit: false,
  },
  server: { proxy: { '/api': proxy, '/ajax-api': proxy, '/get-artifact': proxy, '/model-versions': proxy } },
});
