// Socket.IO on `/` (CONTRACT "Socket.IO", "`/`"): stock clients, old and new, over each transport; no client code of ours.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, CONTACT, engine, enter, eventually, handshake, history, inbound, ioConnected, join, serve, SERVICE, sleep, STOCK_CLIENTS, token } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 };
const TRANSPORTS = [["websocket"], ["polling"], ["polling", "websocket"]];
const VARIANTS = Object.keys(STOCK_CLIENTS).flatMap((version) => TRANSPORTS.map((transports) => ({ version, transports })));

let server;
/** Two lobbies. */
let lobbies;
const ends = [];
let count = 0;

/** A room, a user, a line that no other test uses. */
const room = (kind = "demo") => `${kind}:${++count}`;
const user = (name) => `${name}-${++count}`;
const newLine = () => `+1555030${String(++count).padStart(4, "0")}`;
/** Someone who may do everything in every room. */
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const path = (name, rest) => `/rooms/${encodeURIComponent(name)}${rest}`;
const userIds = (users) => users.map(({ userId }) => userId).sort();

/** `listener` has everything that `sender` caused in the room until now. */
async function fence(sender, listener, name) {
  const id = `fence-${++count}`;
  assert.equal((await sender.ask("send", { room: name, event: "fence", data: id })).ok, true);
  await listener.event("fence", (data) => data === id);
}

async function refusedBy(client, code, event, ...args) {
  const answer = await client.ask(event, ...args);
  assert.deepEqual([answer.ok, answer.error?.code, typeof answer.error?.message], [false, code, "string"], `${event} ${JSON.stringify(args)}: ${JSON.stringify(answer)}`);
}

before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  [server, lobbies] = await Promise.all([serve(lifetime, { vars: ROOMY }), serve(lifetime, { vars: { ...ROOMY, LOBBIES: 2 } })]);
});
after(() => Promise.all(ends.map((end) => end())));

for (const variant of VARIANTS) {
  const { version, transports } = variant;
  describe(`/ with socket.io-client ${version} over ${transports.join(", then ")}`, { concurrency: 6, timeout: 120_000 }, () => {
    test("a client that connects gets `connected` with a message and its user id", async (t) => {
      const ann = await ioConnected(t, server, person("ann"), variant);
      const { message, userId } = await ann.event("connected");
      assert.deepEqual([typeof message, userId, typeof ann.socket.id], ["string", "ann", "string"]);
      assert.equal(ann.socket.io.engine.transport.name, transports.at(-1));
    });

    test("join, by object or by name, is acknowledged with the room's position, then presence_state comes; leave ends it", async (t) => {
      const name = room();
      const ann = await ioConnected(t, server, person("ann", { name: "Ann" }), variant);
      for (const [n, data] of [{ room: name }, name].entries()) {
        const ack = await ann.ask("join", data);
        assert.deepEqual({ ...ack, epoch: typeof ack.epoch }, { ok: true, room: name, epoch: "string", offset: n });
        const state = await ann.event("presence_state");
        assert.deepEqual([state.room, state.users.map(({ userId, name: shown }) => [userId, shown])], [name, [["ann", "Ann"]]]);
        assert.equal(new Date(state.users[0].since).toISOString(), state.users[0].since);
        assert.deepEqual(Object.keys(await ann.ask("leave", data)), ["ok", "room", "epoch", "offset"]);
        ann.heard.length = 0;
        const posted = await call(server, "POST", path(name, "/events"), { as: person("bob"), body: { event: "note", data: n } });
        assert.equal(posted.status, 200);
      }
      await refusedBy(ann, "not_in_room", "send", { room: name, event: "note", data: 1 });
      assert.deepEqual(ann.all("note"), [], "what was said after the leave");
    });

    test("those in a room hear who comes at once and who leaves, as presence_diff", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob", { name: "Bob" }), variant);
      assert.deepEqual(userIds((await bob.event("presence_state")).users), ["ann", "bob"]);
      const came = await ann.event("presence_diff", (diff) => diff.joins.length > 0);
      assert.deepEqual([came.room, came.joins.map(({ userId, name: shown }) => [userId, shown]), came.leaves], [name, [["bob", "Bob"]], []]);
      await bob.ask("leave", name);
      const left = await ann.event("presence_diff", (diff) => diff.leaves.length > 0);
      assert.deepEqual([left.room, left.joins, userIds(left.leaves)], [name, [], ["bob"]]);
    });

    test("message_sent comes back as message_updated in every tab of the user, and in nobody else's", async (t) => {
      const sub = user("ann");
      const tabs = [];
      for (let n = 0; n < 3; n++) tabs.push(await ioConnected(t, server, person(sub), variant));
      const bob = await ioConnected(t, server, person(user("bob")), variant);
      const sent = { phoneNumberId: "+15550100002", to: CONTACT, body: "é💬", timestamp: "2026-01-05T10:00:00.000Z" };
      assert.equal((await tabs[0].ask("message_sent", sent)).ok, true);
      for (const tab of tabs) {
        const { direction, timestamp, ...rest } = await tab.event("message_updated");
        const { timestamp: _, ...expected } = sent;
        assert.deepEqual([direction, typeof timestamp, rest], ["outbound", "string", expected]);
      }
      await bob.ask("test");
      assert.deepEqual(bob.all("message_updated"), []);
    });

    test("typing reaches the others and not oneself, and is over by itself after three seconds", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob"), variant);
      const start = Date.now();
      assert.equal((await ann.ask("typing", { room: name, isTyping: true })).ok, true);
      assert.deepEqual(await bob.event("user_typing"), { userId: "ann", room: name, isTyping: true });
      await bob.event("user_typing", (data) => data.isTyping === false);
      const took = Date.now() - start;
      assert.ok(took > 2_500 && took < 6_000, `${took} ms`);
      await ann.ask("typing", { room: name, isTyping: true });
      await ann.ask("typing", { room: name, isTyping: false });
      await fence(ann, bob, name);
      assert.deepEqual(bob.all("user_typing").map((data) => data.isTyping), [true, false, true, false]);
      assert.deepEqual(ann.all("user_typing"), []);
    });

    test("mark_read becomes messages_read at the others and one's own tabs, and never moves back", async (t) => {
      const name = room();
      const [ann, tab] = [await enter(t, server, name, person("ann"), variant), await enter(t, server, name, person("ann"), variant)];
      const bob = await enter(t, server, name, person("bob"), variant);
      for (let n = 1; n <= 4; n++) await bob.ask("send", { room: name, event: "note", data: n });
      for (const offset of [2, 1, 2, 3, 99, undefined]) assert.equal((await ann.ask("mark_read", { room: name, offset })).ok, true, String(offset));
      await fence(ann, bob, name);
      await fence(bob, tab, name);
      for (const client of [bob, tab]) assert.deepEqual(client.all("messages_read"), [2, 3, 4].map((offset) => ({ userId: "ann", room: name, offset })));
      assert.ok((await history(server, name)).messages.every(({ event }) => event !== "messages_read"), "it is not logged");
    });

    test("send puts a relay room's event into its log and to the others, in order, each once", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob"), variant);
      const acks = await Promise.all(Array.from({ length: 20 }, (_, n) => ann.ask("send", { room: name, event: "note", data: { n } })));
      assert.deepEqual(acks, Array.from({ length: 20 }, (_, n) => ({ ok: true, offset: n + 1, duplicate: false })));
      await fence(ann, bob, name);
      assert.deepEqual(bob.all("note").map(({ n }) => n), Array.from({ length: 20 }, (_, n) => n));
      assert.deepEqual(ann.all("note"), [], "the sender gets the ack alone");
      const { messages } = await history(server, name);
      assert.deepEqual(messages.slice(0, 20).map(({ event, data, sender, offset }) => [event, data.n, sender, offset]), Array.from({ length: 20 }, (_, n) => ["note", n, "ann", n + 1]));
    });

    test("an event of any JSON value, or of none, arrives with the arguments that it was sent with", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob"), variant);
      const values = [null, true, 0, -1.5, "", "é\u2028💬\\\"", [], [1, [2]], {}, { a: { b: [null] } }];
      for (const [n, data] of values.entries()) {
        assert.equal((await ann.ask("send", { room: name, event: `v${n}`, data })).ok, true);
        assert.deepEqual(await bob.event(`v${n}`), data);
      }
      await ann.ask("send", { room: name, event: "bare" });
      await bob.event("bare");
      const { args } = bob.heard.find(({ event }) => event === "bare");
      assert.ok(args.every((argument) => typeof argument === "string"), `no argument but recovery's offset: ${JSON.stringify(args)}`);
    });

    test("test echoes all its arguments, binary too, and acknowledges", async (t) => {
      const ann = await ioConnected(t, server, person("ann"), variant);
      const sent = [1, "two", { three: [true, null] }, Buffer.from([0, 1, 254, 255]), { deep: [Buffer.from("x".repeat(70_000))] }];
      assert.deepEqual(await ann.ask("test", ...sent), { ok: true });
      await ann.event("test");
      assert.deepEqual(ann.heard.find(({ event }) => event === "test").args.slice(0, sent.length), sent);
      ann.heard.length = 0;
      ann.socket.emit("test");
      await ann.event("test");
    });

    test("what cannot be done is refused in the ack with its code", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const nobody = await ioConnected(t, server, { sub: "nobody" }, variant);
      for (const other of ["chat:1", "job:1", "brand:1"]) await refusedBy(ann, "wrong_namespace", "join", { room: other });
      for (const kind of ["lobby:0", "admins:all", `user:${user("bob")}`]) await refusedBy(nobody, "forbidden", "join", kind);
      await refusedBy(nobody, "forbidden", "join", { room: name });
      for (const event of ["nonsense", "join_chat", "new_message", "ünï"]) await refusedBy(ann, "unknown_event", event, { room: name });
      for (const [event, ...args] of [
        ["join"],
        ["join", 5],
        ["join", {}],
        ["join", { room: "no kind" }],
        ["leave", null],
        ["typing", { room: name }],
        ["typing", { room: name, isTyping: "yes" }],
        ["mark_read", { room: name, offset: -1 }],
        ["send", { room: name, data: 1 }],
        ["send", "text"],
        ["message_sent", 7],
        ["refresh", {}],
      ]) {
        await refusedBy(ann, "invalid_payload", event, ...args);
      }
      const elsewhere = room();
      for (const [event, data] of [["send", { event: "note", data: 1 }], ["typing", { isTyping: true }], ["mark_read", {}]]) {
        await refusedBy(ann, "not_in_room", event, { room: elsewhere, ...data });
      }
      assert.deepEqual(await ann.ask("test"), { ok: true }, "the connection goes on");
    });

    test("without a callback an error arrives as the event `error` with message, code and event", async (t) => {
      const ann = await ioConnected(t, server, person("ann"), variant);
      for (const [event, data, code] of [["nonsense", 1, "unknown_event"], ["join", 5, "invalid_payload"], ["send", { room: room(), event: "a", data: 1 }, "not_in_room"]]) {
        ann.socket.emit(event, data);
        const error = await ann.event("error", (found) => found.event === event);
        assert.deepEqual({ ...error, message: typeof error.message }, { message: "string", code, event });
      }
    });

    test("two clients give each other binary, a plain socket and the history have it as $binary", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob"), variant);
      const plain = await join(t, server, name, person("carol"));
      const bytes = Buffer.from([0, 10, 200, 255]);
      const $binary = bytes.toString("base64");
      await ann.ask("send", { room: name, event: "photo", data: bytes });
      await ann.ask("send", { room: name, event: "album", data: { title: "é", photos: [bytes, Buffer.alloc(0)] } });
      assert.deepEqual(await bob.event("photo"), bytes);
      assert.deepEqual(await bob.event("album"), { title: "é", photos: [bytes, Buffer.alloc(0)] });
      const inJson = [{ $binary }, { title: "é", photos: [{ $binary }, { $binary: "" }] }];
      assert.deepEqual([(await plain.event("photo")).data, (await plain.event("album")).data], inJson);
      assert.deepEqual((await history(server, name)).messages.map(({ data }) => data), inJson);
    });

    test("an inbound SMS is on its agent's screen as new_message before the webhook's 200, and on nobody else's", async (t) => {
      const [line, sub] = [newLine(), user("agent")];
      await call(server, "PUT", `/api/lines/${encodeURIComponent(line)}/assignees/${sub}`, { as: SERVICE });
      const tabs = [await ioConnected(t, server, { sub }, variant), await ioConnected(t, server, { sub }, variant)];
      const bob = await ioConnected(t, server, { sub: user("bob") }, variant);
      const posted = await inbound(server, { To: line, Body: "Grüße 👍" });
      assert.equal(posted.status, 200);
      // It was sent first; that this process also reads it first, from another connection, nobody promises.
      await sleep(250);
      assert.deepEqual(tabs.map((tab) => tab.all("new_message").length), [1, 1]);
      for (const tab of tabs) {
        const message = await tab.event("new_message");
        const { phoneNumberId, from, to, body, direction, messageSid, channel } = message;
        assert.deepEqual([phoneNumberId, from, to, body, direction, messageSid, channel], [line, CONTACT, line, "Grüße 👍", "inbound", posted.params.MessageSid, "sms"]);
      }
      await bob.ask("test");
      assert.deepEqual([tabs[0].all("new_message").length, bob.all("new_message")], [1, []]);
    });

    test("a plain WebSocket, an HTTP request and a Socket.IO client in one room hear each other", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const plain = await join(t, server, name, person(7));
      await ann.event("presence_diff", (diff) => diff.joins.some(({ userId }) => userId === 7));
      assert.deepEqual(userIds((await plain.event("presence_state")).data.users), [7, "ann"]);
      assert.deepEqual(await plain.ask("note", { from: "plain" }, "p-1"), { ack: "p-1", offset: 1, duplicate: false });
      assert.deepEqual(await ann.ask("send", { room: name, event: "note", data: { from: "socket.io" } }), { ok: true, offset: 2, duplicate: false });
      const posted = await call(server, "POST", path(name, "/events"), { as: person("backend"), body: { event: "note", data: { from: "http" } } });
      assert.deepEqual(posted.body, { offset: 3, duplicate: false });
      await ann.event("note", ({ from }) => from === "http");
      await plain.frame((frame) => frame.offset === 3);
      assert.deepEqual(ann.all("note").map(({ from }) => from), ["plain", "http"]);
      assert.deepEqual(plain.frames.filter((frame) => frame.event === "note").map(({ data, offset, sender }) => [data.from, offset, sender]), [["socket.io", 2, "ann"], ["http", 3, "backend"]]);
      plain.send({ event: "typing", data: { isTyping: true } });
      assert.deepEqual(await ann.event("user_typing"), { userId: 7, room: name, isTyping: true });
      await ann.ask("typing", { room: name, isTyping: true });
      assert.deepEqual((await plain.event("user_typing")).data, { userId: "ann", room: name, isTyping: true });
    });

    test("with ?room= the connection lives in that room: its sid says so, and nothing else is different", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), { ...variant, query: { room: name } });
      const bob = await enter(t, server, name, person("bob"), variant);
      const elsewhere = room();
      assert.equal(ann.home, name);
      assert.match(bob.home, /^lobby:/);
      for (const client of [ann, bob]) assert.equal((await client.ask("join", elsewhere)).ok, true);
      for (const where of [name, elsewhere]) {
        assert.equal((await ann.ask("send", { room: where, event: "note", data: `ann in ${where}` })).ok, true);
        assert.equal((await bob.ask("send", { room: where, event: "note", data: `bob in ${where}` })).ok, true);
      }
      for (const [client, other] of [[ann, "bob"], [bob, "ann"]]) {
        await client.event("note", (data) => data === `${other} in ${elsewhere}`);
        assert.deepEqual(client.all("note").sort(), [elsewhere, name].map((where) => `${other} in ${where}`).sort());
      }
      assert.deepEqual(await ann.event("connected").then(({ userId }) => userId), "ann");
    });

    test("user ids that are integers in the token are integers in every payload", async (t) => {
      for (const sub of [7_000_000 + ++count, String(++count)]) {
        const name = room();
        const watcher = await enter(t, server, name, person("watcher"), variant);
        const client = await enter(t, server, name, person(sub), variant);
        await client.ask("typing", { room: name, isTyping: true });
        await client.ask("mark_read", { room: name });
        await client.ask("send", { room: name, event: "note", data: 1 });
        await client.ask("mark_read", { room: name });
        const found = [
          (await client.event("connected")).userId,
          (await watcher.event("presence_diff")).joins[0].userId,
          (await watcher.event("user_typing")).userId,
          (await watcher.event("messages_read")).userId,
        ];
        assert.deepEqual(found, [sub, sub, sub, sub]);
      }
    });

    test("several namespaces share one connection; leaving one leaves the others", async (t) => {
      const ann = await ioConnected(t, server, person("ann"), variant);
      const chat = await ann.namespace("/chat");
      assert.notEqual(chat.socket.id, ann.socket.id);
      assert.deepEqual((await chat.event("connected")).userId, "ann");
      const nowhere = ann.namespace("/nowhere");
      await assert.rejects(nowhere, /Invalid namespace/);
      const [name, chatId] = [room(), room().slice(5)];
      assert.deepEqual([(await ann.ask("join", name)).ok, (await chat.ask("join_chat", { chatId })).ok], [true, true]);
      chat.socket.disconnect();
      assert.equal((await ann.ask("send", { room: name, event: "note", data: 1 })).ok, true);
      chat.heard.length = 0;
      chat.socket.connect();
      await chat.event("connected");
      await refusedBy(chat, "not_in_room", "send_message", { chatId, message: "a new socket is in no chat" });
      ann.socket.disconnect();
      assert.equal((await chat.ask("join_chat", { chatId })).ok, true, "the other way round too");
    });

    test("a client that disconnects is out after the grace, and one that comes back within it was never away", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob"), variant);
      const carol = await enter(t, server, name, person("carol"), variant);
      bob.close();
      carol.close();
      await sleep(500);
      await enter(t, server, name, person("carol"), variant);
      const left = await ann.event("presence_diff", (diff) => diff.leaves.length > 0, 12_000);
      assert.deepEqual(userIds(left.leaves), ["bob"]);
      assert.deepEqual(ann.all("presence_diff").flatMap(({ joins }) => userIds(joins)), ["bob", "carol"]);
    });

    test("volatile, compressed and timed events are events", async (t) => {
      const name = room();
      const ann = await enter(t, server, name, person("ann"), variant);
      const bob = await enter(t, server, name, person("bob"), variant);
      await sleep(100); // a volatile event is dropped by the client while a POST or an upgrade is under way
      ann.socket.volatile.emit("send", { room: name, event: "volatile", data: 1 });
      await bob.event("volatile");
      ann.socket.compress(true).emit("send", { room: name, event: "compressed", data: "x".repeat(5000) });
      assert.equal((await bob.event("compressed")).length, 5000);
    });
  });
}

describe("/ whatever the client", { concurrency: 6, timeout: 120_000 }, () => {
  test("refresh takes a new token of the same user, and of nobody else", async (t) => {
    const ann = await ioConnected(t, server, person("ann"));
    assert.equal((await ann.ask("refresh", { token: token(person("ann")) })).ok, true);
    await refusedBy(ann, "forbidden", "refresh", { token: token(person("bob")) });
    const garbage = await ann.ask("refresh", { token: "garbage" });
    assert.deepEqual([garbage.ok, typeof garbage.error.code], [false, "string"]);
    assert.deepEqual(await ann.ask("test"), { ok: true }, "the old token is in force");
  });

  test("an admin is in admins:all and their own rooms from the start, and others may not join them", async (t) => {
    const root = await ioConnected(t, server, ADMIN);
    const ann = await ioConnected(t, server, { sub: "ann" });
    for (const name of ["admins:all", "admin:root"]) await refusedBy(ann, "forbidden", "join", name);
    assert.equal((await root.ask("join", "admins:all")).ok, true);
  });

  test("two lobbies: everyone in one room sees the same messages in the same order", async (t) => {
    const chatId = room().slice(5);
    const clients = [];
    for (let n = 0; n < 40; n++) {
      const client = await ioConnected(t, lobbies, person(`u${n}`), { namespace: "/chat" });
      assert.equal((await client.ask("join_chat", { chatId })).ok, true);
      clients.push(client);
      if (n >= 5 && new Set(clients.map(({ home }) => home)).size === 2) break;
    }
    assert.deepEqual([...new Set(clients.map(({ home }) => home))].sort(), ["lobby:0", "lobby:1"]);
    const sent = clients.flatMap((client, who) => Array.from({ length: 25 }, (_, n) => client.ask("send_message", { chatId, message: `${who}-${n}` })));
    const acks = await Promise.all(sent);
    assert.ok(acks.every(({ ok }) => ok));
    const views = clients.map((client) => () => client.all("new_message").map(({ message }) => message));
    await eventually("everyone has everything", () => views.every((view) => view().length === acks.length));
    for (const view of views) assert.deepEqual(view(), views[0]());
    assert.deepEqual(views[0](), (await history(lobbies, `chat:${chatId}`)).messages.map(({ data }) => data.message), "the log's order");
  });

  test("two lobbies: a user's tabs on both are one person, and each gets what is for that user", async (t) => {
    const [name, sub] = [room(), user("ann")];
    const watcher = await enter(t, lobbies, name, person("watcher"));
    const tabs = new Map();
    for (let n = 0; n < 40 && tabs.size < 2; n++) {
      const tab = await enter(t, lobbies, name, person(sub));
      if (tabs.has(tab.home)) tab.close();
      else tabs.set(tab.home, tab);
    }
    const [one, two] = tabs.values();
    await one.ask("message_sent", { phoneNumberId: "1", to: "2", body: "hi", timestamp: "2026-01-05T10:00:00.000Z" });
    for (const tab of [one, two]) assert.equal((await tab.event("message_updated")).body, "hi");
    await one.ask("send", { room: name, event: "note", data: 1 });
    assert.equal(await two.event("note"), 1);
    await fence(one, watcher, name);
    assert.deepEqual(watcher.all("presence_diff").map(({ joins, leaves }) => [userIds(joins), userIds(leaves)]), [[[sub], []]]);
    one.close();
    await sleep(8_000);
    assert.equal(watcher.all("presence_diff").length, 1, "the other tab is still there");
    two.close();
    await watcher.event("presence_diff", (diff) => diff.leaves.length === 1, 12_000);
  });

  test("DELETE connections disconnects that user's Socket.IO sockets and nobody else's; they may come back", async (t) => {
    const [name, sub] = [room(), user("bob")];
    const ann = await enter(t, server, name, person("ann"));
    const tabs = [await enter(t, server, name, person(sub)), await enter(t, server, name, person(sub), { query: { room: name } })];
    const gone = tabs.map((tab) => tab.disconnected());
    const { status } = await call(server, "DELETE", path(name, `/connections?user=${sub}`), { as: SERVICE });
    assert.ok(status === 200 || status === 204, String(status));
    await Promise.all(gone);
    assert.ok(ann.socket.connected);
    await enter(t, server, name, person(sub));
  });

  test("a member who is removed is out of the room at once, on Socket.IO too, and stays out", async (t) => {
    const [name, sub] = [room(), user("guest")];
    await call(server, "PUT", path(name, `/members/${sub}`), { as: SERVICE });
    const guest = await enter(t, server, name, { sub });
    const ann = await enter(t, server, name, person("ann"));
    await ann.ask("send", { room: name, event: "note", data: 1 });
    await guest.event("note");
    await call(server, "DELETE", path(name, `/members/${sub}`), { as: SERVICE });
    await ann.ask("send", { room: name, event: "note", data: 2 });
    await ann.event("presence_diff", (diff) => userIds(diff.leaves).includes(sub), 12_000);
    assert.deepEqual(guest.all("note"), [1]);
    const again = guest.socket.connected ? guest : await ioConnected(t, server, { sub });
    await refusedBy(again, "forbidden", "join", name);
  });

  test("a grant to read joins and hears, and sends nothing", async (t) => {
    const name = room();
    const ann = await enter(t, server, name, person("ann"));
    const reader = await enter(t, server, name, { sub: "reader", rooms_read: [name] });
    await ann.ask("send", { room: name, event: "note", data: 1 });
    assert.equal(await reader.event("note"), 1);
    await refusedBy(reader, "forbidden", "send", { room: name, event: "note", data: 2 });
    assert.deepEqual((await history(server, name)).messages.length, 1);
  });

  test("past the rate an event is refused with rate_limited, and later it is taken", async (t) => {
    const slow = await serve(t, { vars: { RATE_EVENTS_PER_SECOND: 2, RATE_BURST: 5 } });
    const ann = await ioConnected(t, slow, person("ann"));
    const acks = await Promise.all(Array.from({ length: 20 }, () => ann.ask("test")));
    const codes = acks.map(({ ok, error }) => (ok ? "ok" : error.code));
    assert.deepEqual([...new Set(codes)].sort(), ["ok", "rate_limited"]);
    assert.ok(codes.filter((code) => code === "ok").length <= 8, codes.join());
    await sleep(1_500);
    assert.deepEqual(await ann.ask("test"), { ok: true });
  });

  test("the client's retries send an event again when its ack is lost, and it is taken as the client expects", async (t) => {
    const name = room();
    const ann = await enter(t, server, name, person("ann"), { retries: 3, ackTimeout: 2_000 });
    const bob = await enter(t, server, name, person("bob"));
    for (let n = 0; n < 5; n++) assert.equal((await ann.socket.emitWithAck("send", { room: name, event: "note", data: n })).ok, true);
    await fence(ann, bob, name);
    assert.deepEqual(bob.all("note"), [0, 1, 2, 3, 4]);
  });

  test("polling and WebSocket handshakes have exactly the keys that the protocol has, and the default timings", async () => {
    const polled = await handshake(server);
    assert.deepEqual({ ...polled, sid: 0 }, { sid: 0, upgrades: ["websocket"], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000 });
    const { headers } = await engine(server, "GET");
    assert.match(headers.get("content-type"), /^text\/plain; ?charset=utf-8$/i);
    assert.match(headers.get("cache-control"), /no-store/);
  });
});
