// The OpenAPI document of the HTTP API, and the routes behind it: judged by Schemathesis, which tries what the document
// allows and what it forbids. (That every route is in the document is a test of src/router.rs.)

import assert from "node:assert/strict";
import * as path from "node:path";
import { describe, test } from "node:test";
import { findSchemathesis, schemathesisHint } from "../tools/schemathesis.mjs";
import { ROOT, run, toolEnv } from "../tools/tools.mjs";
import { call, persistDir, serve, SERVICE, token } from "./harness.mjs";

const SCHEMATHESIS = findSchemathesis();
const CONFIG = path.join(ROOT, "tests/e2e/schemathesis.toml");
/** Half a minute each on two quiet cores. */
const TIMEOUT_MS = 180_000;

test("the OpenAPI document is served as JSON, to anyone", async (t) => {
  const server = await serve(t);
  const { status, headers, body } = await call(server, "GET", "/openapi.json");
  assert.equal(status, 200);
  assert.match(headers.get("content-type"), /^application\/json/);
  assert.match(body.openapi, /^3\.1\./);
});

describe("Schemathesis", { concurrency: 2, skip: !SCHEMATHESIS && schemathesisHint }, () => {
  for (const [who, claims] of [
    ["a backend", SERVICE],
    ["a customer", { sub: "ann", role: "customer", rooms: ["*"] }],
  ]) {
    test(`what the document says is true for ${who}`, { timeout: TIMEOUT_MS }, async (t) => {
      const server = await serve(t);
      const args = ["--config-file", CONFIG, "--no-color", "run", `${server.url}/openapi.json`, "--header", `Authorization:Bearer ${token(claims)}`];
      const { code, stdout, stderr } = await run(SCHEMATHESIS, args, {
        cwd: persistDir(t), // Hypothesis leaves a folder where it runs
        env: toolEnv({ PYTHONHASHSEED: "0" }),
        signal: t.signal,
        stdio: ["ignore", "pipe", "pipe"],
        allowFailure: true,
      });
      assert.ok(code === 0, `Schemathesis ended with ${code}:\n${stdout}${stderr}`);
      t.diagnostic(stdout.match(/\d+ generated/)?.[0] ?? "nothing generated?");
    });
  }
});
