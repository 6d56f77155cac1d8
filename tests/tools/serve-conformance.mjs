// `npm run serve:conformance`: what the official suites of Engine.IO and Socket.IO run against. The same artefact with
// the cargo feature `conformance` (their handlers, no tokens) and their timings; builds it where it is missing or old.
//
//   npm run serve:conformance -- --port P [--var NAME=VALUE]… [--persist DIR] [--verbose]

import { randomBytes } from "node:crypto";
import { build } from "./build.mjs";
import { parseCommandLine, serve, sayListening } from "./serve.mjs";
import { main } from "./tools.mjs";

const BUILD_DIR = "build-conformance";

/** What the suites expect of their server (docs/*-protocol/*-test-suite in socketio/socket.io); `--var` wins. */
const VARS = {
  PING_INTERVAL_MS: "300",
  PING_TIMEOUT_MS: "200",
  MAX_PAYLOAD_BYTES: "1000000",
  CONNECT_TIMEOUT_MS: "1000",
  RECOVERY_WINDOW_MS: "0",
  ALLOWED_ORIGINS: "*",
};

main(import.meta.url, async (args) => {
  const options = parseCommandLine(args);
  const JWT_SECRET = randomBytes(48).toString("base64url");
  const vars = Object.entries({ ...VARS, JWT_SECRET, ...Object.fromEntries(options.vars) });
  await build({ outDir: BUILD_DIR, cargoArgs: ["--features", "conformance"], log: console.error });
  process.exitCode = await serve({ ...options, vars, buildDir: BUILD_DIR, onListening: sayListening });
});
