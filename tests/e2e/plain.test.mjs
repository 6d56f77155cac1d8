// Plain WebSockets (CONTRACT "Plain WebSocket"): frames, ids and acks, presence, resuming, tokens on a live connection.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, Client, join, serve, SERVICE, token } from "./harness.mjs";

let server;
/** Keeps five messages; a connection may send five events, then one a second. */
let small;
let rooms = 0;

/** A room that no other test uses. */
const room = (kind = "demo") => `${kind}:${++rooms}`;
/** Someone who may do everything in every room. */
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const path = (name) => `/rooms/${encodeURIComponent(name)}`;
const seconds = (offset) => Math.floor(Date.now() / 1000) + offset;
const named = (client, event) => client.frames.filter((frame) => frame.event === event);
const offsets = (client) => client.frames.filter((frame) => "offset" in frame && frame.event).map((frame) => frame.offset);
const leaves = (client) => named(client, "presence_diff").flatMap(({ data }) => data.leaves.map((user) => user.userId));
const joins = (client) => named(client, "presence_diff").flatMap(({ data }) => data.joins.map((user) => user.userId));

/** A WebSocket that is not awaited, with the frames as they came in `raw`. */
function connect(t, to, name, claims, query = {}) {
  const client = new Client(`${to.ws}${path(name)}?${new URLSearchParams({ token: token(claims), ...query })}`);
  client.raw = [];
  client.socket.on("message", (data) => client.raw.push(data.toString()));
  t.after(() => client.socket.terminate());
  return client;
}

/** `listener` has everything that `sender` caused until now. */
async function fence(sender, listener) {
  const id = `fence-${Math.random()}`;
  await sender.ask("fence", { id });
  await listener.frame((frame) => frame.event === "fence" && frame.data.id === id);
}

/** So many notes into a room's log, over HTTP. */
async function fill(to, name, count) {
  for (let n = 1; n <= count; n++) {
    const { status } = await call(to, "POST", `${path(name)}/events`, { as: person("filler"), body: { event: "note", data: { n } } });
    assert.equal(status, 200);
  }
}

/**
 * `join`, and one event sent. workerd keeps the TCP connection of a socket that never sent anything for ten seconds
 * after both sides have closed (2026-11; with or without Dialtone), and `ws` waits for its end.
 */
async function joinAndSend(t, to, name, claims) {
  const client = await join(t, to, name, claims);
  await client.ask("mark_read");
  return client;
}

async function refused(client, status, code) {
  await assert.rejects(client.opened(), (error) => {
    assert.equal(error.status, status, error.message);
    assert.equal(error.body.code, code);
    return true;
  });
}

describe("plain WebSockets", { concurrency: 8, timeout: 120_000 }, () => {
  const ends = [];
  after(() => Promise.all(ends.map((end) => end())));
  before(async () => {
    const lifetime = { after: (end) => ends.push(end) };
    [server, small] = await Promise.all([
      serve(lifetime, { vars: { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 } }),
      serve(lifetime, { vars: { HISTORY_MAX_MESSAGES: 5, RATE_EVENTS_PER_SECOND: 1, RATE_BURST: 5 } }),
    ]);
  });

  // ── frames ───────────────────────────────────────────────────────────────────────────────────────

  test("two people in a room hear each other, and the sender of a relay event gets the ack alone", async (t) => {
    const name = room();
    const ann = await join(t, server, name, { sub: "ann", rooms: ["demo:*"] });
    const bob = await join(t, server, name, { sub: 7, rooms: [name] });
    const ack = await ann.ask("note", { text: "hi" }, "c-1");
    assert.deepEqual(ack, { ack: "c-1", offset: 1, duplicate: false });
    const heard = await bob.event("note");
    assert.deepEqual({ ...heard, at: 0 }, { event: "note", data: { text: "hi" }, offset: 1, at: 0, sender: "ann" });
    assert.equal(new Date(heard.at).toISOString(), heard.at);
    assert.ok(Math.abs(Date.now() - Date.parse(heard.at)) < 60_000);
    await bob.ask("note", { text: "hello" });
    assert.equal((await ann.event("note")).sender, 7);
    assert.equal(named(ann, "note").length, 1);
  });

  test("connected comes first with its fields, then what was missed, then presence_state", async (t) => {
    const name = room();
    await fill(server, name, 2);
    const { body: history } = await call(server, "GET", `${path(name)}/history`, { as: ADMIN });
    const client = connect(t, server, name, person(42, { name: "Ann" }), { since: `${history.epoch}:0` });
    await client.event("presence_state");
    assert.deepEqual(client.frames.map((frame) => frame.event), ["connected", "note", "note", "presence_state"]);
    const [connected, , second, state] = client.frames;
    assert.deepEqual(connected, {
      event: "connected",
      data: { room: name, userId: 42, epoch: history.epoch, offset: 2, recovered: true },
    });
    assert.deepEqual(second, history.messages[1]);
    const { room: where, users } = state.data;
    assert.deepEqual({ where, users: users.map((user) => ({ ...user, since: 0 })) }, { where: name, users: [{ userId: 42, name: "Ann", since: 0 }] });
    assert.equal(new Date(users[0].since).toISOString(), users[0].since);
  });

  test("a user id that is an integer in the token is an integer in every payload, and text stays text", async (t) => {
    for (const sub of [7, "7", -1, 9_007_199_254_740_991, "ünï 💬"]) {
      const name = room();
      const watcher = await join(t, server, name, person("watcher"));
      const client = await join(t, server, name, person(sub));
      await client.ask("note", 1);
      await client.ask("typing", { isTyping: true });
      await client.ask("mark_read", {});
      const found = [
        client.frames[0].data.userId,
        (await watcher.event("presence_diff")).data.joins[0].userId,
        (await watcher.event("note")).sender,
        (await watcher.event("user_typing")).data.userId,
        (await watcher.event("messages_read")).data.userId,
        (await call(server, "GET", `${path(name)}/history`, { as: ADMIN })).body.messages[0].sender,
      ];
      assert.deepEqual(found, Array(6).fill(sub), JSON.stringify(sub));
    }
  });

  test("data of any JSON type arrives as it was sent, and an event without data has no arguments", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    for (const data of [null, true, 0, -1.5, "", "é\u2028💬\\\"", [], [1, [2]], {}, { a: { b: [null] } }]) {
      const { offset } = await ann.ask("thing", data);
      assert.deepEqual((await bob.frame((frame) => frame.offset === offset)).data, data, JSON.stringify(data));
    }
    const { offset } = await ann.ask("bare", undefined);
    const bare = await bob.frame((frame) => frame.offset === offset);
    assert.deepEqual([bare.args, "data" in bare], [[], false]);
  });

  test("the text ping is answered with the text pong, to whoever asked alone", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    ann.send("ping");
    await ann.frame((frame) => frame === "pong");
    await fence(ann, bob);
    assert.ok(!bob.frames.includes("pong"));
  });

  test("the client's close code is echoed, and one that must not be sent back ends cleanly", async (t) => {
    for (const [sent, echoed] of [[1000, 1000], [3000, 3000], [4000, 4000], [4999, 4999], [1001, 1005], [undefined, 1005]]) {
      const client = await join(t, server, room(), person("ann"));
      const { code } = await client.close(sent);
      assert.equal(code, echoed, `closed with ${sent}`);
    }
  });

  // ── ids and acks ─────────────────────────────────────────────────────────────────────────────────

  test("an id is accepted once for a user on any connection, and is another for another user and another room", async (t) => {
    const name = room();
    const [tab1, tab2] = [await join(t, server, name, person("ann")), await join(t, server, name, person("ann"))];
    const bob = await join(t, server, name, person("bob"));
    const elsewhere = await join(t, server, room(), person("ann"));
    const cases = [
      ["first", tab1, { offset: 1, duplicate: false }],
      ["again", tab1, { offset: 1, duplicate: true }],
      ["another tab", tab2, { offset: 1, duplicate: true }],
      ["another user", bob, { offset: 2, duplicate: false }],
      ["another room", elsewhere, { offset: 1, duplicate: false }],
    ];
    for (const [what, client, expected] of cases) {
      const before = client.frames.length;
      client.send({ event: "note", data: what, id: "same" });
      const ack = await client.frame((frame) => frame.ack === "same" && client.frames.indexOf(frame) >= before);
      assert.deepEqual(ack, { ack: "same", ...expected }, what);
    }
    const { body } = await call(server, "GET", `${path(name)}/history`, { as: ADMIN });
    assert.deepEqual(body.messages.map((message) => message.data), ["first", "another user"]);
    assert.deepEqual(named(tab2, "note").map((frame) => frame.data), ["first", "another user"]);
  });

  test("ids may be sent twenty at once over many tabs: one message, nineteen duplicates", async (t) => {
    const name = room();
    const tabs = await Promise.all(Array.from({ length: 4 }, () => join(t, server, name, person("ann"))));
    for (let n = 0; n < 20; n++) tabs[n % 4].send({ event: "note", data: n, id: "once" });
    for (const tab of tabs) await tab.frame(() => tab.frames.filter((frame) => frame.ack === "once").length === 5);
    const acks = tabs.flatMap((tab) => tab.frames.filter((frame) => frame.ack === "once"));
    assert.deepEqual(acks.map((ack) => ack.offset), Array(20).fill(1));
    assert.equal(acks.filter((ack) => !ack.duplicate).length, 1);
  });

  test("a good event without an id is not acknowledged, and a bad one gets an error frame without ack", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    const start = ann.frames.length;
    ann.send({ event: "note", data: 1 });
    await bob.event("note");
    ann.send({ event: "connect" });
    const { error, ...rest } = await ann.frame((frame) => frame.error);
    assert.deepEqual([error.code, typeof error.message, rest], ["invalid_payload", "string", {}]);
    assert.equal(ann.frames.slice(start).filter((frame) => !frame.event).length, 1);
  });

  test("a refused event with an id is acknowledged with the error, and the id is free for a good one", async (t) => {
    const ann = await join(t, server, room("chat"), person("ann"));
    const { error, ...rest } = await ann.ask("send_message", { message: "" }, "c-1");
    assert.deepEqual([error.code, rest], ["invalid_payload", { ack: "c-1" }]);
    ann.send({ event: "send_message", data: { message: "hi" }, id: "c-1" });
    const ack = await ann.frame((frame) => frame.ack === "c-1" && !frame.error);
    assert.deepEqual([ack.offset, ack.duplicate], [1, false]);
  });

  // ── ephemeral events ─────────────────────────────────────────────────────────────────────────────

  test("ephemeral events have no offset, in the frame and in the ack, and are not in the history", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    await fill(server, name, 1);
    const acks = [await ann.ask("typing", { isTyping: true }, "t"), await ann.ask("mark_read", { offset: 1 }, "m")];
    assert.deepEqual(acks, [{ ack: "t", duplicate: false }, { ack: "m", duplicate: false }]);
    assert.deepEqual(await bob.event("user_typing"), { event: "user_typing", data: { userId: "ann", room: name, isTyping: true } });
    assert.deepEqual(await bob.event("messages_read"), { event: "messages_read", data: { userId: "ann", room: name, offset: 1 } });
    const { body } = await call(server, "GET", `${path(name)}/history`, { as: ADMIN });
    assert.deepEqual([body.offset, body.messages.map((message) => message.event)], [1, ["note"]]);
  });

  test("typing reaches the others, and is over by itself after three seconds", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    const start = Date.now();
    await ann.ask("typing", { isTyping: true });
    await bob.frame((frame) => frame.event === "user_typing" && !frame.data.isTyping, 20_000);
    assert.ok(Date.now() - start >= 2_500, "not before its time");
    assert.deepEqual(named(bob, "user_typing").map((frame) => frame.data.isTyping), [true, false]);
    assert.equal(named(ann, "user_typing").length, 0);
  });

  test("who says that they stopped typing is said to have stopped, once", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    // Whoever types after them stops by themselves later.
    await ann.ask("typing", { isTyping: true });
    await ann.ask("typing", { isTyping: false });
    const carol = await join(t, server, name, person("carol"));
    await carol.ask("typing", { isTyping: true });
    await bob.frame((frame) => frame.event === "user_typing" && frame.data.userId === "carol" && !frame.data.isTyping, 20_000);
    const ofAnn = named(bob, "user_typing").filter((frame) => frame.data.userId === "ann");
    assert.deepEqual(ofAnn.map((frame) => frame.data.isTyping), [true, false]);
  });

  test("typing is over when the typist's socket closes, and not said again later", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    await ann.ask("typing", { isTyping: true });
    await ann.close(1000);
    await bob.frame(() => leaves(bob).includes("ann"), 20_000);
    assert.deepEqual(named(bob, "user_typing").map((frame) => frame.data.isTyping), [true, false]);
    const order = bob.frames.map((frame) => frame.event);
    assert.ok(order.lastIndexOf("user_typing") < order.lastIndexOf("presence_diff"));
  });

  test("typing without a boolean isTyping is refused", async (t) => {
    const ann = await join(t, server, room(), person("ann"));
    for (const data of [undefined, null, {}, { isTyping: "yes" }, { isTyping: 1 }, [true], true]) {
      assert.equal((await ann.ask("typing", data)).error?.code, "invalid_payload", JSON.stringify(data));
    }
  });

  test("mark_read never moves back, stops at the newest, and without an offset means the newest", async (t) => {
    const name = room();
    await fill(server, name, 4);
    const ann = await join(t, server, name, person("ann"));
    const tab = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    for (const data of [{ offset: 2 }, { offset: 1 }, { offset: 2 }, { offset: 0 }, { offset: 3 }, { offset: 99 }, {}, undefined]) {
      const ack = await ann.ask("mark_read", data);
      assert.equal(ack.error, undefined, JSON.stringify(data));
    }
    await fence(ann, bob);
    await fence(ann, tab);
    for (const client of [bob, tab]) assert.deepEqual(named(client, "messages_read").map((frame) => frame.data.offset), [2, 3, 4]);
    // The two fences were logged, so the newest is the sixth.
    await ann.ask("mark_read", null);
    await fence(ann, bob);
    assert.equal(named(bob, "messages_read").at(-1).data.offset, 6);
    for (const data of [{ offset: -1 }, { offset: 1.5 }, { offset: "2" }, { offset: 1e30 }, [2], "2"]) {
      assert.equal((await ann.ask("mark_read", data)).error?.code, "invalid_payload", JSON.stringify(data));
    }
  });

  // ── presence ─────────────────────────────────────────────────────────────────────────────────────

  test("presence is by user: the first tab joins, the last one leaves after the grace", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const tab1 = await join(t, server, name, person("bob", { name: "Bob" }));
    const tab2 = await join(t, server, name, person("bob", { name: "Bob" }));
    const users = (await tab2.event("presence_state")).data.users;
    assert.deepEqual(users.map(({ userId, name: shown }) => [userId, shown]), [["ann", undefined], ["bob", "Bob"]]);
    await tab1.close(1000);
    await tab2.ask("note", 1);
    await ann.event("note");
    assert.deepEqual([joins(ann), leaves(ann)], [["bob"], []]);
    const closed = Date.now();
    await tab2.close(1000);
    await ann.frame(() => leaves(ann).length > 0, 20_000);
    assert.ok(Date.now() - closed >= 4_000, "the grace is five seconds");
    const diff = named(ann, "presence_diff").at(-1);
    assert.deepEqual({ ...diff.data, leaves: diff.data.leaves.map((user) => ({ ...user, since: 0 })) }, {
      room: name,
      joins: [],
      leaves: [{ userId: "bob", name: "Bob", since: 0 }],
    });
    assert.deepEqual([joins(ann), leaves(ann)], [["bob"], ["bob"]]);
    const { body } = await call(server, "GET", `${path(name)}/presence`, { as: person("ann") });
    assert.deepEqual(body.users.map((user) => user.userId), ["ann"]);
  });

  test("a reconnect inside the grace is neither a leave nor a join", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    const carol = await join(t, server, name, person("carol"));
    await bob.close(4000);
    const { body } = await call(server, "GET", `${path(name)}/presence`, { as: person("ann") });
    assert.ok(body.users.some((user) => user.userId === "bob"), "still present in the grace");
    await join(t, server, name, person("bob"));
    // Whoever goes after bob is gone when his grace, had it gone on, would be over too.
    carol.socket.terminate();
    await ann.frame(() => leaves(ann).includes("carol"), 20_000);
    assert.deepEqual([joins(ann), leaves(ann)], [["bob", "carol"], ["carol"]]);
  });

  test("whoever joins is not told of their own join", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    await ann.frame(() => joins(ann).includes("bob"));
    await fence(ann, bob);
    assert.deepEqual([joins(ann), joins(bob)], [["bob"], []]);
  });

  test("7 and \"7\" are one user", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    await join(t, server, name, person(7));
    const text = await join(t, server, name, person("7"));
    await fence(text, ann);
    assert.deepEqual(joins(ann).map(String), ["7"]);
  });

  // ── resuming ─────────────────────────────────────────────────────────────────────────────────────

  test("since replays exactly what came after it, or says that it cannot", async (t) => {
    const name = room();
    await fill(server, name, 5);
    const { epoch } = (await call(server, "GET", `${path(name)}/history`, { as: ADMIN })).body;
    const cases = [
      ["from the beginning", `${epoch}:0`, true, [1, 2, 3, 4, 5]],
      ["from the middle", `${epoch}:3`, true, [4, 5]],
      ["up to date", `${epoch}:5`, true, []],
      ["not yet reached", `${epoch}:6`, false, []],
      ["far ahead", `${epoch}:18446744073709551615`, false, []],
      ["another epoch", "0123456789abcdef:3", false, []],
      ["not asked for", undefined, false, []],
    ];
    for (const [what, since, recovered, expected] of cases) {
      const client = await join(t, server, name, person("ann"), { query: since === undefined ? {} : { since } });
      assert.deepEqual([client.frames[0].data.recovered, offsets(client)], [recovered, expected], what);
      assert.equal(client.frames[0].data.offset, 5, what);
    }
  });

  test("a malformed since is a 400 and no connection", async (t) => {
    const name = room();
    for (const since of ["", "5", ":5", "abc:", "abc:-1", "abc:x", "abc:1:2", "abc:99999999999999999999"]) {
      await refused(connect(t, server, name, person("ann"), { since }), 400, "bad_request");
    }
    const { body } = await call(server, "GET", `${path(name)}/presence`, { as: person("bob") });
    assert.deepEqual(body.users, []);
  });

  test("since into a pruned log says recovered false and replays nothing", async (t) => {
    const name = room();
    await fill(small, name, 30);
    const { body } = await call(small, "GET", `${path(name)}/history`, { as: ADMIN });
    const oldest = body.messages[0].offset;
    assert.ok(body.messages.length >= 5 && body.messages.length <= 10, `kept ${body.messages.length}`);
    assert.deepEqual(body.messages.map((message) => message.offset), Array.from({ length: 30 - oldest + 1 }, (_, n) => oldest + n));
    const cases = [
      [0, false, 0],
      [oldest - 2, false, 0],
      [oldest - 1, true, 30 - oldest + 1],
      [30, true, 0],
    ];
    for (const [offset, recovered, count] of cases) {
      const client = await join(t, small, name, person("ann"), { query: { since: `${body.epoch}:${offset}` } });
      assert.deepEqual([client.frames[0].data.recovered, offsets(client).length], [recovered, count], `since ${offset}`);
    }
  });

  test("who reconnects again and again with since while others talk hears everything once, in order", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const total = 300;
    const talk = (async () => {
      for (let n = 1; n <= total; n++) {
        ann.send({ event: "note", data: n, id: `n-${n}` });
        if (n % 10 === 0) await ann.frame((frame) => frame.ack === `n-${n}`);
      }
    })();
    const heard = [];
    let position;
    // A client that keeps its position, drops its socket after some frames, and comes back.
    while (heard.length < total) {
      const bob = await join(t, server, name, person("bob"), { query: { since: position ?? `${ann.frames[0].data.epoch}:0` } });
      assert.equal(bob.frames[0].data.recovered, true);
      const goal = Math.min(total, heard.length + 40);
      await bob.frame((frame) => frame.offset >= goal && frame.event === "note", 20_000);
      bob.socket.terminate();
      const got = offsets(bob);
      heard.push(...got);
      position = `${bob.frames[0].data.epoch}:${got.at(-1)}`;
    }
    await talk;
    assert.deepEqual(heard, Array.from({ length: total }, (_, n) => n + 1));
  });

  // ── batches ──────────────────────────────────────────────────────────────────────────────────────

  test("with batch a frame holds several objects, one a line; without it each frame is one object", async (t) => {
    const name = room();
    await fill(server, name, 3);
    const { epoch } = (await call(server, "GET", `${path(name)}/history`, { as: ADMIN })).body;
    const batched = connect(t, server, name, person("ann"), { batch: "1", since: `${epoch}:0` });
    await batched.event("presence_state");
    assert.deepEqual(batched.raw.length, 1, "one turn, one frame");
    const names = batched.raw[0].split("\n").map((line) => JSON.parse(line).event);
    assert.deepEqual(names, ["connected", "note", "note", "note", "presence_state"]);
    for (const batch of ["0", "true", ""]) {
      const single = connect(t, server, name, person("bob"), { batch, since: `${epoch}:0` });
      await single.event("presence_state");
      assert.deepEqual(single.raw.map((frame) => JSON.parse(frame).event), names, `batch=${batch}`);
    }
  });

  test("pretty-printed data with newlines keeps its meaning and stays on one line", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const batched = connect(t, server, name, person("bob"), { batch: "1" });
    await batched.event("presence_state");
    const data = { text: "line 1\nline 2\r\n\u2028", list: [1, { a: "\n" }] };
    for (const [index, frame] of [
      JSON.stringify({ event: "note", data, id: "p-0" }, null, 2),
      JSON.stringify({ event: "note", data, id: "p-1" }, null, "\t").replaceAll("\n", "\r\n"),
      `\n\n${JSON.stringify({ event: "note", data, id: "p-2" }, null, 1).replaceAll("\n", "\r")}\n`,
    ].entries()) {
      ann.send(frame);
      const { offset } = await ann.frame((answer) => answer.ack === `p-${index}`);
      assert.deepEqual((await batched.frame((heard) => heard.offset === offset)).data, data);
    }
    for (const line of batched.raw.flatMap((frame) => frame.split("\n"))) assert.equal(typeof JSON.parse(line), "object", line);
    const { body } = await call(server, "GET", `${path(name)}/history`, { as: ADMIN });
    assert.deepEqual(body.messages.map((message) => message.data), [data, data, data]);
  });

  // ── access ───────────────────────────────────────────────────────────────────────────────────────

  test("a read-only grant hears everything and may mark as read, but not send or type", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const reader = await join(t, server, name, { sub: "rex", rooms_read: ["demo:*"] });
    await ann.ask("note", 1);
    await reader.event("note");
    assert.equal((await reader.ask("note", 2)).error?.code, "forbidden");
    assert.equal((await reader.ask("typing", { isTyping: true })).error?.code, "forbidden");
    assert.equal((await reader.ask("mark_read", {})).error, undefined);
    const posted = await call(server, "POST", `${path(name)}/events`, { as: { sub: "rex", rooms_read: [name] }, body: { event: "note" } });
    assert.deepEqual([posted.status, posted.body.code], [403, "forbidden"]);
    await fence(ann, reader);
    assert.deepEqual(named(ann, "note").concat(named(ann, "user_typing")), []);
    assert.deepEqual(named(ann, "messages_read").map((frame) => frame.data.userId), ["rex"]);
  });

  test("who may not join is refused with 403 before there is a connection", async (t) => {
    for (const [name, claims] of [
      ["demo:x", { sub: "eve" }],
      ["demo:x", { sub: "eve", rooms: ["demo:y", "chat:*"] }],
      ["user:ann", { sub: "eve", rooms: ["*"] }],
      ["admins:all", { sub: "eve", rooms: ["*"] }],
      ["lobby:0", { ...ADMIN, rooms: ["*"] }],
      ["all:chat", { ...SERVICE, rooms: ["*"] }],
    ]) {
      await refused(connect(t, server, name, claims), 403, "forbidden");
    }
  });

  test("the hundred and first connection of a user is refused with 429 and Retry-After; others may come in", async (t) => {
    const name = room();
    const many = Array.from({ length: 100 }, () => connect(t, server, name, person("ann")));
    await Promise.all(many.map((client) => client.event("presence_state", 30_000)));
    await refused(connect(t, server, name, person("ann")), 429, "rate_limited");
    await join(t, server, name, person("bob"));
    const response = await new Promise((resolve) => connect(t, server, name, person("ann")).socket.on("unexpected-response", (_, r) => resolve(r)));
    response.resume();
    assert.match(response.headers["retry-after"] ?? "none", /^[1-9]\d*$/);
  });

  test("a member comes in without a grant; once removed they are closed with 4503 and stay out until they are a member again", async (t) => {
    const name = room();
    const member = `${path(name)}/members/bob`;
    await refused(connect(t, server, name, { sub: "bob" }), 403, "forbidden");
    assert.equal((await call(server, "PUT", member, { as: SERVICE })).status, 200);
    const tabs = [await joinAndSend(t, server, name, { sub: "bob" }), await joinAndSend(t, server, name, { sub: "bob" })];
    const ann = await join(t, server, name, person("ann"));
    assert.equal((await tabs[0].ask("note", 1)).offset, 1);
    assert.equal((await call(server, "DELETE", member, { as: ADMIN })).status, 200);
    for (const tab of tabs) assert.deepEqual(await tab.closed, { code: 4503, reason: "forbidden" });
    // Thrown out is gone at once.
    await ann.frame(() => leaves(ann).includes("bob"), 20_000);
    await refused(connect(t, server, name, { sub: "bob" }), 403, "forbidden");
    assert.equal((await ann.ask("note", 2)).offset, 2);
    await call(server, "PUT", member, { as: SERVICE });
    await join(t, server, name, { sub: "bob" });
  });

  test("removing a member does not close who is in by a grant of their own", async (t) => {
    const name = room();
    await call(server, "PUT", `${path(name)}/members/bob`, { as: SERVICE });
    const bob = await join(t, server, name, person("bob"));
    await call(server, "DELETE", `${path(name)}/members/bob`, { as: SERVICE });
    assert.equal((await bob.ask("note", 1)).offset, 1);
  });

  test("DELETE connections closes one user's sockets with 4501, or everyone's with 4003; who has a token may come back", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    const tabs = [await joinAndSend(t, server, name, person("bob")), await joinAndSend(t, server, name, person("bob"))];
    const { status, body } = await call(server, "DELETE", `${path(name)}/connections?user=bob`, { as: SERVICE });
    assert.deepEqual([status, body.disconnected], [200, 2]);
    for (const tab of tabs) assert.deepEqual(await tab.closed, { code: 4501, reason: "token revoked" });
    await ann.frame(() => leaves(ann).includes("bob"), 20_000);
    const back = await join(t, server, name, person("bob"));
    await fence(ann, back);
    await call(server, "DELETE", `${path(name)}/connections`, { as: ADMIN });
    assert.deepEqual([(await ann.closed).code, (await back.closed).code], [4003, 4003]);
  });

  test("what was sent before someone is thrown out reaches them first", async (t) => {
    const name = room();
    const bob = await join(t, server, name, person("bob"));
    for (let n = 0; n < 20; n++) bob.send({ event: "note", data: n, id: `n-${n}` });
    await bob.frame((frame) => frame.ack === "n-0");
    await call(server, "DELETE", `${path(name)}/connections?user=bob`, { as: SERVICE });
    await bob.closed;
    const { body } = await call(server, "GET", `${path(name)}/history`, { as: ADMIN });
    assert.equal(bob.frames.filter((frame) => frame.ack).length, body.offset, "every accepted event was acknowledged");
  });

  // ── tokens on a live connection ──────────────────────────────────────────────────────────────────

  test("a connection is closed with 4001 when its token expires, and not before", async (t) => {
    const exp = seconds(3);
    const client = await joinAndSend(t, server, room(), person("ann", { exp }));
    const bystander = await join(t, server, room(), person("bob"));
    assert.deepEqual(await client.closed, { code: 4001, reason: "token expired" });
    assert.ok(Date.now() >= exp * 1000, "not before its time");
    await bystander.ask("note", 1);
  });

  test("refresh with the same user's new token keeps the connection past the old one's end", async (t) => {
    const name = room();
    const exp = seconds(6);
    const renewed = await join(t, server, name, person("ann", { exp }));
    const control = await joinAndSend(t, server, name, person("ann", { exp }));
    assert.deepEqual(await renewed.ask("refresh", { token: token(person("ann")) }, "r"), { ack: "r", duplicate: false });
    assert.equal((await control.closed).code, 4001);
    // The new token's `exp` is the one that counts now, also when it is sooner.
    assert.equal((await renewed.ask("note", 1)).offset, 1);
    await renewed.ask("refresh", { token: token(person("ann", { exp: seconds(2) })) });
    assert.equal((await renewed.closed).code, 4001);
  });

  test("a refused refresh leaves the old token in force", async (t) => {
    const name = room();
    const exp = seconds(8);
    const ann = await join(t, server, name, person("ann", { exp }));
    const cases = [
      ["another user", { token: token(person("bob")) }, "forbidden"],
      ["expired", { token: token(person("ann", { exp: seconds(-60) })) }, "token_expired"],
      ["forged", { token: token(person("ann"), { secret: "x".repeat(40) }) }, "unauthorized"],
      ["not a token", { token: "garbage" }, "unauthorized"],
      ["no longer in", { token: token({ sub: "ann" }) }, "forbidden"],
      ["no token", {}, "invalid_payload"],
      ["a number", { token: 5 }, "invalid_payload"],
      ["nothing", undefined, "invalid_payload"],
    ];
    for (const [what, data, code] of cases) assert.equal((await ann.ask("refresh", data)).error?.code, code, what);
    assert.equal((await ann.ask("note", 1)).offset, 1);
    assert.equal((await ann.closed).code, 4001);
    assert.ok(Date.now() >= exp * 1000, "not before its time");
  });

  test("refresh takes over what the new token grants, less or more", async (t) => {
    const name = room();
    const ann = await join(t, server, name, person("ann"));
    await ann.ask("refresh", { token: token({ sub: "ann", rooms_read: ["demo:*"] }) });
    assert.equal((await ann.ask("note", 1)).error?.code, "forbidden");
    await ann.ask("refresh", { token: token(person("ann")) });
    assert.equal((await ann.ask("note", 1)).offset, 1);
  });

  // ── rate ─────────────────────────────────────────────────────────────────────────────────────────

  test("past the rate an event is refused with rate_limited, the room goes on, and later the sender may too", async (t) => {
    const name = room();
    const ann = await join(t, small, name, person("ann"));
    const bob = await join(t, small, name, person("bob"));
    for (let n = 0; n < 40; n++) ann.send({ event: "note", data: n, id: `n-${n}` });
    await ann.frame((frame) => frame.ack === "n-39", 20_000);
    const acks = ann.frames.filter((frame) => frame.ack);
    const accepted = acks.filter((ack) => ack.offset);
    assert.equal(acks.length, 40);
    assert.ok(accepted.length >= 5 && accepted.length < 20, `accepted ${accepted.length}`);
    for (const { error } of acks.filter((ack) => !ack.offset)) assert.equal(error.code, "rate_limited");
    assert.equal((await bob.ask("note", "bob's")).error, undefined);
    assert.deepEqual(named(bob, "note").map((frame) => `n-${frame.data}`), accepted.map((ack) => ack.ack));
    let later;
    for (const end = Date.now() + 20_000; !later?.offset && Date.now() < end; await new Promise((done) => setTimeout(done, 250))) {
      later = await ann.ask("note", "later");
    }
    assert.equal(typeof later.offset, "number");
    ann.send("ping");
    await ann.frame((frame) => frame === "pong");
  });

  // ── a chat's room ────────────────────────────────────────────────────────────────────────────────

  test("send_message in a chat becomes new_message to all, the sender too, with the seed's fields", async (t) => {
    const name = room("chat");
    const chatId = name.slice(5);
    const ann = await join(t, server, name, person(7, { role: "customer" }));
    const bob = await join(t, server, name, person("bob", { role: "provider" }));
    const ack = await ann.ask("send_message", { message: "hi é💬", message_type: "image" }, "c-1");
    assert.deepEqual({ ...ack, id: typeof ack.id }, { ack: "c-1", id: "string", offset: 1, duplicate: false });
    for (const client of [ann, bob]) {
      const { data, offset, at } = await client.event("new_message");
      assert.deepEqual([offset, data], [
        1,
        { id: ack.id, chatId, sender_type: "customer", sender_id: 7, message: "hi é💬", message_type: "image", created_at: at },
      ]);
    }
    await bob.ask("send_message", { message: "plain" });
    const second = await ann.frame((frame) => frame.offset === 2 && frame.event);
    assert.deepEqual([second.data.message_type, second.data.sender_type, second.data.sender_id], ["text", "provider", "bob"]);
    assert.notEqual(second.data.id, ack.id);
  });

  test("the same clientMessageId again gets the same id and sends nothing", async (t) => {
    const name = room("chat");
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    const sent = { message: "once", clientMessageId: "m-1" };
    const first = await ann.ask("send_message", sent);
    const again = await ann.ask("send_message", sent);
    const other = await ann.ask("send_message", { ...sent, clientMessageId: "m-2" });
    const bobs = await bob.ask("send_message", sent);
    const shape = ({ id, offset, duplicate }) => ({ id, offset, duplicate });
    assert.deepEqual(shape(again), { id: first.id, offset: 1, duplicate: true });
    assert.deepEqual([other.offset, other.duplicate, bobs.offset, bobs.duplicate], [2, false, 3, false]);
    await ann.frame((frame) => frame.event && frame.offset === 3);
    for (const client of [ann, bob]) assert.deepEqual(offsets(client), [1, 2, 3]);
  });

  test("a chat's bad messages and other events are refused", async (t) => {
    const ann = await join(t, server, room("chat"), person("ann"));
    const cases = [
      [{ message: "" }, "invalid_payload"],
      [{ message: " \n\t\u00a0" }, "invalid_payload"],
      [{ message: "x".repeat(10_001) }, "invalid_payload"],
      [{ message: "x", message_type: "video" }, "invalid_payload"],
      [{ message: 5 }, "invalid_payload"],
      [{}, "invalid_payload"],
      [undefined, "invalid_payload"],
      ["hi", "invalid_payload"],
      [["hi"], "invalid_payload"],
      [{ message: "x", clientMessageId: "" }, "invalid_payload"],
      [{ message: "x", clientMessageId: "i".repeat(65) }, "invalid_payload"],
    ];
    for (const [data, code] of cases) {
      const ack = await ann.ask("send_message", data);
      assert.equal(ack.error?.code, code, JSON.stringify(data)?.slice(0, 80));
    }
    for (const [event, code] of [["note", "unknown_event"], ["new_message", "invalid_payload"], ["user_joined", "invalid_payload"]]) {
      assert.equal((await ann.ask(event, {})).error?.code, code, event);
    }
    assert.equal((await ann.ask("send_message", { message: "é".repeat(10_000) })).offset, 1);
  });

  test("a chat's typing and messages_read name the chat and not the room", async (t) => {
    const name = room("chat");
    const chatId = name.slice(5);
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    await ann.ask("send_message", { message: "hi" });
    await ann.ask("typing", { isTyping: true });
    await ann.ask("mark_read", {});
    assert.deepEqual((await bob.event("user_typing")).data, { userId: "ann", isTyping: true, chatId });
    const read = (await bob.event("messages_read")).data;
    assert.deepEqual([read.userId, read.chatId, "room" in read], ["ann", chatId, false]);
  });

  test("a chat's messages sent while one was away arrive after the reconnect, before presence_state", async (t) => {
    const name = room("chat");
    const ann = await join(t, server, name, person("ann"));
    const bob = await join(t, server, name, person("bob"));
    await ann.ask("send_message", { message: "1" });
    const { offset } = await bob.event("new_message");
    await bob.close(4000);
    await ann.ask("send_message", { message: "2" });
    await ann.ask("typing", { isTyping: true });
    await ann.ask("send_message", { message: "3" });
    const back = await join(t, server, name, person("bob"), { query: { since: `${bob.frames[0].data.epoch}:${offset}` } });
    assert.deepEqual(back.frames.map((frame) => frame.data.message ?? frame.event), ["connected", "2", "3", "presence_state"]);
    await ann.ask("send_message", { message: "4" });
    await back.frame((frame) => frame.data?.message === "4");
  });
});
