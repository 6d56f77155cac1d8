// Bad input (DESIGN §3.9): whoever sends it gets a defined answer, everyone else goes on, nothing accepted is lost.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect as tcp } from "node:net";
import { after, before, describe, test } from "node:test";
import { ADMIN, bearer, call, join, serve, SERVICE, token } from "./harness.mjs";

const MB = 1_000_000;
/** In every message's body here, so that the logs can be searched for it. */
const MARK = "BODY-OF-A-MESSAGE";
const PERSON = (sub) => ({ sub, rooms: ["*"], name: "NAME-IN-A-TOKEN" });

let server;
/** Takes payloads that storage does not. */
let roomy;
const ends = [];
let rooms = 0;

const room = (kind = "demo") => `${kind}:${++rooms}`;
const path = (name, rest) => `/rooms/${encodeURIComponent(name)}${rest}`;
const nested = (depth, open = "[", close = "]") => open.repeat(depth) + close.repeat(depth);

/** Two people who must not notice anything, and a third who misbehaves. */
async function scene(t, { name = room(), to = server } = {}) {
  const [bob, carol, eve] = await Promise.all(["bob", "carol", "eve"].map((sub) => join(t, to, name, PERSON(sub))));
  let count = 0;
  return {
    name,
    bob,
    carol,
    eve,
    /** Bob's message reaches Carol, and the process is the one that was started. */
    async goesOn(what) {
      const text = `${MARK} ${++count}`;
      const chat = name.startsWith("chat:");
      const ack = await bob.ask(chat ? "send_message" : "note", chat ? { message: text } : { text });
      assert.equal(ack.error, undefined, what);
      const heard = await carol.frame((frame) => frame.event && frame.offset === ack.offset, 20_000);
      assert.equal(heard.data.text ?? heard.data.message, text, what);
      assert.equal(to.child.exitCode, null, `${what}: the server ended`);
    },
  };
}

/** Sends a frame and gives the next answer to it: an ack or an error. */
async function answer(client, frame) {
  const start = client.frames.length;
  client.send(frame);
  return client.frame((found) => (found.ack || found.error) && client.frames.indexOf(found) >= start, 20_000);
}

/** The whole log, page by page. */
async function log(to, name) {
  const messages = [];
  for (let page; page?.length !== 0; messages.push(...page)) {
    const { status, body } = await call(to, "GET", path(name, `/history?limit=200&after=${messages.at(-1)?.offset ?? 0}`), { as: ADMIN });
    assert.equal(status, 200);
    page = body.messages;
  }
  assert.deepEqual(messages.map((message) => message.offset), messages.map((_, n) => n + 1), "offsets without gaps");
  return messages;
}

/** What each of these accepted is in the log, and the watcher heard of all that others sent, once and in order. */
async function nothingIsLost(to, name, senders, watcher) {
  const messages = await log(to, name);
  const acked = senders.flatMap((client) => client.frames.filter((frame) => frame.ack && frame.offset).map((frame) => frame.offset));
  for (const offset of acked) assert.ok(offset <= messages.length, `${offset} was acknowledged and is not in the log`);
  const own = new Set(watcher.frames.filter((frame) => frame.ack && !frame.duplicate).map((frame) => frame.offset));
  const heard = watcher.frames.filter((frame) => frame.event && frame.offset);
  assert.deepEqual(heard, messages.filter((message) => !own.has(message.offset)), "what was heard is what is in the log");
}

async function metric(to, name) {
  const { body } = await call(to, "GET", "/metrics", { as: SERVICE });
  return Number(body.match(new RegExp(`^${name} (\\d+)$`, "m"))[1]);
}

after(() => Promise.all(ends.map((end) => end())));
before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  const vars = { RATE_EVENTS_PER_SECOND: 1_000_000, RATE_BURST: 1_000_000 };
  [server, roomy] = await Promise.all([serve(lifetime, { vars }), serve(lifetime, { vars: { ...vars, MAX_PAYLOAD_BYTES: 30 * MB } })]);
});

describe("frames", { concurrency: 3, timeout: 120_000 }, () => {
  test("a frame that is no JSON object, or has the wrong shape, gets an error frame", async (t) => {
    const { eve, goesOn } = await scene(t);
    const cases = [
      ["", "bad_request"],
      [" ", "bad_request"],
      ["hello", "bad_request"],
      ["Ping", "bad_request"],
      ["ping ", "bad_request"],
      ["{", "bad_request"],
      ['{"event":"note"', "bad_request"],
      ["{'event':'note'}", "bad_request"],
      ['{"event":"note",}', "bad_request"],
      ['{"event":"note"}{"event":"note"}', "bad_request"],
      ['{"event":"note"}\n{"event":"note"}', "bad_request"],
      ["\ufeff{}", "bad_request"],
      ["NaN", "bad_request"],
      ["\0", "bad_request"],
      ['{"event":"a\0b"}', "bad_request"],
      ['{"event":"note","data":01}', "bad_request"],
      ['{"event":"note","data":"\\x"}', "bad_request"],
      ["[]", "invalid_payload"],
      ['["note",{},"id"]', "invalid_payload"],
      ["5", "invalid_payload"],
      ["-1e5", "invalid_payload"],
      ["true", "invalid_payload"],
      ["null", "invalid_payload"],
      ['"ping"', "invalid_payload"],
      ["{}", "invalid_payload"],
      ['{"data":1}', "invalid_payload"],
      ['{"event":null}', "invalid_payload"],
      ['{"event":5}', "invalid_payload"],
      ['{"event":["note"]}', "invalid_payload"],
      ['{"event":{"event":"note"}}', "invalid_payload"],
      ['{"event":"note","event":"note"}', "invalid_payload"],
      ['{"event":"note","id":1}', "invalid_payload"],
      ['{"event":"note","id":null}', "invalid_payload"],
      ['{"event":"note","id":""}', "invalid_payload"],
      ['{"event":"note","id":["x"]}', "invalid_payload"],
      [`{"event":"note","id":"${"i".repeat(65)}"}`, "invalid_payload"],
      [`{"event":"note","id":"${"é".repeat(33)}"}`, "invalid_payload"],
      ['{"event":"note","id":"\\ud800"}', "invalid_payload"],
      ['{"event":"\\udfff"}', "invalid_payload"],
    ];
    for (const [frame, code] of cases) {
      const { error, ...rest } = await answer(eve, frame);
      assert.deepEqual([error?.code, typeof error?.message, rest], [code, "string", {}], JSON.stringify(frame));
      assert.ok(!error.message.includes("at line"), error.message);
    }
    await goesOn("after bad frames");
    assert.equal((await eve.ask("note", { text: MARK })).error, undefined, "the socket itself goes on");
  });

  test("empty, overlong and reserved events are refused with the id they had", async (t) => {
    const { eve, carol, goesOn } = await scene(t);
    const reserved = ["connect", "connected", "disconnect", "disconnecting", "connect_error", "error", "ack", "presence_state", "presence_diff", "newListener", "removeListener", "user_typing", "messages_read"];
    for (const event of ["", "e".repeat(129), "é".repeat(65), "a\u0000", "a\nb", "\u007f", ...reserved]) {
      const { ack, error } = await eve.ask(event, { text: MARK });
      assert.deepEqual([typeof ack, error?.code], ["string", "invalid_payload"], JSON.stringify(event));
    }
    const longest = "e".repeat(128);
    assert.equal((await eve.ask(longest, {})).error, undefined);
    await goesOn("after reserved events");
    assert.deepEqual(carol.frames.filter((frame) => frame.offset && frame.event).map((frame) => frame.event), [longest, "note"]);
  });

  test("a kind's own server events are refused from clients", async (t) => {
    for (const [kind, events] of [
      ["chat", ["new_message", "user_joined", "user_left", "joined_chat", "left_chat", "notification:received"]],
      ["user", ["new_message", "message_updated", "message_status"]],
      ["line", ["new_message", "message_updated", "message_status", "conversation_updated", "conversation_assigned"]],
    ]) {
      const client = await join(t, server, `${kind}:eve`, { ...PERSON("eve"), rooms: ["*"] });
      for (const event of events) assert.equal((await client.ask(event, {})).error?.code, "invalid_payload", `${kind}: ${event}`);
    }
  });

  test("a binary frame gets an error frame", async (t) => {
    const { eve, goesOn } = await scene(t);
    for (const bytes of [Buffer.alloc(0), Buffer.from('{"event":"note","id":"x"}'), Buffer.from("ping"), randomBytes(1000), Buffer.alloc(MB)]) {
      const { error, ack } = await answer(eve, bytes);
      assert.deepEqual([error?.code, ack], ["bad_request", undefined], `${bytes.length} bytes`);
    }
    await goesOn("after binary frames");
  });

  test("nesting is taken to 64 levels, and 100,000 brackets anywhere are refused or ignored without harm", async (t) => {
    const { name, eve, carol, goesOn } = await scene(t);
    const deep = 100_000;
    const frame = (data, id) => `{"event":"note","id":"${id}","data":${data}}`;
    for (const [what, text, code] of [
      ["64 arrays", frame(nested(64), "64"), undefined],
      ["64 objects", frame(`${'{"a":'.repeat(64)}1${"}".repeat(64)}`, "o"), undefined],
      ["brackets in a string", frame(`"${nested(deep)}\\"${"[".repeat(100)}"`, "s"), undefined],
      ["wide, not deep", frame(`[${"[],".repeat(deep)}[]]`, "w"), undefined],
      ["65 arrays", frame(nested(65), "65"), "invalid_payload"],
      ["65 objects", frame(`${'{"a":'.repeat(65)}1${"}".repeat(65)}`, "p"), "invalid_payload"],
      ["100,000 arrays", frame(nested(deep), "d"), "invalid_payload"],
      ["100,000 objects", frame(`${'{"a":'.repeat(deep)}1${"}".repeat(deep)}`, "e"), "invalid_payload"],
      ["100,000 that never close", `{"event":"note","data":${"[".repeat(deep)}`, "bad_request"],
      ["100,000 closed by the wrong one", `{"event":"note","data":${nested(deep, "[", "}")}}`, "bad_request"],
      ["the frame itself", nested(deep), "invalid_payload"],
      ["the frame itself, never closed", "[".repeat(deep), "bad_request"],
      ["as the event", `{"event":${nested(deep)}}`, "invalid_payload"],
      ["as the id", `{"event":"note","id":${nested(deep)}}`, "invalid_payload"],
      ["in a field that nobody knows", `{"event":"note","id":"u","other":${nested(deep)}}`, undefined],
      ["as typing", `{"event":"typing","id":"t","data":${nested(deep)}}`, "invalid_payload"],
      ["in typing", `{"event":"typing","id":"i","data":{"isTyping":true,"x":${nested(deep)}}}`, "invalid_payload"],
    ]) {
      const { error } = await answer(eve, text);
      if (what.startsWith("the frame itself") || what.includes("100,000 closed")) assert.ok(["bad_request", "invalid_payload"].includes(error?.code), what);
      else assert.equal(error?.code, code, what);
    }
    await goesOn("after deep nesting");
    for (const data of [nested(deep), `{"a":${nested(deep)}}`]) {
      const posted = await call(server, "POST", path("demo:http", "/events"), { as: PERSON("eve"), body: `{"event":"note","data":${data}}` });
      assert.deepEqual([posted.status, posted.body.code], [422, "invalid_payload"]);
    }
    await nothingIsLost(server, name, [eve], carol);
  });

  test("lone surrogates, NUL, huge numbers and duplicate keys in data pass through as they are, or are refused", async (t) => {
    const { name, eve, carol, goesOn } = await scene(t);
    for (const [n, json] of [
      '"\\ud800"',
      '"\\udc00\\ud800x"',
      '"\\u0000a\\u0000"',
      '{"\\u0000":"\\u001f"}',
      "1e999",
      "-1e999",
      "1e-999",
      `1${"0".repeat(5000)}`,
      "12345678901234567890.123456789012345678901234567890",
      "-0",
      '{"a":1,"a":2,"__proto__":{"x":1},"constructor":null}',
      '"\u2028\u2029\u007f\ufeff\ufffe"',
      '"💬\u0301ﷺ"',
      '"</script><!-- \\u003c"',
    ].entries()) {
      const { offset, error } = await answer(eve, `{"event":"note","id":"n-${n}","data":${json}}`);
      assert.equal(error, undefined, json);
      const heard = await carol.frame((frame) => frame.offset === offset && frame.event);
      assert.deepEqual(heard.data, JSON.parse(json), json);
    }
    await goesOn("after odd data");
    await nothingIsLost(server, name, [eve], carol);

    const chat = await scene(t, { name: room("chat") });
    for (const [message, ok] of [['"\\ud800"', false], ['"a\\u0000b"', true], ['"\\u0000"', true], ["1e999", false], ['"x","message":"y"', false]]) {
      const { error } = await answer(chat.eve, `{"event":"send_message","id":"${randomBytes(4).toString("hex")}","data":{"message":${message}}}`);
      assert.equal(error?.code, ok ? undefined : "invalid_payload", message);
    }
    await chat.goesOn("after odd messages");
    for (const offset of ["1e999", "-1", "1e19", "99999999999999999999", '"1"', "1.5"]) {
      assert.equal((await answer(chat.eve, `{"event":"mark_read","id":"m","data":{"offset":${offset}}}`)).error?.code, "invalid_payload", offset);
    }
    assert.equal((await answer(chat.eve, '{"event":"mark_read","id":"m","data":{"offset":18446744073709551615}}')).error, undefined);
  });

  test("ids that differ after a NUL, by a quote, a colon or in case are different ids", async (t) => {
    const { eve } = await scene(t);
    const seen = new Map();
    for (const id of ["a", "a\0b", "a\0c", "a\0", "A", "a ", "a'", "a''", 'a"', "a:b", "a;--", "é", "e\u0301", "%", "_", "💬"]) {
      const { offset, duplicate, error } = await eve.ask("note", { id }, id);
      assert.deepEqual([error, duplicate, seen.get(offset)], [undefined, false, undefined], JSON.stringify(id));
      seen.set(offset, id);
    }
    for (const [offset, id] of seen) {
      const start = eve.frames.length;
      eve.send({ event: "note", data: {}, id });
      const again = await eve.frame((frame) => frame.ack === id && eve.frames.indexOf(frame) >= start);
      assert.deepEqual([again.offset, again.duplicate], [offset, true], JSON.stringify(id));
    }
  });

  test("text that is not UTF-8 does no harm to the room", async (t) => {
    const { name, bob, eve, carol, goesOn } = await scene(t);
    eve.socket.send(Buffer.from('{"event":"note","id":"x","data":"caf\xe9"}', "latin1"), { binary: false });
    // Closed with 1007, or read with a replacement character: both are allowed.
    await Promise.race([eve.closed, eve.frame((frame) => frame.ack === "x", 20_000)]);
    await goesOn("after text that is not UTF-8");
    await nothingIsLost(server, name, [bob], carol);
  });
});

describe("sizes", { concurrency: 2, timeout: 120_000 }, () => {
  const sized = (bytes, id) => {
    const [head, tail] = [`{"event":"note","id":"${id}","data":"`, '"}'];
    return head + "x".repeat(bytes - head.length - tail.length) + tail;
  };

  test("a frame of exactly 1 MB is delivered and kept", async (t) => {
    const { name, eve, carol, goesOn } = await scene(t);
    const frame = sized(MB, "exact");
    assert.equal(Buffer.byteLength(frame), MB);
    const { offset, error } = await answer(eve, frame);
    assert.equal(error, undefined);
    const heard = await carol.frame((found) => found.offset === offset, 20_000);
    assert.ok(heard.data === JSON.parse(frame).data);
    await goesOn("after 1 MB");
    await nothingIsLost(server, name, [eve], carol);
  });

  test("a frame over 1 MB closes its socket with 1009, and nobody else's", async (t) => {
    const { name, bob, carol, goesOn } = await scene(t);
    const cases = {
      "one byte more": sized(MB + 1, "x"),
      "one byte more, of no meaning": " ".repeat(MB + 1),
      "fewer characters, more bytes": `{"event":"note","data":"${"é".repeat(MB / 2)}"}`,
      "binary, one byte more": Buffer.alloc(MB + 1),
      "10 MB": "x".repeat(10 * MB),
    };
    for (const [what, frame] of Object.entries(cases)) {
      const eve = await join(t, server, name, PERSON("eve"));
      // Sent before it: accepted, and not lost by what follows.
      const before = await eve.ask("note", { text: MARK });
      assert.equal(before.error, undefined);
      eve.send(frame);
      assert.equal((await eve.closed).code, 1009, what);
      assert.ok(!eve.frames.some((found) => found.error), what);
      await goesOn(what);
    }
    const eve = await join(t, server, name, PERSON("eve"));
    await eve.ask("note", { text: MARK });
    for (let n = 0; n < 10; n++) eve.socket.send("x".repeat(MB / 10), { fin: false });
    eve.socket.send("x", { fin: true });
    assert.equal((await eve.closed).code, 1009, "in fragments");
    await goesOn("in fragments");
    await nothingIsLost(server, name, [bob], carol);
  });

  test("a frame that the runtime itself does not take closes its socket, and nobody else's", async (t) => {
    const { eve, goesOn } = await scene(t);
    await eve.ask("note", { text: MARK });
    eve.send(Buffer.alloc(40 * MB, "x").toString());
    await goesOn("after 40 MB");
    const { code } = await eve.closed;
    assert.ok([1006, 1009].includes(code), `closed with ${code}`);
  });

  test("a message that MAX_PAYLOAD_BYTES allows and storage does not is answered, and takes nobody else's with it", async (t) => {
    // Not allowing so much in the first place is as good.
    const health = await call(roomy, "GET", "/health");
    if (health.status === 503) return assert.match(JSON.stringify(health.body), /MAX_PAYLOAD_BYTES/);
    const { name, bob, carol, eve, goesOn } = await scene(t, { to: roomy });
    for (const sender of [bob, eve]) await sender.ask("note", { text: MARK });
    eve.send(sized(20 * MB, "too-large"));
    // Some of these are in the same turn.
    const near = [];
    for (let n = 0, answered; !answered && n < 1000; n++) {
      near.push(`near-${n}`);
      bob.send({ event: "note", data: { text: MARK }, id: near[n] });
      await new Promise((done) => setTimeout(done, 5));
      answered = eve.frames.some((frame) => frame.ack === "too-large" || frame.error) || eve.socket.readyState !== eve.socket.OPEN;
    }
    const outcome = await Promise.race([eve.closed, eve.frame((frame) => frame.ack === "too-large" || frame.error, 1)]);
    assert.ok(outcome.offset || outcome.error || outcome.code === 1009, `eve heard ${JSON.stringify(outcome)}`);
    for (const id of near) {
      const ack = await bob.frame((frame) => frame.ack === id);
      assert.equal(ack.error, undefined, `bob's ${id}: ${JSON.stringify(ack)}`);
    }
    const posted = await call(roomy, "POST", path(name, "/events"), { as: PERSON("eve"), body: `{"event":"note","data":"${"x".repeat(20 * MB)}"}` });
    assert.ok([200, 413].includes(posted.status), `over HTTP: ${posted.status} ${JSON.stringify(posted.body)}`);
    await goesOn("after 20 MB");
    await nothingIsLost(roomy, name, [bob, eve], carol);
  });
});

describe("garbage", { concurrency: 2, timeout: 180_000 }, () => {
  /** Numbers in [0, 1) that are the same in every run. */
  function generator(seed) {
    let state = seed;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** A frame that may be anything, seldom a good one. */
  function garbage(random) {
    const below = (n) => Math.floor(random() * n);
    const pick = (list) => list[below(list.length)];
    const events = ["note", "typing", "mark_read", "refresh", "send_message", "connect", "presence_diff", "", "__proto__", "\0", "\ud800", "💬"];
    const value = (depth) => {
      const scalars = [() => null, () => random() < 0.5, () => below(1e9) - 5e8, () => random() * 10 ** (below(600) - 300), () => pick(events), () => text(below(40))];
      const deeper = [...scalars, () => Array.from({ length: below(4) }, () => value(depth - 1)), () => Object.fromEntries(Array.from({ length: below(4) }, () => [pick(["isTyping", "offset", "token", "message", "event", "id", text(3)]), value(depth - 1)]))];
      return pick(depth > 0 ? deeper : scalars)();
    };
    const text = (length) => String.fromCodePoint(...Array.from({ length }, () => pick([below(128), below(0xd800), 0x1f4ac, 0x22, 0x5c, 0x7b, 0x5b])));
    const frame = () => JSON.stringify(Object.fromEntries(["event", "data", "id", text(2)].filter(() => random() < 0.8).map((key) => [key, key === "event" ? pick([...events, value(1)]) : value(3)])));
    const mutated = () => {
      const units = [...JSON.stringify({ event: pick(events), data: value(3), id: text(below(80)) })];
      for (let n = 1 + below(5); n > 0; n--) {
        units.splice(below(units.length), below(3), ...pick([[], [pick(units) ?? ""], [text(1)], ["\\"], ['"'], ["{"], ["["], ["\\u0000"], ["\\ud800"]]));
      }
      return units.join("");
    };
    return pick([frame, frame, mutated, mutated, mutated, () => text(below(200)), () => JSON.stringify(value(4)), () => Buffer.from(text(below(50)))])();
  }

  test("thousands of garbage frames from three sockets: the others' messages all arrive, and what was accepted is kept", async (t) => {
    for (const [seed, name] of [[1, room()], [2, room("chat")]]) {
      const { bob, carol, eve, goesOn } = await scene(t, { name });
      const others = [await join(t, server, name, PERSON("eve")), await join(t, server, name, PERSON(7))];
      const random = generator(seed);
      for (let n = 0; n < 3000; n++) {
        [eve, ...others][n % 3].send(garbage(random));
        if (n % 100 === 0) await goesOn(`seed ${seed}, frame ${n}`);
      }
      for (const client of [eve, ...others]) {
        client.send("ping");
        await client.frame((frame) => frame === "pong", 30_000);
        assert.equal(client.socket.readyState, client.socket.OPEN, `seed ${seed}: closed`);
        assert.ok(client.frames.filter((frame) => frame.error).length > 500, "most are refused, and the sender hears of it");
        const codes = new Set(client.frames.filter((frame) => frame.error).map((frame) => frame.error.code));
        for (const code of codes) assert.ok(["bad_request", "invalid_payload", "unknown_event", "unauthorized", "forbidden"].includes(code), `${code}, seed ${seed}`);
      }
      await goesOn(`seed ${seed}`);
      await nothingIsLost(server, name, [bob, carol, eve, ...others], carol);
    }
    assert.equal(await metric(server, "dialtone_storage_errors_total"), 0);
  });

  test("bytes that are no WebSocket frames end that connection alone", async (t) => {
    const { name, goesOn } = await scene(t);
    const random = generator(3);
    const noise = (length) => Buffer.from(Array.from({ length }, () => Math.floor(random() * 256)));
    const attacks = {
      "an unmasked frame": Buffer.from([0x81, 0x02, 0x68, 0x69]),
      "a reserved opcode": Buffer.from([0x83, 0x80, 0, 0, 0, 0]),
      "reserved bits": Buffer.from([0xf1, 0x80, 0, 0, 0, 0]),
      "a continuation of nothing": Buffer.from([0x80, 0x80, 0, 0, 0, 0]),
      "a length of 2^63": Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0x20]),
      "a ping of 200 bytes": Buffer.concat([Buffer.from([0x89, 0xfe, 0, 200, 0, 0, 0, 0]), Buffer.alloc(200)]),
      "a close of one byte": Buffer.from([0x88, 0x81, 0, 0, 0, 0, 3]),
      "a close with 1005": Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed]),
      "an HTTP request": Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      ...Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`noise ${n}`, noise(1 + Math.floor(random() * 300))])),
    };
    for (const [what, bytes] of Object.entries(attacks)) {
      const socket = tcp(server.port, "127.0.0.1");
      t.after(() => socket.destroy());
      socket.on("error", () => {});
      const upgraded = new Promise((resolve) => socket.once("data", resolve));
      socket.write(
        `GET ${path(name, "")}?token=${token(PERSON("mallory"))} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
      assert.match((await upgraded).toString(), /^HTTP\/1\.1 101 /, what);
      socket.write(bytes);
      await goesOn(what);
      socket.destroy();
    }
    await goesOn("after all of them");
  });

  test("clients that vanish in the middle of a message leave the room as it was", async (t) => {
    const { name, carol, goesOn } = await scene(t);
    for (let n = 0; n < 20; n++) {
      const eve = await join(t, server, name, PERSON(`eve-${n}`));
      eve.socket.send('{"event":"note","data":"', { fin: false });
      eve.socket.terminate();
    }
    await goesOn("after they vanished");
    assert.deepEqual((await log(server, name)).map((message) => message.sender), ["bob"]);
    assert.equal(carol.frames.filter((frame) => frame.error).length, 0);
  });
});

describe("logs", () => {
  test("the logs hold neither a token nor a message's body, a webhook's included", async (t) => {
    const jwt = token(PERSON("log-reader"), { secret: "a-wrong-secret-of-more-than-32-bytes-in-all" });
    await call(server, "GET", `${path("demo:1", "/history")}?token=${jwt}`);
    await call(server, "POST", path("demo:1", "/events"), { as: PERSON("eve"), body: `${MARK} is no JSON` });
    const form = { method: "POST", headers: { "content-type": "application/x-www-form-urlencoded", "x-twilio-signature": "Zm9yZ2Vk" }, body: `Body=${MARK}&From=%2B15551234567` };
    assert.equal((await fetch(`${server.url}/webhooks/twilio/inbound`, form)).status, 403);
    const { eve, goesOn } = await scene(t);
    await answer(eve, `{"event":"refresh","id":"r","data":{"token":"${jwt}"}}`);
    await goesOn("at the end");
    for (const to of [server, roomy]) {
      const logs = to.logs.join("");
      for (const secret of [MARK, jwt, "eyJ", "Bearer", "NAME-IN-A-TOKEN", "+15551234567", "%2B15551234567", bearer(ADMIN).authorization.split(".")[0]]) {
        assert.ok(!logs.includes(secret), `${secret} is in the logs: ${logs.slice(Math.max(0, logs.indexOf(secret) - 300), logs.indexOf(secret) + 100)}`);
      }
      assert.ok(!/panicked|unreachable|RuntimeError/.test(logs), logs.slice(0, 2000));
    }
    // What is logged is read here at all: the forged webhook is.
    assert.match(server.logs.join(""), /webhook_refused/);
  });
});
