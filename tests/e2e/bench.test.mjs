// The benchmark measures, and one that loses messages is none. How fast anything is does not matter here.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { Crowd } from "../bench/crowd.mjs";
import { plain } from "../bench/dialects.mjs";
import { node22, ROOT, toolEnv } from "../tools/tools.mjs";

/** `npm run bench` to its end. */
const bench = (...args) =>
  new Promise((resolve) => {
    execFile(node22(), [path.join(ROOT, "tests/bench/bench.mjs"), ...args], { cwd: ROOT, env: toolEnv() }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });

test("what it measures is there as JSON and Markdown, positive and finite, and each contender has delivered everything", { timeout: 180_000 }, async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), "dialtone-e2e-bench-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const json = path.join(dir, "bench.json");
  const contenders = ["raw-js", "node-recovery", "ours-plain", "ours-home", "ours-lobby"];
  const { code, stdout, stderr } = await bench(
    ...["--quick", "--rounds", "1", "--scale", "0.1", "--only", "fan-out-100,round-trip", "--contenders", contenders.join(), "--json", json],
  );
  assert.equal(code, 0, stderr);
  const report = JSON.parse(readFileSync(json, "utf8"));
  assert.deepEqual(report.scenarios.map(({ id }) => id), ["fan-out-100", "round-trip"]);
  for (const { id, columns, rows } of report.scenarios) {
    const expected = contenders.filter((contender) => id === "fan-out-100" || contender !== "node-recovery");
    assert.deepEqual(rows.map(({ contender }) => contender), expected, id);
    for (const { contender, rounds } of rows) {
      assert.equal(rounds.length, 1, contender);
      const figures = Object.entries(rounds[0]);
      assert.ok(figures.length >= 2, contender);
      for (const [key, value] of figures) assert.ok(Number.isFinite(value) && value > 0, `${id}, ${contender}: ${key} is ${value}`);
    }
    for (const { key } of columns) assert.ok(rows.some(({ rounds }) => rounds[0][key] > 0), `${id}: nobody has ${key}`);
  }
  const goal = report.goals.find(({ what, against }) => what.startsWith("CPU per delivery") && against === "raw-js");
  assert.deepEqual(goal.measured.map(({ contender }) => contender), ["ours-home", "ours-lobby"]);
  assert.equal(goal.met, goal.measured.every(({ value }) => value <= 1));
  for (const { title } of report.scenarios) assert.ok(stdout.includes(`**${title}.**`), title);
  assert.match(stdout, /durable first, order, dedupe by id/);
  assert.match(stderr, /round 1 of 1/);
});

test("a name that it does not know is one sentence", async () => {
  for (const args of [["--only", "nonsense"], ["--contenders", "nonsense"], ["--rounds", "none"], ["--quick", "--readme"]]) {
    const { code, stdout, stderr } = await bench(...args);
    assert.deepEqual([code, stdout], [1, ""], args.join(" "));
    assert.match(stderr, /^[^\n]+\.\n$/, args.join(" "));
  }
});

test("an event that is lost, doubled or out of order, an ack that is missing or a refusal ends it", async (t) => {
  /** A server of two that does to the listener's frames and the sender's acks what `spoil` says, and what comes of it. */
  const spoilt = async (spoil) => {
    const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
    t.after(() => server.close());
    await once(server, "listening");
    server.on("connection", (sender) =>
      sender.on("message", (text) => {
        const { event, data, id } = JSON.parse(text);
        const [listener] = [...server.clients].filter((client) => client !== sender);
        const { frames, acks } = spoil(JSON.stringify({ event, data }), { ack: id }, Number(id));
        for (const frame of frames) listener.send(frame);
        for (const ack of acks) sender.send(JSON.stringify(ack));
      }),
    );
    const contender = { id: "spoilt", dialect: plain({ greets: false }), path: () => "/" };
    const crowd = await Crowd.join(contender, server.address(), { size: 2, stallMs: 300 });
    t.after(() => crowd.close());
    const sent = await crowd.publish((sent) => sent < 10, 4);
    return sent + (await crowd.publish((sent) => sent < 1, 1));
  };
  assert.equal(await spoilt((frame, ack) => ({ frames: [frame], acks: [ack] })), 11);
  const held = [];
  for (const [what, spoil, message] of [
    ["lost", (frame, ack, id) => ({ frames: id === 5 ? [] : [frame], acks: [ack] }), /event \d+ came where \d+ was due/],
    ["the last is lost", (frame, ack, id) => ({ frames: id === 10 ? [] : [frame], acks: [ack] }), /waited in vain for 10 acks \(10 came\) and 10 deliveries \(9 came\)/],
    ["doubled", (frame, ack, id) => ({ frames: id === 5 ? [frame, frame] : [frame], acks: [ack] }), /event \d+ came where \d+ was due/],
    ["the last is doubled", (frame, ack, id) => ({ frames: id === 10 ? [frame, frame] : [frame], acks: [ack] }), /has heard up to|came where/],
    ["out of order", (frame, ack, id) => ({ frames: id === 5 ? (held.push(frame), []) : id === 6 ? [frame, ...held] : [frame], acks: [ack] }), /came where/],
    ["no ack", (frame, ack, id) => ({ frames: [frame], acks: id === 10 ? [] : [ack] }), /waited in vain for 10 acks \(9 came\)/],
    ["another's ack", (frame, ack, id) => ({ frames: [frame], acks: id === 5 ? [{ ack: "6" }] : [ack] }), /the ack of 6 came where that of 5 was due/],
    ["refused", (frame, ack, id) => ({ frames: [frame], acks: id === 5 ? [{ ...ack, error: { code: "rate_limited" } }] : [ack] }), /refused.*rate_limited/],
  ]) {
    await assert.rejects(spoilt(spoil), ({ message: said }) => message.test(said), what);
  }
});
