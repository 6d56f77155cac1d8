// Who is here, who types, who has read how far (CONTRACT "`/`", "`/chat`"; DESIGN §4), by user: over tabs, devices, lobbies.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { call, crash, cutWhile, enter, eventually, freePort, history, ioConnected, join, onEachLobby, persistDir, serve } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 };
const LOBBIES = 4;

let server;
const ends = [];
let count = 0;

const room = () => `demo:${++count}`;
const user = (name) => `${name}-${++count}`;
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const userIds = (users) => users.map(({ userId }) => userId).sort();
const path = (name, rest) => `/rooms/${encodeURIComponent(name)}${rest}`;
const ok = (answer) => assert.equal(answer.ok, true, JSON.stringify(answer));
const say = async (to, name, data) => assert.equal((await call(to, "POST", path(name, "/events"), { as: person("backend"), body: { event: "note", data } })).status, 200);
const note = (client, data) => client.event("note", (found) => found === data);

/** One of the user's clients on each lobby, all in the room. */
async function tabs(t, name, claims) {
  const list = await onEachLobby(t, server, LOBBIES, claims);
  for (const tab of list) ok(await tab.ask("join", name));
  return list;
}

/** `[[who came], [who left]]` of every presence_diff so far. */
const diffs = (client) => client.all("presence_diff").map(({ joins, leaves }) => [userIds(joins), userIds(leaves)]);

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { ...ROOMY, LOBBIES } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("presence", { concurrency: 6, timeout: 120_000 }, () => {
  test("tabs on four lobbies, one at home in the room, one that polls and a plain one are one person, who leaves with the last", async (t) => {
    const [name, sub] = [room(), user("ann")];
    const watchers = await tabs(t, name, person("watcher", { name: "The Watcher" }));
    const devices = await tabs(t, name, person(sub));
    devices.push(await enter(t, server, name, person(sub), { query: { room: name } }), await enter(t, server, name, person(sub), { transports: ["polling"] }));
    const plain = await join(t, server, name, person(sub));
    for (const state of [devices.at(-1).all("presence_state")[0].users, (await plain.event("presence_state")).data.users, (await call(server, "GET", path(name, "/presence"), { as: person("x") })).body.users]) {
      assert.deepEqual(userIds(state), [sub, "watcher"].sort());
    }
    for (const device of devices) device.close();
    await say(server, name, 1);
    for (const watcher of watchers) await note(watcher, 1);
    // The grace is 5 s: had one of the closed ones counted alone, the leave would be on its way.
    const left = watchers.map((watcher) => watcher.event("presence_diff", ({ leaves }) => leaves.length > 0, 20_000));
    const start = Date.now();
    setTimeout(() => plain.socket.terminate(), 8_000);
    for (const { leaves } of await Promise.all(left)) assert.deepEqual(userIds(leaves), [sub]);
    assert.ok(Date.now() - start > 8_000, "not before the last device was gone");
    for (const watcher of watchers) assert.deepEqual(diffs(watcher), [[[sub], []], [[], [sub]]], watcher.home);
  });

  test("of many who come and go at once each lobby's watcher sees the same people, and a newcomer's state agrees", async (t) => {
    const name = room();
    const watchers = await tabs(t, name, person("watcher"));
    const people = Array.from({ length: 24 }, (_, n) => user(`u${n}`));
    const clients = await Promise.all(people.map((sub) => enter(t, server, name, person(sub))));
    const [stay, go] = [people.filter((_, n) => n % 2), people.filter((_, n) => n % 2 === 0)];
    await Promise.all(clients.filter((_, n) => n % 2 === 0).map((client) => client.ask("leave", name)));
    for (const watcher of watchers) {
      await eventually("all have come and gone", () => diffs(watcher).flatMap(([, leaves]) => leaves).length === go.length);
      assert.deepEqual([diffs(watcher).flatMap(([joins]) => joins).sort(), diffs(watcher).flatMap(([, leaves]) => leaves).sort()], [people.toSorted(), go.toSorted()], watcher.home);
    }
    const late = await enter(t, server, name, person("late"));
    assert.deepEqual(userIds(late.all("presence_state")[0].users), [...stay, "late", "watcher"].sort());
  });

  test("in a chat too: user_joined once and user_left once, whatever the lobbies of a user's tabs", async (t) => {
    const [chatId, sub] = [`c${++count}`, user("bob")];
    const watchers = await onEachLobby(t, server, LOBBIES, person("watcher"), { namespace: "/chat" });
    const bobs = await onEachLobby(t, server, LOBBIES, person(sub), { namespace: "/chat" });
    for (const client of [...watchers, ...bobs]) ok(await client.ask("join_chat", { chatId }));
    for (const bob of bobs) ok(await bob.ask("leave_chat", { chatId }));
    for (const watcher of watchers) await watcher.event("user_left");
    ok(await watchers[0].ask("send_message", { chatId, message: "fence" }));
    for (const watcher of watchers) {
      await watcher.event("new_message");
      assert.deepEqual([watcher.all("user_joined").filter(({ userId }) => userId === sub), watcher.all("user_left")], [[{ userId: sub, chatId }], [{ userId: sub, chatId }]], watcher.home);
    }
  });
});

describe("typing", { concurrency: 6, timeout: 60_000 }, () => {
  test("reaches every lobby, homes, plain sockets and pollers, says who, and is over by itself for each", async (t) => {
    const [name, ann, bob] = [room(), user("ann"), user("bob")];
    const watchers = await tabs(t, name, person("watcher"));
    watchers.push(await enter(t, server, name, person("home"), { query: { room: name } }), await enter(t, server, name, person("polling"), { transports: ["polling"] }));
    const plain = await join(t, server, name, person("plain"));
    const [one, two] = [await enter(t, server, name, person(ann)), await enter(t, server, name, person(bob))];
    for (const client of [one, two]) ok(await client.ask("typing", { room: name, isTyping: true }));
    ok(await two.ask("typing", { room: name, isTyping: false }));
    for (const watcher of watchers) await watcher.event("user_typing", ({ userId, isTyping }) => userId === ann && !isTyping);
    await plain.frame(({ event, data }) => event === "user_typing" && data.userId === ann && !data.isTyping);
    const typed = (list, userId) => list.filter((data) => data.userId === userId).map(({ room: where, isTyping }) => [where, isTyping]);
    const heard = [...watchers.map((watcher) => watcher.all("user_typing")), plain.frames.filter(({ event }) => event === "user_typing").map(({ data }) => data)];
    for (const list of heard) for (const userId of [ann, bob]) assert.deepEqual(typed(list, userId), [[name, true], [name, false]], userId);
    assert.deepEqual(typed(one.all("user_typing"), ann), [], "not to oneself");
  });

  test("of somebody whose network dies is over by itself, and is not in the history or in a recovery", async (t) => {
    const [name, chatId] = [room(), `c${++count}`];
    const watchers = await tabs(t, name, person("watcher"));
    const ann = await enter(t, server, name, person("ann"));
    const chat = await ann.namespace("/chat");
    ok(await chat.ask("join_chat", { chatId }));
    ok(await ann.ask("typing", { room: name, isTyping: true }));
    const [away] = watchers;
    await away.event("user_typing");
    await cutWhile(away, async () => {
      ann.cut();
      for (const watcher of watchers.slice(1)) await watcher.event("user_typing", ({ isTyping }) => !isTyping);
      await say(server, name, 1);
    });
    await note(away, 1);
    assert.deepEqual(away.all("user_typing").filter(({ isTyping }) => isTyping).length, 1, "not again");
    assert.ok((await history(server, name)).messages.every(({ event }) => event === "note"));
  });
});

describe("read receipts", { concurrency: 6, timeout: 60_000 }, () => {
  test("never move back, whichever lobby they come by, and everyone hears each step once and in order", async (t) => {
    const [name, sub] = [room(), user("ann")];
    const watchers = await tabs(t, name, person("watcher"));
    const mine = await tabs(t, name, person(sub));
    const plain = await join(t, server, name, person(sub));
    for (let n = 1; n <= 12; n++) await say(server, name, n);
    const steps = [[0, 4], [1, 2], [2, 4], [3, 7], [0, 5], [1, 9], [2, 99], [3, 12], [0, 1]];
    for (const [at, offset] of steps) ok(await mine[at].ask("mark_read", { room: name, offset }));
    assert.equal((await plain.ask("mark_read", { offset: 3 })).error, undefined);
    await say(server, name, "fence");
    for (const client of [...watchers, ...mine]) {
      await note(client, "fence");
      assert.deepEqual(client.all("messages_read"), [4, 7, 9, 12].map((offset) => ({ userId: sub, room: name, offset })), client.home);
    }
  });

  test("of many at once, from four lobbies, the highest wins and none is heard after a higher one", async (t) => {
    const [name, sub] = [room(), user("ann")];
    const [watcher] = await tabs(t, name, person("watcher"));
    const mine = await tabs(t, name, person(sub));
    for (let n = 1; n <= 40; n++) await say(server, name, n);
    const offsets = Array.from({ length: 40 }, (_, n) => ((n * 17) % 40) + 1);
    await Promise.all(offsets.map((offset, n) => mine[n % LOBBIES].ask("mark_read", { room: name, offset }).then(ok)));
    await say(server, name, "fence");
    await note(watcher, "fence");
    const heard = watcher.all("messages_read").map(({ offset }) => offset);
    assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b));
    assert.equal(heard.at(-1), 40);
  });

  test("never move back after kill -9 either, in a room and in a chat", async (t) => {
    const options = { persist: persistDir(), port: await freePort(), vars: { ...ROOMY, LOBBIES: 2 } };
    let running = await serve(t, options);
    const chatted = async (to, sub) => {
      const client = await ioConnected(t, to, person(sub), { namespace: "/chat" });
      ok(await client.ask("join_chat", { chatId: "1" }));
      return client;
    };
    const first = await enter(t, running, "demo:1", person("ann"));
    const chat = await chatted(running, "ann");
    for (let n = 1; n <= 6; n++) await say(running, "demo:1", n);
    ok(await (await chatted(running, "bob")).ask("send_message", { chatId: "1", message: "read me" }));
    ok(await first.ask("mark_read", { room: "demo:1", offset: 5 }));
    ok(await chat.ask("mark_read", { chatId: "1" }));
    await crash(running);
    running = await serve(t, options);
    const [ann, watcher, chatAnn, chatWatcher] = [await enter(t, running, "demo:1", person("ann")), await enter(t, running, "demo:1", person("bob")), await chatted(running, "ann"), await chatted(running, "bob")];
    for (const offset of [3, 5, 4, 6]) ok(await ann.ask("mark_read", { room: "demo:1", offset }));
    ok(await chatAnn.ask("mark_read", { chatId: "1" }));
    await say(running, "demo:1", "fence");
    await note(watcher, "fence");
    assert.deepEqual(watcher.all("messages_read"), [{ userId: "ann", room: "demo:1", offset: 6 }]);
    ok(await chatAnn.ask("send_message", { chatId: "1", message: "fence" }));
    await chatWatcher.event("new_message");
    assert.deepEqual(chatWatcher.all("messages_read"), [], "nothing new was read");
  });
});
