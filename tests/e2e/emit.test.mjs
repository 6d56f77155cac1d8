// `POST /api/emit` (CONTRACT "HTTP API"): the one call that a backend makes where it had `io.of(…).to(…).emit(…)`.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ADMIN, bearer, call, Client, crash, cutWhile, emit, emitted, enter, eventually, freePort, history, ioConnected, join, naming, onEachLobby, persistDir, refused, serve, SERVICE, sleep, subscribe } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 };
const NAMESPACES = ["/", "/chat", "/jobs", "/notifications", "/analytics"];

/** Two lobbies. */
let server;
const ends = [];
let count = 0;

const room = (kind = "ticket") => `${kind}:${++count}`;
const idOf = (name) => name.slice(name.indexOf(":") + 1);
const user = (name) => `${name}-${++count}`;
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
/** An event that no other test looks for: an emit to everyone reaches their clients too. */
const newEvent = () => `note-${++count}`;
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const byNumber = (list) => list.toSorted((a, b) => a - b);

/** The data of every such event so far, on a Socket.IO client or a plain WebSocket. */
const all = (client, event) => (client instanceof Client ? client.frames.filter((frame) => frame.event === event).map(({ data }) => data) : client.all(event));

/** Everything that was emitted to these rooms until now has come to these clients, who are in all of them. */
async function settled(clients, rooms, namespace, to = server) {
  for (const name of rooms) {
    const mark = `mark-${++count}`;
    await emitted(to, { namespace, room: name, event: "mark", data: mark });
    for (const client of clients) await (client instanceof Client ? client.frame(({ data }) => data === mark) : client.event("mark", (data) => data === mark));
  }
}

async function inChat(t, name, claims) {
  const client = await ioConnected(t, server, claims, { namespace: "/chat" });
  assert.equal((await client.ask("join_chat", { chatId: idOf(name) })).ok, true);
  return client;
}

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { ...ROOMY, LOBBIES: 2 } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("an emit to rooms", { concurrency: 6, timeout: 120_000 }, () => {
  test("without a namespace an event reaches a room's sockets in the room's own, its plain WebSockets and its history", async (t) => {
    for (const [kind, listen] of Object.entries({
      ticket: (name) => enter(t, server, name, person("ann")),
      demo: (name) => enter(t, server, name, person("ann")),
      chat: (name) => inChat(t, name, person("ann")),
      job: (name) => subscribe(t, server, "/jobs", idOf(name), person("ann")),
      brand: (name) => subscribe(t, server, "/analytics", idOf(name), person("ann")),
    })) {
      const [name, event, namespace] = [room(kind), newEvent(), { chat: "/chat", job: "/jobs", brand: "/analytics" }[kind] ?? "/"];
      const [client, plain] = [await listen(name), await join(t, server, name, person("bob"))];
      assert.deepEqual(await emitted(server, { room: name, event, data: { n: 1 } }), [{ room: name, offset: 1, duplicate: false }]);
      assert.deepEqual(await client.event(event), { n: 1 }, kind);
      const frame = await plain.event(event);
      assert.deepEqual([frame.data, frame.offset], [{ n: 1 }, 1], kind);
      assert.deepEqual((await history(server, name)).messages.map(({ event: of, data, offset }) => [of, data, offset]), [[event, { n: 1 }, 1]], kind);
      await emitted(server, { namespace, room: name, event, data: { n: 2 } });
      await client.event(event, ({ n }) => n === 2);
    }
  });

  test("a user's own room is heard on `/` without joining, and on /notifications what was emitted there", async (t) => {
    const [sub, event] = [user("ann"), newEvent()];
    const [inbox, notifications] = [await ioConnected(t, server, { sub }), await subscribe(t, server, "/notifications", sub, { sub })];
    await emitted(server, { room: `user:${sub}`, event, data: "inbox" });
    await emitted(server, { room: `user:${sub}`, event, data: "notifications", namespace: "/notifications" });
    await settled([inbox], [`user:${sub}`]);
    await settled([notifications], [`user:${sub}`], "/notifications");
    assert.deepEqual([all(inbox, event), all(notifications, event)], [["inbox"], ["notifications"]]);
  });

  test("data is the one argument, args are all of them, and with neither there is none", async (t) => {
    const name = room("demo");
    const ann = await enter(t, server, name, person("ann"), { query: { recovery: "0" } });
    const plain = await join(t, server, name, person("bob"));
    const values = [null, true, 0, -1.5, "", "é\u2028💬\\\"", [], [1, [2]], {}, { a: { b: [null] } }];
    const rows = [...values.map((data) => [{ data }, [data]]), [{}, []], [{ args: [] }, []], [{ args: ["one"] }, ["one"]], [{ args: [1, { two: [3] }, null] }, [1, { two: [3] }, null]]];
    for (const [fields, args] of rows) {
      const event = newEvent();
      await emitted(server, { room: name, event, ...fields });
      await ann.event(event);
      assert.deepEqual(ann.heard.find((heard) => heard.event === event).args, args, JSON.stringify(fields));
      const expected = args.length === 1 ? { data: args[0] } : { args };
      const frame = await plain.event(event);
      const logged = (await history(server, name)).messages.at(-1);
      for (const found of [frame, logged]) assert.deepEqual("data" in found ? { data: found.data } : { args: found.args }, expected, JSON.stringify(found));
    }
  });

  test("the results are one for each room, in order, each with that room's own offset; a room named twice counts once", async () => {
    const [a, b, event] = [room(), room(), newEvent()];
    await emitted(server, { room: b, event });
    assert.deepEqual(await emitted(server, { rooms: [b, a, b], event }), [{ room: b, offset: 2, duplicate: false }, { room: a, offset: 1, duplicate: false }]);
    assert.deepEqual([(await history(server, a)).offset, (await history(server, b)).offset], [1, 2]);
  });

  test("on two lobbies, homes and transports, whatever rooms one is in, each event comes exactly once, also to who was cut meanwhile", async (t) => {
    const [a, b, event] = [room(), room(), newEvent()];
    const groups = [];
    const add = async (client, rooms) => {
      for (const name of rooms) assert.equal((await client.ask("join", name)).ok, true);
      groups.push({ client, rooms: ["*", ...rooms], wanted: [] });
    };
    for (const rooms of [[a, b], [a], [b], []]) for (const client of await onEachLobby(t, server, 2, person(user("u")))) await add(client, rooms);
    await add(await ioConnected(t, server, person("at home"), { query: { room: a } }), [a, b]);
    await add(await ioConnected(t, server, person("at another's home"), { query: { room: room("demo") } }), [b]);
    await add(await ioConnected(t, server, person("old"), { version: "4.4" }), [a, b]);
    await add(await ioConnected(t, server, person("polling"), { transports: ["polling"] }), [a, b]);
    for (const name of [a, b]) groups.push({ client: await join(t, server, name, person("plain")), rooms: [name], wanted: [] });
    let n = 0;
    const storm = () =>
      Promise.all(
        [[a, b], ["*"], [b], ["*", a], [b, a, "*"], [a]].flatMap((rooms) =>
          numbers(1, 6).map(() => {
            const data = ++n;
            for (const group of groups) if (group.rooms.some((name) => rooms.includes(name))) group.wanted.push(data);
            return emitted(server, { rooms, event, data });
          }),
        ),
      );
    await storm();
    const unlucky = groups.slice(0, 10).filter((_, at) => at % 2 === 0 || at >= 8).map(({ client }) => client);
    let gone = 0;
    let begin;
    const stormed = new Promise((resolve) => (begin = resolve)).then(storm);
    await Promise.all(unlucky.map((client) => cutWhile(client, () => (++gone === unlucky.length && begin(), stormed))));
    assert.ok(unlucky.every(({ socket }) => socket.recovered));
    for (const { client, rooms } of groups) await settled([client], rooms);
    for (const { client, rooms, wanted } of groups) assert.deepEqual(byNumber(all(client, event)), wanted, `in ${rooms}, ${client.home}`);
  });

  test("an emit that was answered is in every room's history after kill -9, and comes once to those who come back", async (t) => {
    const [persist, port, event] = [persistDir(), await freePort(), newEvent()];
    const [a, b] = [room(), room()];
    const start = () => serve(t, { persist, port, vars: ROOMY });
    let running = await start();
    const clients = [];
    for (const rooms of [[a, b], [b], []]) {
      const client = await ioConnected(t, running, person(user("u")), { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 300 });
      for (const name of rooms) await client.ask("join", name);
      clients.push(client);
    }
    for (const round of [1, 2, 3]) {
      const back = clients.map((client) => client.reconnected());
      await emitted(running, { rooms: [a, b, "*"], event, data: round });
      await crash(running);
      running = await start();
      await Promise.all(back);
      assert.ok(clients.every(({ socket }) => socket.recovered), `round ${round}`);
    }
    await settled(clients, ["*"], "/", running);
    await settled(clients.slice(0, 2), [b], "/", running);
    for (const client of clients) assert.deepEqual(all(client, event), [1, 2, 3]);
    for (const name of [a, b]) assert.deepEqual((await history(running, name)).messages.filter((message) => message.event === event).map(({ data }) => data), [1, 2, 3], name);
  });

  test("through five kills at random moments a backend that repeats its emits until they are answered is heard once, in order, by everyone", async (t) => {
    const options = { persist: persistDir(), port: await freePort(), vars: { ...ROOMY, LOBBIES: 2 } };
    const [a, b, event] = [room(), room(), newEvent()];
    let running = await serve(t, options);
    const clients = [];
    for (const rooms of [[a, b], [b, a], [b], []]) {
      for (const client of await onEachLobby(t, running, 2, person(user("u")), { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 300 })) {
        for (const name of rooms) await client.ask("join", name);
        clients.push(client);
      }
    }
    let stopped = false;
    const sent = Array(8).fill(0);
    const repeating = async (backend) => {
      while (!stopped) {
        const data = { backend, n: ++sent[backend] };
        const item = { rooms: [a, "*", b], event, data, id: `${backend}-${data.n}` };
        while (!(await emitted(running, item).catch(() => sleep(20)))) continue;
      }
    };
    const backends = sent.map((_, backend) => repeating(backend));
    for (let round = 1; round <= 5; round++) {
      const back = clients.map((client) => client.reconnected());
      await sleep(100 + Math.random() * 400);
      await crash(running);
      running = await serve(t, options);
      await Promise.all(back);
      assert.ok(clients.every(({ socket }) => socket.recovered), `round ${round}`);
    }
    stopped = true;
    await Promise.all(backends);
    const total = sent.reduce((sum, n) => sum + n);
    t.diagnostic(`${total} emits`);
    for (const client of clients) {
      await eventually("all of them", () => all(client, event).length >= total).catch(() => {});
      const heard = sent.map((_, backend) => all(client, event).filter((data) => data.backend === backend).map(({ n }) => n));
      assert.deepEqual(heard, sent.map((n) => numbers(1, n)), client.home);
    }
    for (const name of [a, b]) assert.equal((await history(running, name)).offset, total, name);
  });

  test("a room of a kind that no module claims logs and numbers it like any other, on `/` and on /rooms/…", async (t) => {
    const [name, event] = [room("fleet"), newEvent()];
    const [ann, plain] = [await enter(t, server, name, person("ann")), await join(t, server, name, person("bob"))];
    for (const n of [1, 2, 3]) assert.deepEqual(await emitted(server, { namespace: "/", room: name, event, data: n }), [{ room: name, offset: n, duplicate: false }]);
    await settled([ann, plain], [name]);
    assert.deepEqual([all(ann, event), all(plain, event)], [[1, 2, 3], [1, 2, 3]]);
  });
});

describe("an emit to everyone", { concurrency: 6, timeout: 120_000 }, () => {
  test(`without a room, or with "*", everyone in the namespace hears it once, nobody in another, and no plain socket`, async (t) => {
    const event = newEvent();
    const clients = new Map();
    for (const namespace of NAMESPACES) clients.set(namespace, await onEachLobby(t, server, 2, { sub: user("u") }, { namespace }));
    const plain = await join(t, server, room("demo"), person("plain"));
    for (const namespace of NAMESPACES) {
      for (const fields of [{}, { room: "*" }, { rooms: ["*"] }]) {
        const [{ room: name, duplicate }, ...rest] = await emitted(server, { namespace, event, data: namespace, ...fields });
        assert.deepEqual([name, duplicate, rest], ["*", false, []], `${namespace} ${JSON.stringify(fields)}`);
      }
    }
    await emitted(server, { event, data: "no namespace is /" });
    for (const [namespace, both] of clients) {
      await settled(both, ["*"], namespace);
      const expected = [...Array(3).fill(namespace), ...(namespace === "/" ? ["no namespace is /"] : [])];
      for (const client of both) assert.deepEqual(all(client, event), expected, `${namespace} on ${client.home}`);
    }
    await plain.ask("fence");
    assert.deepEqual(all(plain, event), []);
  });

  test("who was cut hears it when it is back, once, and who connects later does not hear it", async (t) => {
    const event = newEvent();
    const [ann] = await onEachLobby(t, server, 2, person("ann"));
    await cutWhile(ann, () => emitted(server, { event, data: "while away" }));
    assert.equal(ann.socket.recovered, true);
    const late = await ioConnected(t, server, person("late"));
    await settled([ann, late], ["*"]);
    assert.deepEqual([all(ann, event), all(late, event)], [["while away"], []]);
  });

  test(`rooms: ["*", "ticket:7"] is in the ticket's history, and each socket hears it once, in the ticket's room or not`, async (t) => {
    const [ticket, event] = [room(), newEvent()];
    const inside = [await enter(t, server, ticket, person("ann")), await enter(t, server, ticket, person("bob"), { query: { room: ticket } })];
    const outside = await onEachLobby(t, server, 2, { sub: "visitor" });
    const plain = await join(t, server, ticket, person("plain"));
    const results = await emitted(server, { rooms: ["*", ticket], event, data: { status: "open" } });
    assert.deepEqual(results.map(({ room: name, duplicate }) => [name, duplicate]), [["*", false], [ticket, false]]);
    assert.equal(results[1].offset, 1);
    assert.deepEqual((await history(server, ticket)).messages.map((message) => [message.event, message.data]), [[event, { status: "open" }]]);
    await settled([...inside, ...outside], ["*"]);
    await settled([...inside, plain], [ticket]);
    for (const client of [...inside, ...outside, plain]) assert.deepEqual(all(client, event), [{ status: "open" }], client.home);
  });
});

describe("an emit's options", { concurrency: 6, timeout: 120_000 }, () => {
  test("except: none of those users' sockets hears it, on any lobby, plain or after a cut; all others do", async (t) => {
    const [name, other, sub, number, event] = [room(), room(), user("ann"), 7_000_000 + ++count, newEvent()];
    const tabs = await onEachLobby(t, server, 2, person(sub));
    const excepted = [...tabs, await ioConnected(t, server, person(number)), await ioConnected(t, server, person(sub), { query: { room: name } })];
    const bobs = await onEachLobby(t, server, 2, person("bob"));
    for (const client of [...excepted, ...bobs]) for (const each of [name, other]) assert.equal((await client.ask("join", each)).ok, true);
    const plains = [await join(t, server, name, person(sub)), await join(t, server, name, person("bob"))];
    const except = [sub, number, "nobody"];
    let n = 0;
    const everyWay = async () => {
      for (const target of [{ room: name }, { rooms: [other, name] }, {}, { rooms: ["*", name] }, { room: name, volatile: true }]) await emitted(server, { ...target, event, data: ++n, except });
    };
    await everyWay();
    await cutWhile(tabs[0], () => cutWhile(bobs[0], everyWay));
    assert.deepEqual([tabs[0].socket.recovered, bobs[0].socket.recovered], [true, true]);
    await settled([...excepted, ...bobs], [name, other, "*"]);
    await settled(plains, [name]);
    for (const client of [...excepted, plains[0]]) assert.deepEqual(all(client, event), [], `${client.home}`);
    // The volatile ones, 5 and 10, are for those who are there.
    assert.deepEqual(byNumber(all(bobs[0], event)), [...numbers(1, 5), ...numbers(6, 9)]);
    assert.deepEqual(byNumber(all(bobs[1], event)), numbers(1, 10));
    assert.deepEqual(byNumber(all(plains[1], event)), [1, 2, 4, 5, 6, 7, 9, 10]);
  });

  test("volatile: only who is connected hears it; it has no offset, is not in the history, and an id does nothing", async (t) => {
    const [name, event] = [room(), newEvent()];
    const [ann, bob, plain] = [await enter(t, server, name, person("ann")), await enter(t, server, name, person("bob")), await join(t, server, name, person("plain"))];
    const volatile = (fields) => emitted(server, { event, volatile: true, id: "v-1", ...fields });
    await cutWhile(ann, async () => {
      assert.deepEqual(await volatile({ room: name, data: 1 }), [{ room: name, duplicate: false }]);
      assert.deepEqual(await volatile({ room: name, data: 2 }), [{ room: name, duplicate: false }], "the same id");
      assert.deepEqual(await volatile({ data: 3 }), [{ room: "*", duplicate: false }]);
    });
    assert.equal(ann.socket.recovered, true);
    await volatile({ room: name, data: 4 });
    assert.deepEqual(await emitted(server, { room: name, event, data: 5 }), [{ room: name, offset: 1, duplicate: false }]);
    for (const client of [ann, bob, plain]) await (client === plain ? plain.frame(({ data }) => data === 5) : client.event(event, (data) => data === 5));
    await settled([ann, bob], ["*"]);
    assert.deepEqual([all(ann, event), byNumber(all(bob, event)), all(plain, event)], [[4, 5], [1, 2, 3, 4, 5], [1, 2, 4, 5]]);
    assert.ok(plain.frames.filter((frame) => frame.event === event && frame.data < 5).every((frame) => !("offset" in frame)));
    assert.deepEqual((await history(server, name)).messages.filter((message) => message.event === event).map(({ data }) => data), [5]);
  });

  test("latest: of a turn's updates the last one always comes, none after a newer one; without it each comes", async (t) => {
    for (const latest of [true, false]) {
      const job = room("job");
      const watcher = await subscribe(t, server, "/jobs", idOf(job), person("ann"));
      const update = (progress) => ({ room: job, event: "job:status-changed", data: { status: "in_progress", progress }, latest });
      await emitted(server, numbers(1, 100).map(update));
      await watcher.event("job:status-changed", ({ progress }) => progress === 100);
      await settled([watcher], [job]);
      const heard = all(watcher, "job:status-changed").map(({ progress }) => progress);
      if (latest) assert.deepEqual(heard, byNumber([...new Set(heard)]));
      else assert.deepEqual(heard, numbers(1, 100));
      assert.equal((await call(server, "GET", `/api/jobs/${idOf(job)}`, { as: person("ann") })).body.progress, 100);
    }
  });

  test("the same id again, ten at once too, is a duplicate with the first's offset, and nobody hears it again", async (t) => {
    const [a, b, event] = [room(), room(), newEvent()];
    const ann = await enter(t, server, a, person("ann"));
    await ann.ask("join", b);
    for (const [n, target] of [{ room: a }, { rooms: [a, b] }, {}, { rooms: ["*", a] }].entries()) {
      const item = { ...target, event, data: n, id: "é".repeat(31) + n };
      const answers = await Promise.all(numbers(1, 10).map(() => emitted(server, item)));
      const [first] = answers;
      for (const [at, { room: name, offset }] of first.entries()) {
        assert.ok(answers.every((results) => results[at].room === name && results[at].offset === offset), JSON.stringify(answers));
        assert.equal(answers.filter((results) => !results[at].duplicate).length, 1, `${name}: ${JSON.stringify(answers)}`);
      }
      assert.deepEqual(await emitted(server, { ...item, data: "another" }), first.map((result) => ({ ...result, duplicate: true })));
    }
    await settled([ann], [a, b, "*"]);
    assert.deepEqual(all(ann, event), [0, 1, 2, 3]);
  });

  test("an id is known after kill -9 too, in a room and for everyone", async (t) => {
    const [persist, port, event] = [persistDir(), await freePort(), newEvent()];
    const before = await serve(t, { persist, port });
    const items = [{ room: "ticket:1" }, {}, { rooms: ["*", "ticket:2"] }].map((target, n) => ({ ...target, event, data: n, id: `id-${n}` }));
    const first = [];
    for (const item of items) first.push(await emitted(before, item));
    await crash(before);
    const next = await serve(t, { persist, port });
    const ann = await enter(t, next, "ticket:1", person("ann"));
    await ann.ask("join", "ticket:2");
    for (const [n, item] of items.entries()) assert.deepEqual(await emitted(next, item), first[n].map((result) => ({ ...result, duplicate: true })));
    await settled([ann], ["ticket:1", "ticket:2", "*"], "/", next);
    assert.deepEqual(all(ann, event), []);
  });
});

describe("what is pruned", { timeout: 60_000 }, () => {
  test("a log that is pruned takes along no id, no last status and nothing that is unread", async (t) => {
    const small = await serve(t, { vars: { HISTORY_MAX_MESSAGES: 5 } });
    const first = { room: "job:1", event: "job:status-changed", data: { status: "in_progress", progress: 1 }, id: "first" };
    const notification = { namespace: "/notifications", room: "user:ann", event: "notification:received", data: { id: "n-1", type: "alert", title: "T", message: "M", severity: "info" } };
    const answers = [await emitted(small, first), await emitted(small, notification)];
    for (let n = 0; n < 3; n++) await emitted(small, numbers(1, 100).flatMap(() => [{ room: n % 2 ? "job:1" : "user:ann", event: "note" }]));
    await emitted(small, numbers(1, 100).map(() => ({ room: "job:1", event: "note" })));
    for (const name of ["job:1", "user:ann"]) assert.ok((await history(small, name)).messages[0].offset > 1, `${name} is pruned`);
    assert.deepEqual(await emitted(small, first), answers[0].map((result) => ({ ...result, duplicate: true })));
    assert.equal((await call(small, "GET", "/api/jobs/1", { as: person("ann") })).body.progress, 1);
    const { body } = await call(small, "GET", "/api/notifications?unread=1", { as: { sub: "ann" } });
    assert.deepEqual([body.unread, body.notifications.map(({ id }) => id)], [1, ["n-1"]]);
    const watcher = await subscribe(t, small, "/jobs", "1", person("ann"));
    assert.equal((await watcher.event("job:status-changed")).progress, 1);
  });
});

describe("a batch", { concurrency: 6, timeout: 120_000 }, () => {
  test("of up to 100 items is done in order, and the results say each item's index", async (t) => {
    const [a, b, event] = [room(), room(), newEvent()];
    const ann = await enter(t, server, a, person("ann"));
    await ann.ask("join", b);
    assert.deepEqual(await emitted(server, [{ room: a, event, data: 0 }, { rooms: [b, a], event, data: 1, id: "x" }, { rooms: [a], event, data: 2, volatile: true }, { room: a, event, data: 1, id: "x" }]), [
      { index: 0, room: a, offset: 1, duplicate: false },
      { index: 1, room: b, offset: 1, duplicate: false },
      { index: 1, room: a, offset: 2, duplicate: false },
      { index: 2, room: a, duplicate: false },
      { index: 3, room: a, offset: 2, duplicate: true },
    ]);
    await settled([ann], [a, b]);
    assert.deepEqual(byNumber(all(ann, event)), [0, 1, 2]);
    const [one, order] = [room(), newEvent()];
    const bob = await enter(t, server, one, person("bob"));
    const results = await emitted(server, numbers(1, 100).map((data) => ({ room: one, event: order, data })));
    assert.deepEqual(results, numbers(1, 100).map((offset) => ({ index: offset - 1, room: one, offset, duplicate: false })));
    await settled([bob], [one]);
    assert.deepEqual(all(bob, order), numbers(1, 100));
    assert.deepEqual(await emitted(server, [{ room: one, event: order }]), [{ index: 0, room: one, offset: 102, duplicate: false }], "a batch of one");
  });

  test("with bad items does nothing at all and says which, and why, each", async (t) => {
    const [name, event] = [room(), newEvent()];
    const ann = await enter(t, server, name, person("ann"));
    const good = { room: name, event, data: 1 };
    const answer = await emit(server, [good, { ...good, event: "connect" }, good, { room: "lobby:0", event }, { ...good, namespace: "/jobs" }, { ...good, namespace: "/nowhere" }, 5, { event, data: 1, volatile: true }]);
    refused(answer, 422, "invalid_payload");
    const { errors } = answer.body;
    assert.deepEqual(errors.map(({ index, code }) => [index, code]), [[1, "invalid_payload"], [3, "forbidden"], [4, "wrong_namespace"], [5, "invalid_namespace"], [6, "invalid_payload"]]);
    assert.ok(errors.every((error) => Object.keys(error).length === 3 && error.detail.length > 0), JSON.stringify(errors));
    assert.match(errors[0].detail, /`event`/);
    await settled([ann], [name, "*"]);
    assert.deepEqual(all(ann, event), []);
    assert.deepEqual((await history(server, name)).messages.filter((message) => message.event === event), []);
  });

  test("of no items, of 101, or of more than 500 rooms is refused, and 500 rooms are done", async () => {
    const event = newEvent();
    const item = { room: room(), event };
    const hundred = (n) => numbers(1, 100).map((m) => `bulk:${n}-${m}`);
    const items = numbers(1, 5).map((n) => ({ rooms: hundred(n), event, data: n }));
    for (const [what, body] of [["none", []], ["101 items", Array(101).fill(item)], ["501 rooms", [...items, item]], ["101 rooms", { rooms: [...hundred(1), "bulk:1-101"], event }], ["10,000 rooms", { rooms: numbers(1, 10_000).map((n) => `bulk:${n}`), event }]]) {
      refused(await emit(server, body), 422, "invalid_payload", undefined, what);
    }
    assert.equal((await history(server, item.room)).offset, 0);
    assert.equal((await history(server, "bulk:1-1")).offset, 0);
    const results = await emitted(server, items);
    assert.deepEqual(results.map(({ index, room: name, offset }) => [index, name, offset]), items.flatMap(({ rooms }, index) => rooms.map((name) => [index, name, 1])));
    const again = await emitted(server, [...items, items[0]]);
    assert.deepEqual([again.length, again.at(-1).offset], [600, 3], "500 rooms, some of them again");
  });
});

describe("an emit that is refused", { concurrency: 6, timeout: 120_000 }, () => {
  const TICKET = "ticket:refused";
  const item = (fields) => ({ room: TICKET, event: "note", ...fields });
  const job = (data, fields) => ({ room: "job:refused", event: "job:status-changed", data: { status: "pending", ...data }, ...fields });
  const notification = (data) => ({ namespace: "/notifications", room: "user:refused", event: "notification:received", data: { type: "alert", title: "T", message: "M", severity: "info", ...data } });
  const analytics = (data, fields) => ({
    room: "brand:refused",
    event: "analytics:sync-progress",
    data: { syncId: "s-1", eventType: "analytics:sync-progress", ...fields, data: { platform: "instagram", progress: 10, recordsProcessed: 5, timestamp: "2026-01-05T10:00:00.000Z", ...data } },
  });
  const RESERVED = ["connect", "connected", "disconnect", "disconnecting", "connect_error", "error", "ack", "presence_state", "presence_diff", "newListener", "removeListener"];
  /** `[item, the field that the refusal names, status, code]`. */
  const ROWS = [
    [{ room: TICKET }, "event"],
    [item({ event: "" }), "event"],
    [item({ event: 5 }), "event"],
    [item({ event: "é".repeat(65) }), "event"],
    ...["a\nb", "\0", "a\u007f"].map((event) => [item({ event }), "event"]),
    ...RESERVED.map((event) => [item({ event }), "event"]),
    [item({ rooms: [TICKET] }), "rooms?"],
    ...[5, {}, ["ticket:1"], "", "ticket", "Ticket:1", "no kind", "ticket:", `ticket:${"x".repeat(129)}`].map((name) => [item({ room: name }), "room"]),
    ...[[], "ticket:1", [5], [""], ["ticket:1", "no kind"], ["**"], numbers(1, 101).map((n) => `ticket:${n}`)].map((rooms) => [{ rooms, event: "note" }, "rooms"]),
    ...["lobby:0", "lobby:x", "all:chat"].flatMap((name) => [[item({ room: name }), undefined, 403, "forbidden"], [{ rooms: [TICKET, name], event: "note" }, undefined, 403, "forbidden"]]),
    [item({ namespace: 5 }), "namespace"],
    ...["/nowhere", "chat", "", "/Chat", "/chat/"].map((namespace) => [item({ namespace }), undefined, 404, "invalid_namespace"]),
    [item({ namespace: "/jobs" }), undefined, 422, "wrong_namespace"],
    [item({ namespace: "/chat" }), undefined, 422, "wrong_namespace"],
    [{ namespace: "/", room: "job:1", event: "note" }, undefined, 422, "wrong_namespace"],
    [{ namespace: "/notifications", rooms: ["user:ann", "chat:1"], event: "note" }, undefined, 422, "wrong_namespace"],
    [item({ data: 1, args: [1] }), "(data|args)"],
    [item({ data: null, args: [] }), "(data|args)"],
    ...[{}, "x", 5].map((args) => [item({ args }), "args"]),
    ...["ann", {}, [true], [{}], [1.5], [""], numbers(1, 101)].map((except) => [item({ except }), "except"]),
    ...["yes", 1].flatMap((flag) => [[item({ volatile: flag }), "volatile"], [item({ latest: flag }), "latest"]]),
    ...["", 5, "é".repeat(33), {}].map((id) => [item({ id }), "id"]),
    // payloads
    ...[101, -1, "50", 100.5].map((progress) => [job({ progress }), "progress"]),
    ...["done", undefined, 5, "Pending"].map((status) => [job({ status }), "status"]),
    [job({ jobId: "another" }), "jobId"],
    [job({ jobId: 5.5 }), "jobId"],
    [job({}, { room: undefined, rooms: ["job:1", "job:2"] }), "jobId"],
    [job({}, { room: undefined, namespace: "/jobs" }), "jobId"],
    [job({ timestamp: 5 }), "timestamp"],
    [job({ currentPlatform: 5 }), "currentPlatform"],
    [job({ error: {} }), "error"],
    [job({ details: [] }), "details"],
    [{ ...job(), data: undefined }],
    [{ ...job(), data: "pending" }],
    [{ ...job(), data: undefined, args: [{ status: "done" }] }, "status"],
    ...["party", undefined, 5].map((type) => [notification({ type }), "type"]),
    ...["fatal", undefined, "INFO"].map((severity) => [notification({ severity }), "severity"]),
    ...[undefined, 5].flatMap((text) => [[notification({ title: text }), "title"], [notification({ message: text }), "message"]]),
    ...["", 5, "x".repeat(129)].map((id) => [notification({ id }), "id"]),
    [notification({ read: "no" }), "read"],
    [notification({ brandId: 5 }), "brandId"],
    [notification({ actionUrl: 5 }), "actionUrl"],
    [notification({ timestamp: 5 }), "timestamp"],
    ...["analytics:sync-completed", "analytics:party", undefined].map((eventType) => [analytics({}, { eventType }), "eventType"]),
    [{ ...analytics({}, { eventType: "analytics:party" }), event: "analytics:party" }, "event(Type)?"],
    ...[undefined, 5].map((syncId) => [analytics({}, { syncId }), "syncId"]),
    ...[undefined, 5].map((platform) => [analytics({ platform }), "platform"]),
    ...[undefined, 101, -0.5, "10"].map((progress) => [analytics({ progress }), "progress"]),
    ...[undefined, -1, "5"].map((recordsProcessed) => [analytics({ recordsProcessed }), "recordsProcessed"]),
    [analytics({ totalRecords: "all" }), "totalRecords"],
    [analytics({ currentMetric: 5 }), "currentMetric"],
    [analytics({ timestamp: 5 }), "timestamp"],
    [{ ...analytics(), data: { syncId: "s-1", eventType: "analytics:sync-progress" } }, "data"],
  ];

  test(`each of ${ROWS.length} bad items is refused with its status and code and the name of its field, alone and in a batch, and does nothing`, async () => {
    const good = item({ data: "good" });
    const disagreements = [];
    for (const [bad, field, status = 422, code = "invalid_payload"] of ROWS) {
      const [alone, batch] = [await emit(server, bad), await emit(server, [good, bad, good])];
      const [error, ...more] = batch.body.errors ?? [];
      const names = ({ detail }) => !field || naming(field).test(detail);
      const agrees = alone.status === status && alone.body.code === code && names(alone.body);
      const agreesInBatch = batch.status === 422 && error?.index === 1 && error.code === code && names(error) && more.length === 0;
      if (!agrees || !agreesInBatch) disagreements.push(`${JSON.stringify(bad).slice(0, 200)} is ${alone.status} ${JSON.stringify(alone.body)}, in a batch ${JSON.stringify(batch.body)}; it should be ${status} ${code} ${field}`);
    }
    assert.deepEqual(disagreements, []);
    for (const name of [TICKET, "job:refused", "user:refused", "brand:refused"]) assert.equal((await history(server, name)).offset, 0, name);
  });

  test("what is at a limit, and a field that nobody knows, is taken", async () => {
    const name = room();
    for (const fields of [{ event: "é".repeat(64) }, { id: "é".repeat(32) }, { except: numbers(1, 100) }, { except: [] }, { args: [] }, { unknown: true, priority: 5 }, { room: undefined, rooms: [name] }, { volatile: false, latest: false }]) {
      const [result] = await emitted(server, { room: name, event: "note", ...fields });
      assert.deepEqual([result.room, result.duplicate], [name, false], JSON.stringify(fields));
    }
    for (const progress of [0, 100, 33.3]) await emitted(server, { ...job({ progress }), room: room("job") });
  });

  test("what cannot be parsed is 400, what is no JSON by its type 415, what is too big 413, any other shape 422", async () => {
    for (const body of ["", "{", "hello", "\0", '{"event":"a"}{"event":"b"}', "[{}"]) refused(await emit(server, body), 400, "bad_request", undefined, body);
    for (const body of ["5", "null", "true", '"note"']) refused(await emit(server, body), 422, "invalid_payload", undefined, body);
    refused(await emit(server, `{"event":"note","data":${"[".repeat(65)}${"]".repeat(65)}}`), 422, "invalid_payload", undefined, "65 levels");
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"]) refused(await emit(server, item(), { headers: { "content-type": type } }), 415, "unsupported_media_type", undefined, type);
    const sized = (bytes) => `{"room":"big:1","event":"note","data":"${"x".repeat(bytes - 41)}"}`;
    assert.equal(sized(1_000_000).length, 1_000_000);
    assert.equal((await emit(server, sized(1_000_000))).status, 200);
    refused(await emit(server, sized(1_000_001)), 413, "payload_too_large");
    const notUtf8 = { method: "POST", headers: { ...bearer(SERVICE), "content-type": "application/json" }, body: Buffer.from('{"event":"caf\xe9"}', "latin1") };
    assert.equal((await fetch(`${server.url}/api/emit`, notUtf8)).status, 400);
  });

  test("only a service and an admin emit: a customer with every grant is 403, no token 401, another method 405", async () => {
    const name = room();
    for (const [as, status, code] of [
      [undefined, 401, "unauthorized"],
      [{ ...SERVICE, exp: Math.floor(Date.now() / 1000) - 60 }, 401, "token_expired"],
      [person("ann"), 403, "forbidden"],
      [person("ann", { role: "customer" }), 403, "forbidden"],
      [person("ann", { role: "lsm" }), 403, "forbidden"],
    ]) {
      for (const body of [{ room: name, event: "note" }, [{ room: name, event: "note" }], { event: "note" }]) refused(await emit(server, body, { as }), status, code, undefined, JSON.stringify(as));
    }
    assert.equal((await history(server, name)).offset, 0);
    for (const as of [SERVICE, ADMIN]) assert.equal((await emit(server, { room: name, event: "note" }, { as })).status, 200);
    for (const method of ["GET", "PUT", "DELETE"]) {
      const answer = await call(server, method, "/api/emit", { as: SERVICE });
      refused(answer, 405, "method_not_allowed");
      assert.equal(answer.headers.get("allow"), "POST");
    }
  });

  test("after all of it a client hears what it always heard", async (t) => {
    const [name, event] = [room(), newEvent()];
    const ann = await enter(t, server, name, person("ann"));
    await emitted(server, { room: name, event, data: 1 });
    assert.equal(await eventually("the event", () => ann.all(event)[0]), 1);
  });
});
