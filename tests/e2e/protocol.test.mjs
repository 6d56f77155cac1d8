// Engine.IO v4 and Socket.IO v5 by hand, and what strangers send (DESIGN §3.9): each bad input has one defined answer,
// its memory is bounded, and everybody else goes on.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, closedByServer, engine, engineSocket, eventually, handshake, io, ioConnected, rawConnect, serve, sleep, token, workerdOf } from "./harness.mjs";
import { residentBytes } from "../bench/measure.mjs";

const MB = 1_000_000;
const ORIGIN = "https://app.example";

let server;
const ends = [];
let count = 0;

const room = () => `demo:${++count}`;
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const connectPacket = (sub) => `40${JSON.stringify({ token: token(person(sub)) })}`;

before(async () => {
  const vars = { RATE_EVENTS_PER_SECOND: 100_000, RATE_BURST: 1_000_000, ALLOWED_ORIGINS: ORIGIN, RECOVERY_WINDOW_MS: 0 };
  server = await serve({ after: (end) => ends.push(end) }, { vars });
});
after(async () => {
  const logs = server.logs.join("");
  await Promise.all(ends.map((end) => end()));
  assert.doesNotMatch(logs, /panicked|unreachable|RuntimeError/);
});

/** Two stock clients in one room who must not notice anything. */
async function bystanders(t, to = server) {
  const name = room();
  const [bob, carol] = [await ioConnected(t, to, person("bob")), await ioConnected(t, to, person("carol"))];
  for (const client of [bob, carol]) assert.equal((await client.ask("join", name)).ok, true);
  let said = 0;
  return {
    name,
    bob,
    carol,
    /** Bob's message reaches Carol once, on the connections that they had. */
    async goOn(what) {
      const data = ++said;
      const ack = await bob.ask("send", { room: name, event: "note", data });
      assert.equal(ack.ok, true, `${what}: ${JSON.stringify(ack)}`);
      await carol.event("note", (heard) => heard === data, 20_000);
      assert.deepEqual(carol.all("note"), Array.from({ length: said }, (_, n) => n + 1), what);
      assert.equal(to.child.exitCode, null, `${what}: the server ended`);
    },
  };
}

/** A GET of the session, and a POST to it. */
const poll = (sid, query = {}) => engine(server, "GET", { sid, ...query });
const push = (sid, body, headers) => engine(server, "POST", { sid }, { body, headers });

/** A polling session that has connected to `/` and read all that came of it. */
async function polling(sub) {
  const { sid } = await handshake(server);
  assert.equal((await push(sid, connectPacket(sub))).text, "ok");
  let seen = "";
  while (!seen.includes('"connected"')) seen += (await poll(sid)).text;
  return sid;
}

/** The error with which a WebSocket was refused as HTTP, or how it was closed (Node's server opens some first). */
const refusedOrClosed = (client) => client.opened().then(() => closedByServer(client), (error) => error);

function assertError({ status, headers, text }, code, message, httpStatus = 400) {
  assert.deepEqual([status, text], [httpStatus, JSON.stringify({ code, message })]);
  assert.match(headers.get("content-type"), /^application\/json/);
}

describe("Engine.IO by hand", { concurrency: 8, timeout: 60_000 }, () => {
  test("each of the protocol's six errors has its exact status and body", async () => {
    const { sid } = await handshake(server);
    const rows = [
      [0, "Transport unknown", "GET", { transport: undefined }],
      [0, "Transport unknown", "GET", { transport: "pigeon" }],
      [0, "Transport unknown", "GET", { transport: "pigeon", sid }],
      [1, "Session ID unknown", "GET", { sid: "unknown" }],
      [1, "Session ID unknown", "POST", { sid: "lobby:0.unknown" }],
      [2, "Bad handshake method", "POST", {}],
      [2, "Bad handshake method", "PUT", {}],
      [2, "Bad handshake method", "DELETE", {}],
      [3, "Bad request", "GET", { transport: "websocket" }],
      [3, "Bad request", "GET", { transport: "websocket", sid }],
      [5, "Unsupported protocol version", "GET", { EIO: undefined }],
      [5, "Unsupported protocol version", "GET", { EIO: "3" }],
      [5, "Unsupported protocol version", "GET", { EIO: "abc" }],
    ];
    for (const [code, message, method, query] of rows) {
      const response = await engine(server, method, query);
      assert.deepEqual([response.status, response.text], [400, JSON.stringify({ code, message })], `${method} ${JSON.stringify(query)}`);
    }
    assertError(await engine(server, "GET", {}, { headers: { origin: "https://evil.example" } }), 4, "Forbidden", 403);
  });

  test("a WebSocket is refused with the same errors, or closed", async (t) => {
    for (const [query, code] of [
      [{ EIO: "3" }, 5],
      [{ EIO: undefined }, 5],
      [{ transport: "pigeon" }, 0],
      [{ transport: undefined }, 0],
      [{ sid: "lobby:0.unknown" }, 1],
    ]) {
      const refusal = await refusedOrClosed(engineSocket(t, server, query));
      if (refusal.status) assert.deepEqual([refusal.status, refusal.body.code], [400, code], JSON.stringify(query));
    }
  });

  test("a session id that is unknown, foreign, forged or huge is Session ID unknown, and opens no object's door", async (t) => {
    const others = await bystanders(t);
    const { sid } = await handshake(server);
    const dot = sid.lastIndexOf(".");
    const [home, secret] = [sid.slice(0, dot), sid.slice(dot + 1)];
    const sids = [`${home}.${[...secret].reverse().join("")}`, `lobby:99.${secret}`, `chat:1.${secret}`, `user:bob.${secret}`, `demo:${"x".repeat(128)}.a`];
    sids.push(secret, home, `${home}.`, `.${secret}`, ".", "..", "a.b.c", "../../etc/passwd", "%00", "\u0000", "ü.é", "x".repeat(8_000), `${sid} `, `${sid}x`);
    for (const bad of sids) assertError(await poll(bad), 1, "Session ID unknown");
    for (const bad of sids) assertError(await push(bad, "3"), 1, "Session ID unknown");
    assert.equal((await push(sid, "3")).text, "ok", "the session itself is untouched");
    await others.goOn("foreign session ids");
  });

  test("a second GET while one waits: the first gets 200 `1`, the second 400, and the session is over", async () => {
    const sid = await polling("dup");
    const first = poll(sid);
    await sleep(100);
    const second = await poll(sid);
    assert.deepEqual([(await first).status, (await first).text, second.status], [200, "1", 400]);
    assertError(await poll(sid), 1, "Session ID unknown");
    assertError(await push(sid, "3"), 1, "Session ID unknown");
  });

  test("a GET that the client gives up ends the session", async () => {
    const sid = await polling("gone");
    const controller = new AbortController();
    const given = engine(server, "GET", { sid }, { signal: controller.signal }).catch(() => "aborted");
    await sleep(100);
    controller.abort();
    assert.equal(await given, "aborted");
    // workerd does not tell of it; the next GET is a second one.
    assert.equal((await poll(sid)).status, 400);
    assert.equal((await push(sid, "3")).status, 400);
  });

  test("the upgrade: 2probe, 3probe, a noop to the waiting GET, and after 5 everything goes over the WebSocket", async (t) => {
    const sid = await polling("up");
    const waiting = poll(sid);
    await sleep(50);
    const socket = engineSocket(t, server, { sid });
    await socket.opened();
    socket.send("2probe");
    await socket.frame((frame) => frame === "3probe");
    assert.equal((await waiting).text, "6");
    socket.send("5");
    socket.send('421["test","over the WebSocket"]');
    await socket.frame((frame) => frame === '42["test","over the WebSocket"]');
    await socket.frame((frame) => frame === '431[{"ok":true}]');
    // Refused, and the connection is none the worse.
    assert.equal((await poll(sid)).status, 400);
    assert.equal((await push(sid, "3")).status, 400);
    await refusedOrClosed(engineSocket(t, server, { sid }));
    socket.send('422["test","still there"]');
    await socket.frame((frame) => frame === '432[{"ok":true}]');
  });

  test("what is sent while the upgrade is under way arrives once and in order", async (t) => {
    for (let round = 0; round < 5; round++) {
      const { bob, name } = await bystanders(t);
      const upgrading = await io(t, server, person("upgrading"), { transports: ["polling", "websocket"] }).connected();
      const joined = upgrading.ask("join", name);
      for (let n = 0; n < 40; n++) bob.socket.emit("send", { room: name, event: "note", data: n });
      assert.equal((await joined).ok, true);
      for (let n = 40; n < 80; n++) bob.socket.emit("send", { room: name, event: "note", data: n });
      await upgrading.event("note", (data) => data === 79, 20_000);
      const notes = upgrading.all("note");
      assert.deepEqual(notes, Array.from({ length: notes.length }, (_, n) => 80 - notes.length + n));
    }
  });

  test("an upgrade that is never finished leaves the polling session as it was", async (t) => {
    const sid = await polling("half");
    for (const [what, misbehave] of [
      ["says nothing and goes", (socket) => socket.socket.terminate()],
      ["sends garbage", (socket) => socket.send("garbage")],
      ["probes and goes", (socket) => (socket.send("2probe"), setTimeout(() => socket.socket.terminate(), 100))],
    ]) {
      const socket = engineSocket(t, server, { sid });
      await socket.opened();
      misbehave(socket);
      await sleep(300);
      assert.equal((await push(sid, '421["test",1]')).text, "ok", what);
      let seen = "";
      for (let polls = 0; polls < 5 && !seen.includes("431["); polls++) seen += (await poll(sid)).text;
      assert.match(seen, /431\[\{"ok":true\}\]/, what);
    }
  });

  test("an upgrade that takes longer than UPGRADE_TIMEOUT_MS is closed, and the session goes on polling", async (t) => {
    const impatient = await serve(t, { vars: { UPGRADE_TIMEOUT_MS: 1_000 } });
    const { sid } = await handshake(impatient);
    const probe = engineSocket(t, impatient, { sid });
    await probe.opened();
    probe.send("2probe");
    await probe.frame((frame) => frame === "3probe");
    await closedByServer(probe, 4_000);
    assert.equal((await engine(impatient, "POST", { sid }, { body: connectPacket("slow") })).text, "ok");
    let seen = "";
    while (!seen.includes('"connected"')) seen += (await engine(impatient, "GET", { sid })).text;
  });

  test("a close over polling answers the waiting GET, and then the session is unknown", async () => {
    const sid = await polling("bye");
    const [waiting, posted] = await Promise.all([poll(sid), push(sid, "1")]);
    assert.deepEqual([waiting.status, waiting.text, posted.status], [200, "6", 200]);
    assertError(await poll(sid), 1, "Session ID unknown");
  });

  test("a POST of MAX_PAYLOAD_BYTES is taken, one byte more is 413, and an octet-stream is 400", async (t) => {
    const others = await bystanders(t);
    const sid = await polling("big");
    const body = (length) => `42["nonsense","${"x".repeat(length - 17)}"]`;
    assert.equal(body(100).length, 100);
    assert.equal((await push(sid, body(MB))).text, "ok");
    assert.equal((await push(await polling("bigger"), body(MB + 1))).status, 413);
    assert.equal((await push(await polling("octets"), Buffer.from("3"), { "content-type": "application/octet-stream" })).status, 400);
    // Not announced: no Content-Length to judge by.
    const chunks = new ReadableStream({
      start(controller) {
        for (let n = 0; n < 12; n++) controller.enqueue(Buffer.alloc(100_000, "x"));
        controller.close();
      },
    });
    const streamed = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${await polling("stream")}`, { method: "POST", body: chunks, duplex: "half" });
    assert.equal(streamed.status, 413);
    await others.goOn("big bodies");
  });

  test("a WebSocket frame over MAX_PAYLOAD_BYTES closes its connection and nobody else's", async (t) => {
    const others = await bystanders(t);
    const eve = await rawConnect(t, server, person("eve"));
    eve.send(`42["test","${"x".repeat(MB)}"]`);
    assert.equal((await closedByServer(eve)).code, 1009);
    await others.goOn("a big frame");
  });

  test("a polling payload of malformed packets ends its session, and no other", async (t) => {
    const others = await bystanders(t);
    for (const body of ["abc", "", "\x1e", "4x\x1e\x1e", "7", "42[\"test\"]\x1e8", "b!!!not base64!!!", "5", "0{}", "2", "ü"]) {
      const sid = await polling("garbage");
      const { status } = await push(sid, body);
      // Node answers 200 to some of them: what counts is that the session is over.
      assert.ok([200, 400].includes(status), `${JSON.stringify(body)}: ${status}`);
      if (["abc", "7", "ü"].includes(body)) assertError(await poll(sid), 1, "Session ID unknown");
    }
    await others.goOn("garbage over polling");
  });

  test("a client that answers no ping is closed after interval and time-out, on both transports, and one that does is not", async (t) => {
    const quick = await serve(t, { vars: { PING_INTERVAL_MS: 300, PING_TIMEOUT_MS: 200 } });
    const stock = await ioConnected(t, quick, person("stock"));
    const { sid } = await handshake(quick);
    const socket = engineSocket(t, quick);
    await socket.frame((frame) => frame === "2");
    await closedByServer(socket, 3_000);
    await sleep(300);
    assertError(await engine(quick, "GET", { sid }), 1, "Session ID unknown");
    assert.ok(stock.socket.connected);
    assert.deepEqual(await stock.ask("test"), { ok: true });
  });
});

describe("Socket.IO by hand", { concurrency: 3, timeout: 90_000 }, () => {
  test("packets that break the protocol close their connection, and nobody else's", async (t) => {
    const others = await bystanders(t);
    const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;
    const eleven = Array.from({ length: 11 }, (_, n) => placeholder(n)).join();
    const rows = [
      ["an unknown type", "4abc"],
      ["a type that does not exist", "47"],
      ["no type", "4"],
      ["an Engine.IO packet that does not exist", "abc"],
      ["an empty frame", ""],
      ["a payload that is no array", "42{}"],
      ["a payload that is no JSON", '42["a"'],
      ["no event name", "42[]"],
      ["an event name that is an object", "42[{}]"],
      ["an ack id that is no number", '42abc["test"]'],
      ["an ack without arguments", "431{}"],
      ["11 attachments", `4511-["test",${eleven}]`, ...Array(11).fill(Buffer.from("x"))],
      ["a count of attachments that is no number", `45x-["test",${placeholder(0)}]`],
      ["a count of attachments that is huge", `4599999999999999999999-["test",${placeholder(0)}]`],
      ["a placeholder out of range", `451-["test",${placeholder(5)}]`, Buffer.from("x")],
      ["a negative placeholder", `451-["test",${placeholder(-1)}]`, Buffer.from("x")],
      ["a placeholder that is no number", `451-["test",${placeholder('"0"')}]`, Buffer.from("x")],
      ["text where an attachment is due", `451-["test",${placeholder(0)}]`, '42["test"]'],
      ["an attachment that nobody announced", Buffer.from("x")],
      ["a client's ping", "2"],
      ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].map((name) => [`the reserved event ${name}`, `42["${name}"]`]),
    ];
    const open = await Promise.all(
      rows.map(async ([what, ...frames]) => {
        const eve = await rawConnect(t, server, person("eve"));
        for (const frame of frames) eve.send(frame);
        return closedByServer(eve, 5_000).then(() => [], () => [`${what}: ${JSON.stringify(eve.frames.slice(2))}`]);
      }),
    );
    assert.deepEqual(open.flat(), []);
    await others.goOn("broken packets");
  });

  test("events whose names are the contract's reserved ones are refused without closing", async (t) => {
    const eve = await rawConnect(t, server, person("eve"));
    for (const name of ["error", "connected", "presence_state", "presence_diff", "ack", "", "x".repeat(1_000), "__proto__", "constructor"]) {
      const { ok, error } = await eve.askRaw(name, {});
      assert.deepEqual([ok, typeof error?.code], [false, "string"], name);
    }
    const name = room();
    assert.equal((await eve.askRaw("join", name)).ok, true);
    for (const event of ["connect", "connected", "disconnect", "disconnecting", "connect_error", "error", "ack", "presence_state", "presence_diff", "newListener", "removeListener"]) {
      const { ok, error } = await eve.askRaw("send", { room: name, event, data: 1 });
      assert.deepEqual([ok, typeof error?.code], [false, "string"], `send ${event}`);
    }
  });

  test("an event before CONNECT closes the connection", async (t) => {
    const others = await bystanders(t);
    for (const frame of ['42["test"]', '42/chat,["typing",{}]', "431[1]", '451-["test",{"_placeholder":true,"num":0}]']) {
      const eve = engineSocket(t, server);
      await eve.opened();
      eve.send(frame);
      if (frame.startsWith("45")) eve.send(Buffer.from("x"));
      await closedByServer(eve).catch(() => assert.fail(`${frame}: not closed`));
    }
    await others.goOn("events before CONNECT");
  });

  test("who connects to no namespace within CONNECT_TIMEOUT_MS is closed, and who did is not", async (t) => {
    const impatient = await serve(t, { vars: { CONNECT_TIMEOUT_MS: 1_000 } });
    const stock = await ioConnected(t, impatient, person("stock"));
    const idle = engineSocket(t, impatient);
    await idle.opened();
    const start = Date.now();
    const refused = engineSocket(t, impatient);
    await refused.opened();
    refused.send("40/nowhere,");
    const { sid } = await handshake(impatient);
    await closedByServer(idle, 4_000);
    assert.ok(Date.now() - start > 700);
    await closedByServer(refused, 4_000);
    // A ping may come first.
    await eventually("the end of the polling session", async () => {
      const { status, text } = await engine(impatient, "GET", { sid });
      return status === 400 || /(^|\x1e)1$/.test(text);
    });
    assert.ok(stock.socket.connected);
    assert.deepEqual(await stock.ask("test"), { ok: true });
  });

  test("an attachment that never comes closes its connection within fifteen seconds; the others go on meanwhile", async (t) => {
    const others = await bystanders(t);
    const eve = await rawConnect(t, server, person("eve"));
    eve.send('452-["test",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
    eve.send(Buffer.from("the first"));
    await others.goOn("half a packet");
    await closedByServer(eve, 16_000);
    await others.goOn("the end of half a packet");
  });

  test("a flood of CONNECTs, good and bad, is bounded, and nobody else notices", async (t) => {
    const others = await bystanders(t);
    for (const [what, packet] of [
      ["the same namespace", connectPacket("eve")],
      ["no token", "40{}"],
      ["unknown namespaces", undefined],
      ["connect and disconnect", `${connectPacket("eve")}|41`],
    ]) {
      const eve = engineSocket(t, server);
      await eve.opened();
      for (let n = 0; n < 2_000 && eve.socket.readyState === 1; n++) for (const frame of (packet ?? `40/n${n},`).split("|")) eve.send(frame);
      await others.goOn(what);
      const sids = new Set(eve.frames.filter((frame) => frame.startsWith("40{")).map((frame) => JSON.parse(frame.slice(2)).sid));
      t.diagnostic(`${what}: ${eve.frames.length} answers, ${sids.size} sockets, ${eve.socket.readyState === 1 ? "open" : "closed"}`);
      eve.socket.terminate();
    }
  });

  test("DISCONNECT leaves the transport open, and unknown acks are ignored", async (t) => {
    const eve = await rawConnect(t, server, person("eve"));
    eve.send('43999["nobody asked"]');
    assert.deepEqual(await eve.askRaw("test"), { ok: true });
    eve.send("41");
    eve.send(connectPacket("eve"));
    await eve.frame(() => eve.frames.filter((frame) => frame.startsWith("40{")).length === 2);
    assert.deepEqual(await eve.askRaw("test"), { ok: true });
  });

  test("CONNECT and DISCONNECT of another namespace are taken without the trailing comma", async (t) => {
    const jwt = { token: token(person("ann")) };
    const client = await rawConnect(t, server, person("ann"), { query: { token: jwt.token } });
    client.send("40/chat");
    await client.frame((frame) => /^4[04]\/chat,/.test(frame));
    client.send("41/chat");
    assert.deepEqual(await client.askRaw("test"), { ok: true });
  });

  test("joins past the limit are too_many_rooms, and the rooms that were joined work on", async (t) => {
    const others = await bystanders(t);
    const eve = await rawConnect(t, server, person("eve"));
    const kind = `flood${++count}`;
    const codes = new Map();
    let joined = 0;
    for (let start = 0; start < 10_000; start += 250) {
      const answers = await Promise.all(Array.from({ length: 250 }, (_, n) => eve.askRaw("join", `${kind}:${start + n}`)));
      for (const { ok, error } of answers) {
        joined += ok ? 1 : 0;
        if (!ok) codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
      }
    }
    t.diagnostic(`${joined} joined`);
    assert.deepEqual([...codes.keys()], ["too_many_rooms"]);
    assert.ok(joined > 50 && joined < 5_000, `${joined} joined`);
    assert.equal((await eve.askRaw("send", { room: `${kind}:0`, event: "note", data: 1 })).ok, true);
    assert.equal((await eve.askRaw("leave", `${kind}:0`)).ok, true);
    assert.equal((await eve.askRaw("join", `${kind}:again`)).ok, true);
    await others.goOn("10,000 joins");
  });

  test("events over the rate are rate_limited, each of them answered, and the connection stays", async (t) => {
    const slow = await serve(t, { vars: { RATE_EVENTS_PER_SECOND: 5, RATE_BURST: 10 } });
    const ann = await ioConnected(t, slow, person("ann"));
    const eve = await rawConnect(t, slow, person("eve"));
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => eve.askRaw("test")));
    const limited = answers.filter(({ error }) => error?.code === "rate_limited").length;
    assert.equal(answers.filter(({ ok }) => ok).length + limited, 1_000);
    assert.ok(limited > 900, String(limited));
    assert.deepEqual(await ann.ask("test"), { ok: true });
    await sleep(1_500);
    assert.deepEqual(await eve.askRaw("test"), { ok: true });
  });

  test("a reader that never reads is closed, memory stays bounded, and the others hear everything", async (t) => {
    const quick = await serve(t, { vars: { RATE_EVENTS_PER_SECOND: 100_000, RATE_BURST: 1_000_000, PING_INTERVAL_MS: 2_000, PING_TIMEOUT_MS: 3_000 } });
    const others = await bystanders(t, quick);
    const reader = await rawConnect(t, quick, person("stuck"));
    assert.equal((await reader.askRaw("join", others.name)).ok, true);
    const { sid } = await handshake(quick); // a polling one, too
    await engine(quick, "POST", { sid }, { body: connectPacket("stuck-poll") });
    await engine(quick, "POST", { sid }, { body: `42["join","${others.name}"]` });
    reader.socket.pause();
    const before = residentMb(quick);
    const text = "x".repeat(100_000);
    for (let n = 0; n < 400; n++) assert.equal((await others.bob.ask("send", { room: others.name, event: "bulk", data: { n, text } })).ok, true);
    await others.carol.event("bulk", ({ n }) => n === 399, 30_000);
    assert.deepEqual(others.carol.all("bulk").map(({ n }) => n), Array.from({ length: 400 }, (_, n) => n));
    await others.carol.event("presence_diff", ({ leaves }) => leaves.some(({ userId }) => userId === "stuck"), 30_000);
    assert.equal((await engine(quick, "GET", { sid })).status, 400, "the polling session is over");
    await others.goOn("a stuck reader");
    const grown = residentMb(quick) - before;
    t.diagnostic(`workerd grew by ${grown} MB for 40 MB of messages`);
    assert.ok(grown < 300, `${grown} MB`);
  });

  test("thousands of garbage frames of many kinds: the others' messages all arrive, and nothing panics", async (t) => {
    const others = await bystanders(t);
    const starts = ["", "0", "1", "2", "2probe", "3", "3probe", "4", "40", "41", "42", "43", "44", "45", "46", "47", "451-", "461-1", "42/chat,", "40/chat,", "42/\u0000,", "5", "6", "7", "b", "{", "[", "\ud7ff", "42[", '42["join",', '42["send",{"room":', "420", "4200000000000000000000000000000001", "45-", "450-", '451-["test",{"_placeholder":true,"num":'];
    const tails = ["", "[]", "{}", '["test"]', '["test",{"_placeholder":true,"num":0}]', "]", "}", "null", "1e999", '"\\ud800"', "[".repeat(5_000), "\u0000", "é💬", "9".repeat(400), ',,,"', '["join","demo:1"]', '1["test",[[[]]]]', '["\\u0000"]', `["${"e".repeat(70_000)}"]`];
    let sent = 0;
    let closed = 0;
    for (const start of starts) {
      // Each connection sends what it can before it is closed.
      for (let from = 0; from < tails.length; from += 3) {
        const eve = from % 2 ? await rawConnect(t, server, person("eve")) : engineSocket(t, server);
        await eve.frame((frame) => frame.startsWith("0"));
        for (const tail of tails.slice(from, from + 3)) {
          eve.send(start + tail);
          eve.send(randomBytes(20));
          eve.send(randomBytes(20).toString("latin1"));
          sent += 3;
        }
        await sleep(5);
        if (eve.socket.readyState !== 1) closed++;
        eve.socket.terminate();
      }
      await others.goOn(start);
    }
    t.diagnostic(`${sent} frames, ${closed} connections closed at once`);
    const { status, body } = await call(server, "GET", "/metrics", { as: ADMIN });
    assert.equal(status, 200);
    for (const [, name, value] of body.matchAll(/^(\w*panic\w*)\S* (\d+)$/gm)) assert.equal(Number(value), 0, name);
  });
});

/** Resident memory of the workerd under a server. */
const residentMb = (server) => (process.platform === "linux" ? Math.round(residentBytes(workerdOf(server)) / MB) : 0);
