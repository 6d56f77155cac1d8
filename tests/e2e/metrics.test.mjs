// `GET /metrics` (README, "Watch"): what is counted, what is open, the dashboard, and Analytics Engine.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join as path } from "node:path";
import { after, before, describe, test } from "node:test";
import { generateKeyPair, SignJWT } from "jose";
import { ROOT } from "../tools/tools.mjs";
import { accepted, ADMIN, call, closedByServer, cutWhile, emit, emitted, enter, engine, eventually, handshake, inbound, io, ioConnected, join, messageOf, newNumber, rawConnect, serve, SERVICE, serveWithTwilio, sleep, token } from "./harness.mjs";

/** workerd takes an object out of memory after 10 s without anything. */
const IDLE_MS = 13_500;
const DASHBOARD = "tests/tools/grafana/dialtone.json";
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });

const text = async (server) => {
  const { status, headers, body } = await call(server, "GET", "/metrics", { as: SERVICE });
  assert.deepEqual([status, headers.get("content-type")], [200, "text/plain; version=0.0.4; charset=utf-8"]);
  return body;
};

/** `{samples: {name or name{label="value"}: number}, families: {name: kind}}`, without the prefix. */
function parse(body) {
  const samples = {};
  const families = {};
  for (const line of body.trimEnd().split("\n")) {
    const [, name, kind] = line.match(/^# TYPE dialtone_(\w+) (counter|gauge|histogram)$/) ?? [];
    if (name) families[name] = kind;
    else if (!/^# HELP dialtone_\w+ \S.*\.$/.test(line)) {
      const [, series, value] = line.match(/^dialtone_(\w+(?:\{\w+="[\w.+]+"\})?) (\d+)$/) ?? assert.fail(`no sample: ${line}`);
      assert.ok(!(series in samples), `${series} twice`);
      samples[series] = Number(value);
    }
  }
  return { samples, families };
}
const samples = async (server) => parse(await text(server)).samples;

/** What has grown by how much while `something` went on: those that have. */
async function grown(server, something) {
  const was = await samples(server);
  await something();
  const is = await samples(server);
  return Object.fromEntries(Object.entries(is).map(([name, value]) => [name, value - was[name]]).filter(([, by]) => by !== 0));
}

/** These are among what has grown, by just so much. */
function has(all, expected) {
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((name) => [name, all[name] ?? 0])), expected, JSON.stringify(all));
}

/** Until these are so. */
const becomes = (server, expected) =>
  eventually(JSON.stringify(expected), async () => {
    const now = await samples(server);
    return Object.entries(expected).every(([name, value]) => now[name] === value);
  }, 20_000);

const wires = (plain, polling, websocket) => ({ 'connections{wire="plain"}': plain, 'connections{wire="polling"}': polling, 'connections{wire="websocket"}': websocket });

/** An HTTP server that answers with `status` and remembers bodies. */
async function listener(t, status = 200, { port = 0, answer = "{}" } = {}) {
  const bodies = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    bodies.push(body);
    response.writeHead(status).end(answer);
  }).listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve)));
  t.after(close);
  return { port: server.address().port, bodies, close };
}

describe("what is counted", { concurrency: 4, timeout: 120_000 }, () => {
  test("connections are by wire, true over upgrades, sleep and closes", async (t) => {
    const server = await serve(t);
    has(await samples(server), wires(0, 0, 0));
    const plain = [await join(t, server, "demo:1", person("ann")), await join(t, server, "demo:1", person("bob")), await join(t, server, "demo:2", person("ann"))];
    const polling = await ioConnected(t, server, person("pol"), { transports: ["polling"] });
    const upgraded = await ioConnected(t, server, person("upg"), { transports: ["polling", "websocket"] });
    await becomes(server, wires(3, 1, 1));
    assert.equal(polling.socket.io.engine.transport.name, "polling");
    polling.close();
    await becomes(server, wires(3, 0, 1));
    // Asleep nothing changes, and asking wakes nobody.
    const { "wakes_total{cause=\"constructor\"}": made } = await samples(server);
    await sleep(IDLE_MS);
    has(await samples(server), wires(3, 0, 1));
    await plain[0].ask("note", 1);
    const awake = await samples(server);
    assert.ok(awake['wakes_total{cause="constructor"}'] > made, "it slept");
    has(awake, wires(3, 0, 1));
    await plain[2].close();
    upgraded.close();
    await becomes(server, wires(2, 0, 0));
    plain[0].socket.terminate();
    await becomes(server, wires(1, 0, 0));
    await plain[1].close();
    await becomes(server, wires(0, 0, 0));
  });

  test("publications, duplicates, deliveries, presence, hops and turns", async (t) => {
    // No ping is among the deliveries meanwhile.
    const server = await serve(t, { vars: { PING_INTERVAL_MS: 300_000 } });
    const ann = await join(t, server, "demo:1", person("ann"));
    const bob = await enter(t, server, "demo:1", person("bob"));
    await ann.frame((frame) => frame.event === "presence_diff");
    const all = await grown(server, async () => {
      for (const id of ["a", "b", "b"]) assert.equal((await call(server, "POST", "/rooms/demo:1/events", { as: person("cat"), body: { event: "note", data: id, id } })).status, 200);
      await ann.frame((frame) => frame.offset === 2);
      await bob.event("note", (data) => data === "b");
    });
    has(all, { publications_total: 2, duplicates_total: 1, deliveries_total: 4 });
    assert.ok(all.hops_total >= 1 && all.turn_inputs_count >= 3 && all.turn_inputs_sum >= all.turn_inputs_count, JSON.stringify(all));
    assert.equal(all['turn_inputs_bucket{le="+Inf"}'], all.turn_inputs_count);
    const now = await samples(server);
    assert.ok(now['presence_changes_total{change="join"}'] >= 2);
    await bob.close();
    // Of this room, and of the own one that he was in too.
    const left = 'presence_changes_total{change="leave"}';
    await becomes(server, { [left]: now[left] + 2 });
  });

  test("refusals are by code, whatever was refused", async (t) => {
    const server = await serve(t, { vars: { RATE_EVENTS_PER_SECOND: 1, RATE_BURST: 1 } });
    const refused = (code, something) => grown(server, something).then((all) => assert.ok(all[`refusals_total{code="${code}"}`] >= 1, `${code}: ${JSON.stringify(all)}`));
    await refused("unauthorized", () => call(server, "GET", "/rooms/demo:1/history"));
    await refused("token_expired", () => call(server, "GET", "/rooms/demo:1/history", { as: { sub: "ann", exp: 1 } }));
    await refused("forbidden", () => call(server, "GET", "/rooms/demo:1/history", { as: { sub: "eve" } }));
    await refused("not_found", () => call(server, "GET", "/api/nothing"));
    await refused("method_not_allowed", () => call(server, "PUT", "/api/emit", { as: SERVICE }));
    await refused("origin_not_allowed", () => call(server, "GET", "/rooms/demo:1/history", { headers: { origin: "https://evil.example" } }));
    await refused("invalid_namespace", () => io(t, server, person("ann"), { namespace: "/nowhere" }).connected().catch(() => {}));
    await refused("unauthorized", () => io(t, server, "garbage").connected().catch(() => {}));
    const ann = await join(t, server, "demo:1", person("ann"));
    await refused("rate_limited", async () => {
      for (let n = 0; n < 5; n++) ann.send({ event: "note", id: `r${n}` });
      await ann.frame((frame) => frame.error?.code === "rate_limited");
    });
    const bob = await ioConnected(t, server, person("bob"));
    await refused("rate_limited", async () => {
      const acks = await Promise.all(Array.from({ length: 5 }, () => bob.ask("test")));
      assert.ok(acks.some(({ error }) => error?.code === "rate_limited"));
    });
  });

  test("who comes back, and why it is not with what was missed", async (t) => {
    const server = await serve(t, { vars: { HISTORY_MAX_MESSAGES: 10, RECOVERY_WINDOW_MS: 1_500 } });
    const ann = await join(t, server, "demo:1", person("ann"));
    const { epoch } = (await ann.event("connected")).data;
    for (let n = 1; n <= 40; n++) await ann.ask("note", n);
    for (const [since, result] of [[`${epoch}:40`, "recovered"], ["nowhere:40", "epoch"], [`${epoch}:99`, "ahead"], [`${epoch}:1`, "pruned"]]) {
      const all = await grown(server, () => join(t, server, "demo:1", person("bob"), { query: { since } }));
      has(all, { [`resumes_total{result="${result}"}`]: 1 });
    }
    const cat = await enter(t, server, "demo:1", person("cat"));
    has(await grown(server, () => cutWhile(cat, () => {})), { 'recoveries_total{result="recovered"}': 1 });
    has(await grown(server, () => cutWhile(cat, () => sleep(2_500))), { 'recoveries_total{result="recovered"}': 0, 'recoveries_total{result="window_over"}': 1 });
    has(await grown(server, () => rawConnect(t, server, person("cat"), { query: { recovery: "1" }, pid: "lobby:0.unknown" })), { 'recoveries_total{result="unknown"}': 1 });
  });

  test("the outbox says how much is owed and for how long, and what became of each post", async (t) => {
    const down = await listener(t, 503);
    const server = await serve(t, { vars: { EVENT_WEBHOOK_URL: `http://127.0.0.1:${down.port}/`, EVENT_WEBHOOK_SECRET: "a-webhook-secret-of-a-test" } });
    has(await samples(server), { outbox_entries: 0, outbox_oldest_age_seconds: 0 });
    await call(server, "PUT", "/rooms/chat:1/members/bob", { as: SERVICE });
    await call(server, "PUT", "/rooms/chat:1/members/ann", { as: SERVICE });
    const ann = await join(t, server, "chat:1", { sub: "ann" });
    await ann.ask("send_message", { message: "hi" });
    await becomes(server, { outbox_entries: 1 });
    await eventually("it grows older", async () => (await samples(server)).outbox_oldest_age_seconds >= 2);
    assert.ok((await samples(server))['event_webhook_posts_total{result="failed"}'] >= 1);
    await down.close();
    await listener(t, 200, { port: down.port });
    await becomes(server, { outbox_entries: 0, outbox_oldest_age_seconds: 0, 'event_webhook_posts_total{result="ok"}': 1 });
  });

  test("Twilio's answers and its webhooks", async (t) => {
    const { api, server } = await serveWithTwilio(t);
    const line = newNumber();
    const [sent, refused] = [newNumber(), newNumber()];
    const fields = { From: sent, To: line, MessageSid: `SM${"0".repeat(32)}` };
    const all = await grown(server, async () => {
      await inbound(server, fields);
      await inbound(server, fields);
      await inbound(server, fields, { authToken: "f".repeat(32) });
      await accepted(server, line, sent, { id: "m-1", body: "hi" });
      await messageOf(server, line, sent, "m-1", ({ messageSid }) => messageSid);
      api.next(line, { status: 400, code: 21211 });
      await accepted(server, line, refused, { id: "m-2", body: "hi" });
      await messageOf(server, line, refused, "m-2", "failed");
    });
    has(all, {
      'twilio_calls_total{outcome="sent"}': 1,
      'twilio_calls_total{outcome="refused"}': 1,
      'twilio_webhooks_total{result="accepted"}': 1,
      'twilio_webhooks_total{result="duplicate"}': 1,
      'twilio_webhooks_total{result="refused"}': 1,
    });
    await becomes(server, { twilio_unsent_messages: 0 });
  });

  test("the issuer's key set", async (t) => {
    const { privateKey } = await generateKeyPair("ES256");
    const jwt = await new SignJWT(person("ann")).setProtectedHeader({ alg: "ES256", kid: "k" }).setExpirationTime("5m").sign(privateKey);
    for (const [status, body, result] of [[500, "{}", "failed"], [200, '{"keys":[]}', "ok"]]) {
      const issuer = await listener(t, status, { answer: body });
      const server = await serve(t, { vars: { JWT_JWKS_URL: `http://127.0.0.1:${issuer.port}/` } });
      await call(server, "GET", "/rooms/demo:1/history", { headers: { authorization: `Bearer ${jwt}` } });
      const fetches = await samples(server);
      for (const one of ["ok", "failed"]) assert.equal(fetches[`jwks_fetches_total{result="${one}"}`] > 0, one === result, JSON.stringify(fetches));
    }
  });

  test("no client makes a label: the series are the same after anything that anyone sends", async (t) => {
    const server = await serve(t);
    const names = async () => Object.keys(await samples(server));
    const before = await names();
    const ann = await join(t, server, `demo:${"x".repeat(100)}`, person('ann"} 1 evil_total 1'));
    await ann.ask('evil"}', 1);
    await call(server, "GET", "/rooms/nokind:1/%22%7D");
    await call(server, "EVIL", "/rooms/demo:1/events", { as: person("ann") }).catch(() => {});
    await engine(server, "GET", { EIO: "9", sid: "evil" });
    assert.deepEqual(await names(), before);
  });
});

describe("what reads it", { concurrency: 4 }, () => {
  let server;
  let exposed;
  const ends = [];
  after(() => Promise.all(ends.map((end) => end())));
  before(async () => {
    server = await serve({ after: (end) => ends.push(end) });
    exposed = parse(await text(server));
  });

  test("every metric has a row in the README, and every row is a metric", () => {
    const [, section] = readFileSync(path(ROOT, "README.md"), "utf8").match(/\n### Metrics\n([^]*?)\n### /) ?? assert.fail("no section");
    const rows = [...section.matchAll(/^\| `dialtone_(\w+)/gm)].map(([, name]) => name);
    assert.deepEqual(rows.toSorted(), Object.keys(exposed.families).toSorted());
  });

  test("each of the dashboard's queries names metrics and labels that there are, and every metric is on it", () => {
    const dashboard = JSON.parse(readFileSync(path(ROOT, DASHBOARD), "utf8"));
    const panels = dashboard.panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);
    const queries = panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => expr));
    assert.ok(queries.length >= 15);
    const series = new Set(Object.keys(exposed.samples));
    const base = new Set([...series].map((name) => name.replace(/\{.*/, "")));
    const used = new Set();
    for (const query of queries) {
      const names = [...query.matchAll(/dialtone_(\w+)(?:\{([^}]*)\})?/g)];
      assert.ok(names.length > 0, query);
      for (const [, name, labels = ""] of names) {
        assert.ok(base.has(name), `${query}: there is no dialtone_${name}`);
        used.add(name.replace(/_(bucket|sum|count)$/, ""));
        for (const [, label, values] of labels.matchAll(/(\w+)=~?"([^"]*)"/g)) {
          if (values.startsWith("$")) continue;
          for (const value of values.split("|")) assert.ok(series.has(`${name}{${label}="${value}"}`), `${query}: ${name} has no ${label}="${value}"`);
        }
      }
      for (const [, labels] of query.matchAll(/by ?\(([^)]*)\)/g)) {
        for (const label of labels.split(/, */)) assert.ok(["instance", "job"].includes(label) || [...series].some((one) => one.includes(`{${label}=`)), `${query}: no ${label}`);
      }
    }
    assert.deepEqual(Object.keys(exposed.families).filter((name) => !used.has(name)), []);
    const ids = panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const { title, gridPos, datasource, type } of panels) assert.ok(title && gridPos && (type === "row" || datasource.uid === "${datasource}"), title);
  });

  test("promtool finds nothing wrong with it, where there is a promtool", async (t) => {
    const promtool = process.env.PROMTOOL ?? "promtool";
    if (spawnSync(promtool, ["--version"]).error) return t.skip("no promtool");
    execFileSync(promtool, ["check", "metrics"], { input: await text(server) });
  });
});

describe("Analytics Engine", { concurrency: 2, timeout: 120_000 }, () => {
  test("where it is bound, what has happened goes there: a point in ten seconds at most, each count once", async (t) => {
    const sink = await listener(t);
    const server = await serve(t, { analytics: `127.0.0.1:${sink.port}` });
    const points = () => sink.bodies.map((body) => JSON.parse(body));
    const ann = await join(t, server, "demo:1", person("ann"));
    const began = Date.now();
    let sent = 0;
    await eventually("three points", async () => {
      await ann.ask("note", ++sent);
      return points().length >= 3;
    }, 90_000);
    const most = Math.floor((Date.now() - began) / 10_000) + 2;
    assert.ok(points().length <= most, `${points().length} points in ${Date.now() - began} ms`);
    const total = points().reduce((sum, { double3 }) => sum + double3, 0);
    assert.ok(total >= 1 && total <= sent, `${total} publications of ${sent}`);
    const { publications_total, analytics_points_total } = await samples(server);
    assert.equal(publications_total, sent);
    assert.equal(analytics_points_total, points().length);
    const last = points().at(-1);
    assert.equal(last.double16, 1, "one plain WebSocket");
    assert.equal(Buffer.from(last.blob1).toString(), JSON.parse(readFileSync(path(ROOT, "package.json"), "utf8")).version);
    assert.equal(new Set(points().map(({ index1 }) => Buffer.from(index1).toString())).size, 1, "one isolate");
    assert.match(Buffer.from(last.index1).toString(), /^[0-9a-f]{32}$/);
    // Nobody asks: nothing is written, and nothing runs.
    const before = points().length;
    await sleep(IDLE_MS);
    assert.equal(points().length, before);
  });

  test("where it is not, nothing is written, and all else is as it was", async (t) => {
    const server = await serve(t);
    const ann = await join(t, server, "demo:1", person("ann"));
    await ann.ask("note", 1);
    await sleep(10_500);
    await ann.ask("note", 2);
    has(await samples(server), { analytics_points_total: 0, publications_total: 2 });
    assert.equal(server.logs.join("").includes("error"), false, server.logs.join(""));
  });

  test("README's columns are those that are written", () => {
    const [, section] = readFileSync(path(ROOT, "README.md"), "utf8").match(/\n### Analytics Engine\n([^]*?)\n## /) ?? assert.fail("no section");
    const columns = [...section.matchAll(/`double(\d+)`/g)].map(([, n]) => Number(n));
    for (let n = 1; n <= 20; n++) assert.ok(columns.includes(n), `double${n}`);
    assert.match(readFileSync(path(ROOT, "wrangler.toml"), "utf8"), /# \[\[analytics_engine_datasets\]\]\n# binding = "ANALYTICS"/);
  });
});
