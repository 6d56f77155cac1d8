// `npm run soak`, for less than a minute: nothing is lost beside those who mean harm, and each of them gets the answer that is due.

import assert from "node:assert/strict";
import { test } from "node:test";
import { growth, rise, soak } from "../soak/soak.mjs";
import { crowd, Traffic } from "../soak/traffic.mjs";
import { eventually, serve } from "./harness.mjs";

test("beside hostile clients of fifteen kinds no message is lost, twice or out of order, and each assault has its answer", { timeout: 300_000 }, async (t) => {
  const result = await soak({ minutes: 0.75, clients: 75, hostile: 20, say: (line) => t.diagnostic(line) });
  t.diagnostic(`p50 ${Math.round(result.p50)} ms, p99 ${Math.round(result.p99)} ms, memory ${JSON.stringify(result.memory)}`);
  assert.deepEqual(result.wrong, []);
  assert.ok(result.accepted > 100, `${result.accepted} accepted`);
  const due = {
    "garbage frames": ["bad_request", "invalid_payload", "closed with 1008"],
    oversize: ["closed with 1009", "413 payload_too_large"],
    "past the rate": ["rate_limited"],
    "never answers": ["ended by the server"],
    "half handshakes": ["HTTP 200", "HTTP 400", "no answer"],
    "connects and goes": ["came and went"],
    "parallel polls": ["HTTP 400"],
    "bad tokens": ["401 unauthorized", "401 token_expired", "HTTP 401"],
    "forged webhooks": ["403 forbidden", "413 payload_too_large"],
    "history scans": ["HTTP 200", "400 bad_request"],
    "joins and leaves": ["rate_limited"],
    "bad requests": ["400 bad_request", "403 forbidden", "404 not_found", "405 method_not_allowed", "422 invalid_payload"],
    "says what it may": ["accepted"],
  };
  for (const [kind, answers] of Object.entries(due)) {
    const missing = answers.filter((answer) => !result.answers[kind]?.[answer]);
    assert.deepEqual(missing, [], `${kind}: ${JSON.stringify(result.answers[kind])}`);
  }
  // Ten minutes say whether memory is flat; this, that it does not run away.
  assert.ok(growth(result) < 100, `memory: ${JSON.stringify(result.memory)}`);
});

test("what is lost, twice, out of order, in nobody's history or where it was not accepted is found", { timeout: 120_000 }, async (t) => {
  const server = await serve(t);
  const traffic = new Traffic(server, { everyMs: 50 });
  t.after(() => traffic.close());
  await traffic.start(crowd(traffic, { count: 9, rooms: 1, line: "+15550100078" }));
  const [stock, plain] = traffic.people;
  await eventually("something to be heard", () => stock.segments[0].heard.length > 5 && plain.segments[0].heard.length > 5);
  await traffic.finish();
  const check = async () => {
    traffic.wrong = [];
    return (await traffic.check(server, 200)).wrong;
  };
  assert.deepEqual(await check(), []);
  const { heard } = stock.segments[0];
  for (const [what, spoil, message] of [
    ["lost", (keys) => keys.splice(2, 1), /heard \d+ where \d+ was due/],
    ["the last is lost", (keys) => keys.pop(), /heard \d+ of \d+/],
    ["twice", (keys) => keys.splice(3, 0, keys[2]), /heard \d+ again where/],
    ["the last twice", (keys) => keys.push(keys.at(-1)), /heard \d+ again where undefined/],
    ["out of order", (keys) => keys.splice(2, 2, keys[3], keys[2]), /where \d+ was due/],
  ]) {
    const whole = [...heard];
    spoil(heard);
    const wrong = await check();
    assert.equal(wrong.length, 1, what);
    assert.match(wrong[0], message, what);
    heard.splice(0, heard.length, ...whole);
  }
  plain.accepted.set(999_999, 5);
  assert.match((await check()).join(), /999999 was accepted and is lost/);
  plain.accepted.delete(999_999);
  const [[key, offset]] = plain.accepted;
  plain.accepted.set(key, offset + 1);
  assert.match((await check()).join(), /was accepted as \d+ and is \d+/);
});

test("growth is that of a line through the points, whatever jumps around it", () => {
  for (const [points, expected] of [
    [[[0, 100], [1, 100], [2, 100]], 0],
    [[[0, 100], [5, 150], [10, 200]], 100],
    [[[0, 110], [1, 90], [2, 110], [3, 90], [4, 110]], 0],
    [[[0, 200], [10, 100]], -100],
  ]) assert.ok(Math.abs(rise(points) - expected) < 1e-9, JSON.stringify(points));
});
