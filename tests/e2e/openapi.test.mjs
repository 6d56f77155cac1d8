// The OpenAPI document of the HTTP API, and the routes behind it: judged by Schemathesis, which tries what the document
// allows and what it forbids. (That every route is in the document is a test of src/router.rs.)

import assert from "node:assert/strict";
import * as path from "node:path";
import { describe, test } from "node:test";
import { findSchemathesis, schemathesisHint } from "../tools/schemathesis.mjs";
import { ROOT, run, toolEnv } from "../tools/tools.mjs";
import { call, persistDir, serve, serveWithTwilio, SERVICE, token } from "./harness.mjs";

const SCHEMATHESIS = findSchemathesis();
const CONFIG = path.join(ROOT, "tests/e2e/schemathesis.toml");
/** Forty seconds for both on two quiet cores. */
const TIMEOUT_MS = 180_000;

test("the OpenAPI document is served as JSON, to anyone", async (t) => {
  const server = await serve(t);
  const { status, headers, body } = await call(server, "GET", "/openapi.json");
  assert.equal(status, 200);
  assert.match(headers.get("content-type"), /^application\/json/);
  assert.match(body.openapi, /^3\.1\./);
});

/** What the document's examples ask for. */
async function fill(server) {
  const { paths } = (await call(server, "GET", "/openapi.json")).body;
  const as = { ...SERVICE, rooms: ["*"] };
  for (const [template, name] of [["/api/jobs/{id}", "7"], ["/api/analytics/{brandId}", "acme"], ["/api/users/{id}/notifications", "ann"]]) {
    const body = paths[template].post.requestBody.content["application/json"].example;
    const { status } = await call(server, "POST", template.replace(/{.+}/, name), { as, body });
    assert.equal(status, 200, template);
  }
  const template = "/api/lines/{number}/conversations/{contact}/messages";
  const { text } = paths[template].post.requestBody.content["application/json"].examples;
  const [line, contact] = ["+15550100002", "+15550100001"].map(encodeURIComponent);
  assert.equal((await call(server, "POST", template.replace("{number}", line).replace("{contact}", contact), { as, body: text.value })).status, 202);
  const message = { event: "send_message", data: { message: "hello" } };
  assert.equal((await call(server, "POST", "/rooms/chat:42/events", { as, body: message })).status, 200);
}

describe("Schemathesis", { concurrency: 2 }, () => {
  const options = { timeout: TIMEOUT_MS, skip: !SCHEMATHESIS && schemathesisHint };
  for (const [who, claims] of [
    ["a backend", { ...SERVICE, rooms: ["*"] }],
    ["a customer", { sub: "ann", role: "customer", rooms: ["*"] }],
  ]) {
    test(`what the document says is true for ${who}`, options, async (t) => {
      const server = (await serveWithTwilio(t)).server;
      await fill(server);
      const args = ["--config-file", CONFIG, "--no-color", "run", `${server.url}/openapi.json`, "--header", `Authorization:Bearer ${token(claims)}`];
      const { code, stdout, stderr } = await run(SCHEMATHESIS, args, {
        cwd: persistDir(t), // Hypothesis leaves a folder where it runs
        env: toolEnv({ PYTHONHASHSEED: "0" }),
        signal: t.signal,
        stdio: ["ignore", "pipe", "pipe"],
        allowFailure: true,
      });
      assert.ok(code === 0, `Schemathesis ended with ${code}:\n${stdout}${stderr}`);
      const [, generated] = stdout.match(/(\d+) generated/);
      assert.ok(generated > 1000, `only ${generated} requests:\n${stdout}`);
    });
  }
});
