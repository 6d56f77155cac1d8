// Connection state recovery (CONTRACT "Recovery"): cuts, crashes, other lobbies; each missed packet once, in order.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { call, crash, cutWhile, eventually, freePort, io, ioConnected, persistDir, rawConnect, serve, sleep, token } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 100_000, RATE_BURST: 1_000_000 };
/** A stock client that comes back at once. */
const BACK = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500 };

let server;
let lobbies;
const ends = [];
let count = 0;

const room = () => `demo:${++count}`;
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const ok = (answer) => assert.equal(answer.ok, true, JSON.stringify(answer));

before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  [server, lobbies] = await Promise.all([serve(lifetime, { vars: ROOMY }), serve(lifetime, { vars: { ...ROOMY, LOBBIES: 2 } })]);
});
after(() => Promise.all(ends.map((end) => end())));

async function enter(t, to, name, claims, options) {
  const client = await ioConnected(t, to, claims, { ...BACK, ...options });
  ok(await client.ask("join", name));
  await client.event("presence_state", (data) => data.room === name);
  return client;
}

/** The network fails; gives a promise of the socket's next connection. */
function cut(client) {
  const back = client.reconnected();
  client.cut();
  return back;
}

const say = (client, name, data) => client.ask("send", { room: name, event: "note", data }).then(ok);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe("connection state recovery", { concurrency: 8, timeout: 120_000 }, () => {
  test("a client that was cut comes back as the same socket, with what it missed, once and in order", async (t) => {
    const name = room();
    const ann = await enter(t, server, name, person("ann"));
    const bob = await enter(t, server, name, person("bob"));
    for (const n of numbers(1, 3)) await say(bob, name, n);
    await ann.event("note", (n) => n === 3);
    const { id } = ann.socket;
    for (const round of numbers(1, 5)) {
      const first = round * 10;
      await cutWhile(ann, async () => {
        for (const n of numbers(first, first + 9)) await say(bob, name, n);
      });
      assert.deepEqual([ann.socket.recovered, ann.socket.id], [true, id], `round ${round}`);
      await ann.event("note", (n) => n === first + 9);
    }
    await say(bob, name, "after");
    await ann.event("note", (n) => n === "after");
    assert.deepEqual(ann.all("note"), [...numbers(1, 3), ...numbers(10, 59), "after"]);
    assert.equal(ann.all("connected").length, 1, "it is not repeated");
    assert.equal(ann.all("presence_state").length, 1 + 5, "who is here may have changed while it was cut");
    await say(ann, name, "from ann");
    await bob.event("note", (data) => data === "from ann");
  });

  test("a recovered socket is in all its rooms still, /chat too, and nobody hears that it was away", async (t) => {
    const chatId = room().slice(5);
    const people = [];
    for (const sub of ["ann", "bob"]) {
      const client = await ioConnected(t, server, person(sub), { ...BACK, namespace: "/chat" });
      for (const id of [chatId, `${chatId}-b`, `${chatId}-c`]) ok(await client.ask("join_chat", { chatId: id }));
      people.push(client);
    }
    const [one, two] = people;
    await cutWhile(one, async () => {
      for (const id of [chatId, `${chatId}-b`, `${chatId}-c`]) ok(await two.ask("send_message", { chatId: id, message: `in ${id}` }));
    });
    assert.equal(one.socket.recovered, true);
    await eventually("all three", () => one.all("new_message").length === 3);
    ok(await one.ask("send_message", { chatId: `${chatId}-c`, message: "and I am in it" }));
    await sleep(6_500); // past the grace
    assert.deepEqual([two.all("user_left"), one.all("connected").length, one.all("joined_chat").length], [[], 1, 3]);
    assert.equal(two.all("user_joined").length, 0, "bob came last, and ann did not come twice");
  });

  test("both namespaces of one connection are recovered", async (t) => {
    const [name, chatId] = [room(), room().slice(5)];
    const ann = await enter(t, server, name, person("ann"));
    const chat = await ann.namespace("/chat");
    ok(await chat.ask("join_chat", { chatId }));
    const bob = await enter(t, server, name, person("bob"));
    const ids = [ann.socket.id, chat.socket.id];
    await Promise.all([cut(ann), chat.reconnected()]);
    assert.deepEqual([ann.socket.recovered, chat.socket.recovered, ann.socket.id, chat.socket.id], [true, true, ...ids]);
    await say(bob, name, 1);
    await ann.event("note");
    ok(await chat.ask("send_message", { chatId, message: "still in it" }));
  });

  test("recovery works before the first event: a CONNECT with a pid and no offset", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    const { sid, pid } = first.connect;
    assert.equal(typeof pid, "string");
    ok(await first.askRaw("join", name));
    first.socket.terminate();
    await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data: 1 } });
    const again = await rawConnect(t, server, person("ann"), { pid });
    assert.deepEqual(again.connect, { sid, pid });
    const notes = () => again.events().filter(([event]) => event === "note");
    await again.frame(() => notes().length > 0);
    assert.deepEqual(notes().map(([, data]) => data), [1]);
    ok(await again.askRaw("send", { room: name, event: "note", data: 2 }));
  });

  test("what was missed comes before the CONNECT reply, each event with its offset", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    const { sid, pid } = first.connect;
    ok(await first.askRaw("join", name));
    await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data: 1 } });
    await first.frame((frame) => frame.includes('"note"'));
    const offset = first.events().at(-1).at(-1);
    assert.equal(typeof offset, "string");
    first.socket.terminate();
    for (const data of [2, 3]) await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data } });
    const again = await rawConnect(t, server, person("ann"), { pid, offset });
    assert.deepEqual(again.connect, { sid, pid });
    const at = again.frames.findIndex((frame) => frame.startsWith("40"));
    const missed = again.frames.slice(0, at).filter((frame) => frame.startsWith("42")).map((frame) => JSON.parse(frame.slice(2)));
    assert.deepEqual(missed.filter(([event]) => event === "note").map(([, data]) => data), [2, 3]);
    assert.ok(missed.every((args) => typeof args.at(-1) === "string" && args.at(-1) !== offset), "each with a later offset");
  });

  test("a session is recovered twice from the same offset: the client may not have heard of the first time", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    const { sid, pid } = first.connect;
    ok(await first.askRaw("join", name));
    const offset = first.events().at(-1).at(-1);
    first.socket.terminate();
    await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data: 1 } });
    for (const round of [1, 2, 3]) {
      const again = await rawConnect(t, server, person("ann"), { pid, offset });
      assert.deepEqual(again.connect, { sid, pid }, `round ${round}`);
      await again.frame((frame) => frame.includes('"note"'));
      assert.equal(again.events().filter(([event]) => event === "note").length, 1);
      if (round < 3) again.socket.terminate();
    }
  });

  test("the old connection, if the server still believes in it, is replaced by the recovered one", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    ok(await first.askRaw("join", name));
    const again = await rawConnect(t, server, person("ann"), { pid: first.connect.pid, offset: first.events().at(-1).at(-1) });
    assert.equal(again.connect.sid, first.connect.sid);
    await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data: 1 } });
    await again.frame((frame) => frame.includes('"note"'));
    await sleep(300);
    assert.equal(first.frames.filter((frame) => frame.includes('"note"')).length, 0, "one socket, one wire");
  });

  test("a client whose reconnect lands on another lobby is recovered there, and goes on hearing its rooms", async (t) => {
    const name = room();
    const bob = await enter(t, lobbies, name, person("bob"));
    const homes = new Set();
    let client = await rawConnect(t, lobbies, person("ann"));
    const { sid } = client.connect;
    ok(await client.askRaw("join", name));
    let heard = [];
    for (let n = 1; n <= 40 && homes.size < 2; n++) {
      homes.add(homeOf(client));
      const { pid } = client.connect;
      const offset = client.events().at(-1)?.at(-1);
      heard = heard.concat(client.events().filter(([event]) => event === "note").map(([, data]) => data));
      client.socket.terminate();
      await say(bob, name, n);
      client = await rawConnect(t, lobbies, person("ann"), { pid, offset });
      assert.equal(client.connect.sid, sid, `reconnect ${n}, from ${[...homes]} to ${homeOf(client)}`);
      await client.frame((frame) => frame.startsWith(`42["note",${n}`));
      homes.add(homeOf(client));
    }
    assert.deepEqual([...homes].sort(), ["lobby:0", "lobby:1"]);
    heard = heard.concat(client.events().filter(([event]) => event === "note").map(([, data]) => data));
    assert.deepEqual(heard, numbers(1, heard.length));
    await say(bob, name, "live");
    await client.frame((frame) => frame.startsWith('42["note","live"'));
    ok(await client.askRaw("send", { room: name, event: "note", data: "from the other lobby" }));
    await bob.event("note");
  });

  test("after kill -9 a stock client is recovered: same id, its rooms, and what was sent meanwhile", async (t) => {
    const [persist, port, name] = [persistDir(), await freePort(), room()];
    let running = await serve(t, { persist, port, vars: ROOMY });
    const ann = await enter(t, running, name, person("ann"));
    const quiet = await ioConnected(t, running, person("quiet"), { ...BACK, namespace: "/chat" });
    ok(await quiet.ask("join_chat", { chatId: name.slice(5) }));
    const bob = await enter(t, running, name, person("bob"));
    for (const n of numbers(1, 3)) await say(bob, name, n);
    await ann.event("note", (n) => n === 3);
    const ids = [ann, quiet, bob].map(({ socket }) => socket.id);
    for (const round of [1, 2]) {
      const back = [ann, quiet, bob].map((client) => client.reconnected());
      await crash(running);
      running = await serve(t, { persist, port, vars: ROOMY });
      await call(running, "POST", `/rooms/${name}/events`, { as: person("backend"), body: { event: "note", data: `backend ${round}` } });
      await Promise.all(back);
      assert.deepEqual([ann, quiet, bob].map(({ socket }) => [socket.recovered, socket.id]), ids.map((id) => [true, id]), `round ${round}`);
      await say(bob, name, `bob ${round}`);
      await ann.event("note", (data) => data === `bob ${round}`);
      ok(await quiet.ask("send_message", { chatId: name.slice(5), message: "still in it" }));
    }
    assert.deepEqual(ann.all("note"), [1, 2, 3, "backend 1", "bob 1", "backend 2", "bob 2"]);
    assert.equal(ann.all("connected").length, 1);
  });

  test("after RECOVERY_WINDOW_MS a client is plainly new: not recovered, another id, in no room", async (t) => {
    const brief = await serve(t, { vars: { ...ROOMY, RECOVERY_WINDOW_MS: 1_000 } });
    const name = room();
    const ann = await enter(t, brief, name, person("ann"));
    const bob = await enter(t, brief, name, person("bob"));
    const { id } = ann.socket;
    await cutWhile(ann, () => sleep(2_500));
    assert.deepEqual([ann.socket.recovered, ann.socket.id === id], [false, false]);
    await eventually("a new connected", () => ann.all("connected").length === 2);
    assert.equal((await ann.ask("send", { room: name, event: "note", data: 1 })).error.code, "not_in_room");
    await say(bob, name, 1);
    assert.deepEqual(ann.all("note"), []);
  });

  test("with RECOVERY_WINDOW_MS=0 there is no pid and no offset", async (t) => {
    const off = await serve(t, { vars: { ...ROOMY, RECOVERY_WINDOW_MS: 0 } });
    for (const query of [{}, { recovery: "1" }]) {
      const client = await rawConnect(t, off, person("ann"), { query });
      assert.deepEqual(Object.keys(client.connect), ["sid"]);
      client.send('42["test",1]');
      await client.frame((frame) => frame === '42["test",1]');
    }
  });

  test("a pid or an offset that cannot be right is a new session, never an error", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    const { sid, pid } = first.connect;
    ok(await first.askRaw("join", name));
    const offset = first.events().at(-1).at(-1);
    first.socket.terminate();
    for (const [what, state] of [
      ["a bogus offset", { pid, offset: "bogus" }],
      ["an offset of the future", { pid, offset: "999999999999" }],
      ["an offset that is a message's text", { pid, offset: "héllo 💬 ".repeat(1_000) }],
      ["an unknown pid", { pid: "unknown", offset }],
      ["a pid of another object", { pid: `lobby:7${pid.slice(pid.indexOf("."))}`, offset }],
      ["a pid of a room that is none", { pid: `user:bob.${"x".repeat(20)}`, offset }],
      ["a pid that is no text", { pid: 7, offset }],
      ["an offset that is no text", { pid: "x", offset: { $gt: "" } }],
      ["a huge pid", { pid: "x".repeat(100_000), offset }],
    ]) {
      const client = await rawConnect(t, server, person("ann"), state);
      assert.equal(typeof client.connect.sid, "string", what);
      assert.notEqual(client.connect.sid, sid, what);
      assert.equal((await client.askRaw("send", { room: name, event: "note", data: 1 })).error?.code, "not_in_room", what);
    }
  });

  test("another user's token does not recover a session, and learns nothing of it", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    const { sid, pid } = first.connect;
    ok(await first.askRaw("join", name));
    first.socket.terminate();
    await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data: "for ann" } });
    const eve = await rawConnect(t, server, { sub: "eve" }, { pid });
    assert.notEqual(eve.connect.sid, sid);
    ok(await eve.askRaw("test"));
    assert.ok(!eve.frames.some((frame) => frame.includes("for ann")));
    const again = await rawConnect(t, server, person("ann"), { pid });
    assert.equal(again.connect.sid, sid, "it is there for ann still");
  });

  test("a token that no longer opens a room, or that has expired, does not recover its way in", async (t) => {
    const name = room();
    const first = await rawConnect(t, server, person("ann"));
    const { pid } = first.connect;
    ok(await first.askRaw("join", name));
    first.socket.terminate();
    const expired = await rawConnect(t, server, person("ann", { exp: Math.floor(Date.now() / 1000) - 60 }), { pid });
    assert.equal(expired.connect.data?.code, "token_expired");
    await call(server, "POST", `/rooms/${name}/events`, { as: person("bob"), body: { event: "note", data: 1 } });
    const poorer = await rawConnect(t, server, { sub: "ann" }, { pid });
    await poorer.askRaw("test");
    assert.equal((await poorer.askRaw("send", { room: name, event: "note", data: 2 })).ok, false);
    assert.ok(!poorer.frames.some((frame) => frame.includes('"note",1')), "what was said in a room that is closed to it");
  });

  test("a client that disconnects on purpose leaves nothing to recover; closing Engine.IO alone is a cut", async (t) => {
    for (const [leave, recovered] of [["41", false], ["1", true]]) {
      const first = await rawConnect(t, server, person("ann"));
      const { sid, pid } = first.connect;
      first.send(leave);
      await sleep(300);
      const again = await rawConnect(t, server, person("ann"), { pid });
      assert.equal(again.connect.sid === sid, recovered, leave);
    }
  });

  test("recovery is offered to browsers, to Node's client and to whoever asks, and only they get the offset argument", async (t) => {
    const open = await serve(t, { vars: { ...ROOMY, ALLOWED_ORIGINS: "*" } });
    const python = { "user-agent": "Python/3.12 aiohttp/3.9" };
    for (const [what, offered, headers, query] of [
      ["no User-Agent", true, {}, {}],
      ["Node's polling", true, { "user-agent": "node-XMLHttpRequest" }, {}],
      ["a browser's GET to its page's own origin", true, { "user-agent": "Mozilla/5.0", "sec-fetch-site": "same-origin" }, {}],
      ["a browser", true, { "user-agent": "Mozilla/5.0", origin: "https://app.example" }, {}],
      ["Python", false, python, {}],
      ["Swift", false, { "user-agent": "App/1 CFNetwork/1 Darwin/1" }, {}],
      ["Python that asks", true, python, { recovery: "1" }],
      ["Node that declines", false, {}, { recovery: "0" }],
      ["a browser that declines", false, { origin: "https://app.example" }, { recovery: "0" }],
    ]) {
      const client = await rawConnect(t, open, person("ann"), { headers, query });
      assert.deepEqual(Object.keys(client.connect).sort(), offered ? ["pid", "sid"] : ["sid"], what);
      client.send('42["test",1,{"a":2}]');
      await client.frame((frame) => frame.startsWith('42["test"'));
      const args = client.events().find(([event]) => event === "test");
      assert.deepEqual(args.slice(0, 3), ["test", 1, { a: 2 }], what);
      assert.deepEqual([args.length, typeof args[3]], offered ? [4, "string"] : [3, "undefined"], what);
      assert.equal(client.events()[0].length, offered ? 3 : 2, `connected, ${what}`);
    }
  });

  test("a polling client is recovered as well", async (t) => {
    const name = room();
    const bob = await enter(t, server, name, person("bob"));
    const ann = await enter(t, server, name, person("ann"), { transports: ["polling"] });
    const { id } = ann.socket;
    ann.socket.io.reconnection(false);
    const gone = ann.disconnected();
    const { engine } = ann.socket.io;
    engine.transport.doClose = () => {}; // a dead network says no goodbye
    (engine._onClose ?? engine.onClose).call(engine, "transport error");
    await gone;
    await say(bob, name, 1);
    const back = ann.connected();
    ann.socket.connect();
    await back;
    assert.deepEqual([ann.socket.recovered, ann.socket.id], [true, id]);
    assert.equal(await ann.event("note"), 1);
  });

  test("what the client emitted while it was away arrives after it is recovered, in order, each once", async (t) => {
    const name = room();
    const ann = await enter(t, server, name, person("ann"));
    const bob = await enter(t, server, name, person("bob"));
    await cutWhile(ann, async () => {
      for (const n of numbers(1, 20)) ann.socket.emit("send", { room: name, event: "note", data: n });
    });
    await bob.event("note", (n) => n === 20);
    assert.deepEqual(bob.all("note"), numbers(1, 20));
  });
});

describe("many cuts", { timeout: 240_000 }, () => {
  test("200 clients cut 20 times each while 2,000 messages are sent: all delivered, none twice, none out of order", async (t) => {
    const [CLIENTS, CUTS, MESSAGES, SECONDS] = [200, 20, 2_000, 50];
    const where = await serve(t, { vars: { ...ROOMY, LOBBIES: 2 } });
    const name = room();
    const clients = [];
    for (let n = 0; n < CLIENTS; n += 20) {
      clients.push(...(await Promise.all(Array.from({ length: 20 }, (_, m) => lean(t, where, name, `u${n + m}`)))));
    }
    const sender = await enter(t, where, name, person("sender"));
    const start = Date.now();
    const elapsed = () => Math.round((Date.now() - start) / 1000);
    const report = setInterval(() => t.diagnostic(`${elapsed()} s: ${clients.reduce((sum, { cuts }) => sum + cuts, 0)} cuts, ${clients.reduce((sum, { next }) => sum + next, 0)} delivered`), 10_000);
    t.after(() => clearInterval(report));

    const cutting = clients.map(async (client) => {
      const times = Array.from({ length: CUTS }, () => Math.random() * SECONDS * 1000).sort((a, b) => a - b);
      for (const time of times) {
        await sleep(Math.max(0, start + time - Date.now()));
        // Whatever it is doing: open, connecting, in the middle of recovery. But each cut cuts something.
        await eventually("a connection to cut", () => client.socket.io.engine?.transport?.ws, 60_000);
        client.socket.io.engine.transport.ws.terminate();
        client.cuts++;
      }
    });
    for (let n = 0; n < MESSAGES; n++) {
      ok(await sender.ask("send", { room: name, event: "note", data: n }));
      await sleep(Math.max(0, start + ((n + 1) * SECONDS * 1000) / MESSAGES - Date.now()));
    }
    await Promise.all(cutting);
    await eventually("everything is everywhere", () => clients.every(({ next, wrong }) => next === MESSAGES || wrong), 60_000);
    clearInterval(report);

    const recovered = clients.reduce((sum, client) => sum + client.recovered, 0);
    const reconnects = clients.reduce((sum, client) => sum + client.connects, 0);
    t.diagnostic(`${CLIENTS * MESSAGES} deliveries and ${CLIENTS * CUTS} cuts in ${elapsed()} s; ${recovered} of ${reconnects} reconnects recovered`);
    assert.deepEqual(clients.filter(({ wrong }) => wrong).map(({ sub, wrong }) => `${sub}: ${wrong}`), []);
    assert.deepEqual(clients.filter(({ next }) => next !== MESSAGES).map(({ sub, next }) => `${sub} has ${next}`), []);
    assert.ok(reconnects >= CLIENTS, String(reconnects));
    assert.equal(recovered, reconnects, "every reconnect is recovered: the window is two minutes");
  });

  /** A client that keeps no frames, only what it must: `next`, the number that it expects; `wrong`, what came instead. */
  async function lean(t, where, name, sub) {
    const client = io(t, where, token(person(sub)), { ...BACK, randomizationFactor: 1 });
    const { socket } = client;
    Object.assign(client, { sub, next: 0, wrong: undefined, cuts: 0, connects: 0, recovered: 0 });
    socket.offAny();
    socket.on("note", (n) => {
      if (n !== client.next) client.wrong ??= `${n} came where ${client.next} was due`;
      client.next = n + 1;
    });
    // Cut between what was missed and CONNECT, socket.io-client 4.8.4 keeps that half in its receiveBuffer and emits it
    // again with the next recovery: about one of 4,000 cuts here. No server can know of it.
    socket.on("disconnect", () => (socket.receiveBuffer = []));
    await client.connected();
    ok(await client.ask("join", name));
    socket.on("connect", () => {
      client.connects++;
      client.recovered += socket.recovered ? 1 : 0;
    });
    return client;
  }
});

const homeOf = (client) => {
  const { sid } = JSON.parse(client.frames[0].slice(1));
  return sid.slice(0, sid.lastIndexOf("."));
};
