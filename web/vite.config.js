// Why: one build, into the Python package, with nothing inlined so that the page's strict
// Content-Security-Policy (self only) holds.
import { defineConfig } from "vite";

export default defineConfig({
  base: "/",
  build: {
    outDir: "../src/greenroom/stage/page",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1200,
  },
  server: { proxy: { "/ws": { target: "ws://127.0.0.1:8470", ws: true } } },
});
