import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // Processes, because each of them reads NODE_EXTRA_CA_CERTS at its start.
    pool: "forks",
    globalSetup: "./simulator.js",
    setupFiles: "./redirect.js",
    testTimeout: 60_000,
  },
});
