// Notifications that outlive absence (CONTRACT "`/notifications`", "HTTP API"): kept until read, for members of a chat who
// are away too, and POSTed to EVENT_WEBHOOK_URL.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, crash, cutWhile, emitted, eventually, freePort, ioConnected, join, onEachLobby, persistDir, refused, serve, SERVICE, subscribe } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 };

/** Two lobbies. */
let server;
const ends = [];
let count = 0;

const user = (name) => `${name}-${++count}`;
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const ok = (answer) => assert.equal(answer.ok, true, JSON.stringify(answer));
const notification = (fields) => ({ type: "job-completed", title: "Done", message: "Your job is done", severity: "success", ...fields });
const notify = (to, sub, body, options) => call(to, "POST", `/api/users/${encodeURIComponent(sub)}/notifications`, { as: SERVICE, body, ...options });

async function notified(to, sub, fields) {
  const { status, body } = await notify(to, sub, notification(fields));
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

/** `{notifications, unread}` as the user reads them. */
async function inbox(to, sub, query = "?unread=1") {
  const { status, body } = await call(to, "GET", `/api/notifications${query}`, { as: { sub } });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

const titles = ({ notifications }) => notifications.map(({ title }) => title);
const heard = (client) => client.all("notification:received").map(({ title }) => title);

/** Everything that concerns this user until now has come to these clients: a last notification has, and is read. */
async function settled(to, sub, clients) {
  const { id } = await notified(to, sub, { title: `mark-${++count}` });
  for (const client of clients) await client.event("notification:received", (data) => data.id === id);
  assert.equal((await call(to, "POST", `/api/notifications/${id}/read`, { as: { sub } })).status, 200);
  for (const client of clients) await client.event("notification:read", (data) => data.id === id);
  for (const client of clients) client.heard = client.heard.filter(({ args }) => args[0]?.id !== id);
}

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { ...ROOMY, LOBBIES: 2 } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("notifications", { concurrency: 6, timeout: 120_000 }, () => {
  test("one that is sent to nobody's screen is kept until it is read, and comes with the next connect, once, oldest first", async (t) => {
    const sub = user("ann");
    const sent = [];
    for (const n of [1, 2, 3]) sent.push(await notified(server, sub, { title: `n${n}` }));
    assert.deepEqual(sent.map(({ room, offset, duplicate }) => [room, offset, duplicate]), [1, 2, 3].map((n) => [`user:${sub}`, n, false]));
    const phone = await subscribe(t, server, "/notifications", sub, { sub });
    await phone.event("notification:received", ({ title }) => title === "n3");
    const { timestamp, ...rest } = phone.all("notification:received")[0];
    assert.equal(new Date(timestamp).toISOString(), timestamp, "it was filled in");
    assert.deepEqual({ ...rest, read: undefined }, { ...notification({ title: "n1" }), id: sent[0].id, read: undefined });
    ok(await phone.ask("subscribe-user", sub));
    ok(await phone.ask("mark-read", { id: sent[1].id }));
    await settled(server, sub, [phone]);
    assert.deepEqual(heard(phone), ["n1", "n2", "n3"], "not again to a socket that has subscribed");
    assert.deepEqual(phone.all("notification:received").map(({ id }) => id), sent.map(({ id }) => id));
    const laptop = await subscribe(t, server, "/notifications", sub, { sub });
    await settled(server, sub, [laptop]);
    assert.deepEqual(heard(laptop), ["n1", "n3"], "what was read on the phone is not new on the laptop");
  });

  test("its fields are as they were sent, those that nobody knows too, and what is missing is filled in", async (t) => {
    const sub = user("ann");
    const tab = await subscribe(t, server, "/notifications", sub, { sub });
    const full = notification({ id: "n/é 1", brandId: "b-1", actionUrl: "/jobs/1", timestamp: "2026-01-05T10:00:00.000Z", read: false, progress: { of: [1, null] } });
    assert.equal((await notified(server, sub, full)).id, "n/é 1");
    assert.deepEqual(await tab.event("notification:received", ({ id }) => id === "n/é 1"), full);
    assert.deepEqual((await inbox(server, sub)).notifications, [full]);
    assert.equal((await call(server, "POST", `/api/notifications/${encodeURIComponent("n/é 1")}/read`, { as: { sub } })).status, 200);
    for (const type of ["job-completed", "job-failed", "approval-needed", "insight-available", "sync-complete", "alert"]) await notified(server, sub, { type });
    for (const severity of ["info", "warning", "error", "success"]) await notified(server, sub, { severity });
    const { notifications } = await inbox(server, sub);
    assert.equal(new Set(notifications.map(({ id }) => id)).size, 10);
  });

  test("each comes exactly once, oldest first, though many are sent while one subscribes, on two lobbies", async (t) => {
    const sub = user("ann");
    const clients = await onEachLobby(t, server, 2, { sub }, { namespace: "/notifications" });
    const posts = numbers(1, 60).map((n) => notified(server, sub, { title: `n${n}` }));
    await posts[5];
    for (const client of clients) client.socket.emit("subscribe-user", sub);
    await Promise.all(posts);
    for (const client of clients) await client.event("subscribed");
    await settled(server, sub, clients);
    const order = (await inbox(server, sub, "?unread=1&limit=200")).notifications.map(({ title }) => title);
    assert.equal(order.length, 60);
    for (const client of clients) assert.deepEqual(heard(client), order, client.home);
  });

  test("who was cut gets what was missed, once, and nothing again, though its page subscribes again", async (t) => {
    const sub = user("ann");
    await notified(server, sub, { title: "old" });
    const tab = await subscribe(t, server, "/notifications", sub, { sub });
    tab.socket.on("connect", () => tab.socket.emit("subscribe-user", sub));
    await tab.event("notification:received");
    for (const n of [1, 2]) await cutWhile(tab, () => notified(server, sub, { title: `missed ${n}` }));
    assert.equal(tab.socket.recovered, true);
    await settled(server, sub, [tab]);
    assert.deepEqual(heard(tab), ["old", "missed 1", "missed 2"]);
  });

  test("reading one is known on every tab, on two lobbies and over HTTP: the others hear notification:read, and it is counted", async (t) => {
    const sub = user("ann");
    const [phone, laptop] = await onEachLobby(t, server, 2, { sub }, { namespace: "/notifications" });
    for (const tab of [phone, laptop]) ok(await tab.ask("subscribe-user", sub));
    const { id } = await notified(server, sub, { title: "a" });
    const { id: second } = await notified(server, sub, { title: "b" });
    const { id: third } = await notified(server, sub, { title: "c" });
    await laptop.event("notification:received", (data) => data.id === third);
    const first = await phone.ask("mark-read", { id });
    assert.deepEqual([first.ok, first.duplicate], [true, false]);
    assert.deepEqual(await laptop.event("notification:read"), { id });
    const again = await laptop.ask("mark-read", { id });
    assert.ok(again.ok && again.duplicate !== false, JSON.stringify(again));
    const read = (of) => call(server, "POST", `/api/notifications/${encodeURIComponent(of)}/read`, { as: { sub } });
    for (const duplicate of [false, true]) {
      const answer = await read(second);
      assert.deepEqual([answer.status, answer.body.duplicate], [200, duplicate]);
    }
    for (const tab of [phone, laptop]) await tab.event("notification:read", (data) => data.id === second);
    const unread = await inbox(server, sub);
    assert.deepEqual([titles(unread), unread.unread], [["c"], 1]);
    const whole = await inbox(server, sub, "");
    assert.deepEqual([whole.notifications.map(({ title, read: was }) => [title, was]), whole.unread], [[["a", true], ["b", true], ["c", false]], 1]);
    refused(await read("unknown"), 404, "not_found");
    await settled(server, sub, [phone, laptop]);
    assert.deepEqual([phone.all("notification:read"), laptop.all("notification:read")], [[{ id: second }], [{ id }, { id: second }]], "each once, and not to the tab that read it");
  });

  test("clear-all empties the list for all tabs, with no argument, by socket and over HTTP; what comes later is new", async (t) => {
    const sub = user("ann");
    const options = { namespace: "/notifications", query: { recovery: "0" } };
    const [phone, laptop] = await onEachLobby(t, server, 2, { sub }, options);
    for (const tab of [phone, laptop]) ok(await tab.ask("subscribe-user", sub));
    for (const n of [1, 2]) await notified(server, sub, { title: `n${n}` });
    ok(await phone.ask("clear-all"));
    await laptop.event("notifications:cleared");
    for (const query of ["?unread=1", ""]) assert.deepEqual(await inbox(server, sub, query), { notifications: [], unread: 0 }, query);
    await notified(server, sub, { title: "later" });
    assert.deepEqual(titles(await inbox(server, sub)), ["later"]);
    assert.equal((await call(server, "DELETE", "/api/notifications", { as: { sub } })).status, 200);
    for (const tab of [phone, laptop]) await eventually("cleared", () => tab.all("notifications:cleared").length === (tab === phone ? 1 : 2));
    assert.ok([phone, laptop].every((tab) => tab.heard.filter(({ event }) => event === "notifications:cleared").every(({ args }) => args.length === 0)));
    assert.equal((await inbox(server, sub, "")).unread, 0);
    const fresh = await subscribe(t, server, "/notifications", sub, { sub });
    await settled(server, sub, [fresh]);
    assert.deepEqual(heard(fresh), []);
  });

  test("limit is 50 and at most 200 of the newest, oldest of them first, and unread counts them all; who subscribes gets them all", async (t) => {
    const sub = user("ann");
    for (const from of [1, 71, 141]) for (const n of numbers(from, from + 69)) await notified(server, sub, { title: `n${n}` });
    const span = (from, to) => numbers(from, to).map((n) => `n${n}`);
    for (const [query, expected] of [["?unread=1", span(161, 210)], ["?unread=1&limit=3", span(208, 210)], ["", span(161, 210)], ["?limit=200", span(11, 210)], ["?unread=1&limit=5000", span(11, 210)]]) {
      const found = await inbox(server, sub, query);
      assert.deepEqual([titles(found), found.unread], [expected, 210], query);
    }
    for (const query of ["?limit=0", "?limit=x"]) refused(await call(server, "GET", `/api/notifications${query}`, { as: { sub } }), 400, "bad_request", undefined, query);
    const tab = await subscribe(t, server, "/notifications", sub, { sub });
    await settled(server, sub, [tab]);
    assert.deepEqual(heard(tab), span(1, 210));
  });

  test("the same id twice is one, ten at once too, and one that was read does not come back", async (t) => {
    const sub = user("ann");
    const tab = await subscribe(t, server, "/notifications", sub, { sub });
    const answers = await Promise.all(numbers(1, 10).map(() => notified(server, sub, { id: "same", title: "once" })));
    assert.equal(answers.filter(({ duplicate }) => !duplicate).length, 1);
    assert.ok(answers.every(({ id, offset }) => id === "same" && offset === 1), JSON.stringify(answers));
    ok(await tab.ask("mark-read", { id: "same" }));
    assert.deepEqual(await notified(server, sub, { id: "same", title: "again" }), { room: `user:${sub}`, id: "same", offset: 1, duplicate: true });
    await settled(server, sub, [tab]);
    assert.deepEqual([heard(tab), await inbox(server, sub)], [["once"], { notifications: [], unread: 0 }]);
    assert.equal((await notified(server, user("bob"), { id: "same" })).duplicate, false, "another user's is another");
  });

  test("nobody gets, reads or clears another's; an admin may look on; who has not subscribed marks nothing", async (t) => {
    const [sub, eve] = [user("ann"), user("eve")];
    const { id } = await notified(server, sub, { title: "for ann" });
    const spy = await ioConnected(t, server, { sub: eve, rooms: ["*"] }, { namespace: "/notifications" });
    for (const [event, data, code] of [["subscribe-user", sub, "forbidden"], ["mark-read", { id }, "not_in_room"], ["clear-all", undefined, "not_in_room"]]) {
      const answer = await spy.ask(event, ...(data === undefined ? [] : [data]));
      assert.deepEqual([answer.ok, answer.error?.code], [false, code], event);
    }
    spy.socket.emit("subscribe-user", sub);
    assert.deepEqual([(await spy.event("error")).code, (await spy.event("error")).event], ["forbidden", "subscribe-user"]);
    ok(await spy.ask("subscribe-user", eve));
    assert.equal((await spy.ask("mark-read", { id })).ok, false);
    refused(await call(server, "POST", `/api/notifications/${id}/read`, { as: { sub: eve } }), 404, "not_found");
    assert.deepEqual(await inbox(server, eve, ""), { notifications: [], unread: 0 });
    for (const [method, route] of [["GET", "/api/notifications"], ["DELETE", "/api/notifications"], ["POST", `/api/notifications/${id}/read`], ["POST", `/api/users/${sub}/notifications`]]) {
      refused(await call(server, method, route), 401, "unauthorized", undefined, route);
    }
    for (const as of [{ sub }, { sub: eve, rooms: ["*"] }, { sub: "c", role: "customer" }]) refused(await notify(server, sub, notification(), { as }), 403, "forbidden");
    assert.equal((await notify(server, user("x"), notification(), { as: ADMIN })).status, 200);
    const admin = await subscribe(t, server, "/notifications", sub, ADMIN);
    assert.equal((await admin.event("notification:received")).title, "for ann");
    await settled(server, sub, [admin]);
    assert.deepEqual([heard(spy), titles(await inbox(server, sub))], [[], ["for ann"]]);
  });

  test("unsubscribe-user ends it, and a number in the token is a number in `subscribed`", async (t) => {
    const sub = 7_000_000 + ++count;
    const tab = await ioConnected(t, server, { sub }, { namespace: "/notifications" });
    const ack = await tab.ask("subscribe-user", sub);
    assert.deepEqual({ ...ack, epoch: typeof ack.epoch }, { ok: true, room: `user:${sub}`, epoch: "string", offset: 0 });
    assert.deepEqual(await tab.event("subscribed"), { userId: sub });
    const others = await onEachLobby(t, server, 2, { sub }, { namespace: "/notifications" });
    for (const other of others) ok(await other.ask("subscribe-user", sub));
    await notified(server, String(sub), { title: "heard" });
    await tab.event("notification:received");
    ok(await tab.ask("unsubscribe-user", sub));
    await notified(server, String(sub), { title: "not heard" });
    for (const other of others) await other.event("notification:received", ({ title }) => title === "not heard");
    await tab.ask("subscribe-user", "somebody"); // its answer comes after what its lobby had sent before
    assert.deepEqual(heard(tab), ["heard"]);
    assert.deepEqual([tab.all("connected"), tab.all("presence_state"), tab.all("presence_diff")], [[], [], []]);
  });

  test("bad notifications and ids are refused by name, and by their code where a socket sent them", async (t) => {
    const sub = user("ann");
    for (const [fields, field] of [[{ severity: "fatal" }, "severity"], [{ type: "party" }, "type"], [{ title: undefined }, "title"], [{ message: 5 }, "message"], [{ id: "x".repeat(129) }, "id"], [{ read: "no" }, "read"]]) {
      refused(await notify(server, sub, notification(fields)), 422, "invalid_payload", field, JSON.stringify(fields));
    }
    for (const [body, status, code] of [["{", 400, "bad_request"], ["[]", 422, "invalid_payload"], ["5", 422, "invalid_payload"]]) refused(await notify(server, sub, body), status, code, undefined, body);
    refused(await notify(server, sub, notification(), { headers: { "content-type": "text/plain" } }), 415, "unsupported_media_type");
    assert.deepEqual(await inbox(server, sub, ""), { notifications: [], unread: 0 });
    const tab = await subscribe(t, server, "/notifications", sub, { sub });
    for (const [event, ...args] of [["mark-read"], ["mark-read", 5], ["mark-read", {}], ["mark-read", { id: 5 }], ["subscribe-user"], ["subscribe-user", {}]]) {
      const answer = await tab.ask(event, ...args);
      assert.deepEqual([answer.ok, answer.error?.code], [false, "invalid_payload"], `${event} ${JSON.stringify(args)}`);
    }
    for (const event of ["notification:received", "notification:read", "join", "nonsense"]) assert.equal((await tab.ask(event, { id: "x" })).error?.code, "unknown_event", event);
  });

  test("kept, read, cleared and deduplicated outlive kill -9", async (t) => {
    const [persist, port, sub] = [persistDir(), await freePort(), "ann"];
    const start = () => serve(t, { persist, port });
    let running = await start();
    const restart = async () => (await crash(running), (running = await start()));
    for (const title of ["a", "b"]) await notified(running, sub, { id: title, title });
    await restart();
    const tab = await subscribe(t, running, "/notifications", sub, { sub });
    await eventually("both", () => heard(tab).length === 2);
    assert.deepEqual(heard(tab), ["a", "b"]);
    ok(await tab.ask("mark-read", { id: "a" }));
    await restart();
    const read = await inbox(running, sub);
    assert.deepEqual([titles(read), read.unread], [["b"], 1]);
    assert.equal((await notified(running, sub, { id: "a" })).duplicate, true);
    assert.equal((await call(running, "DELETE", "/api/notifications", { as: { sub } })).status, 200);
    await restart();
    assert.deepEqual(await inbox(running, sub, ""), { notifications: [], unread: 0 });
    await notified(running, sub, { id: "c", title: "c" });
    await restart();
    assert.deepEqual(titles(await inbox(running, sub)), ["c"]);
  });

  test("what a backend emits as notification:received is kept like any other", async (t) => {
    const sub = user("ann");
    const item = { namespace: "/notifications", room: `user:${sub}`, event: "notification:received", data: notification({ title: "emitted" }) };
    assert.deepEqual(await emitted(server, item), [{ room: `user:${sub}`, offset: 1, duplicate: false }]);
    assert.deepEqual(titles(await inbox(server, sub)), ["emitted"]);
    const tab = await subscribe(t, server, "/notifications", sub, { sub });
    const { id, timestamp } = await tab.event("notification:received");
    assert.deepEqual([typeof id, typeof timestamp], ["string", "string"]);
    ok(await tab.ask("mark-read", { id }));
  });
});

// ── Chats ────────────────────────────────────────────────────────────────────────────────────────

/** A chat with these members; gives its id. */
async function chatOf(to, ...members) {
  const chatId = `c${++count}`;
  for (const sub of members) assert.equal((await call(to, "PUT", `/rooms/chat:${chatId}/members/${sub}`, { as: SERVICE })).status, 200);
  return chatId;
}

async function inChat(t, to, chatId, sub, options) {
  const client = await ioConnected(t, to, { sub }, { namespace: "/chat", ...options });
  ok(await client.ask("join_chat", { chatId }));
  return client;
}

const say = async (client, chatId, message, more) => {
  const ack = await client.ask("send_message", { chatId, message, ...more });
  ok(ack);
  return ack;
};

/** Until the user has so many unread: the chat's outbox is asynchronous. */
const unread = (to, sub, wanted) =>
  eventually(`${wanted} unread for ${sub}`, async () => {
    const found = await inbox(to, sub);
    return found.unread >= wanted && found;
  });

describe("a chat's notifications", { concurrency: 6, timeout: 120_000 }, () => {
  test("members who are not there get one for each message of another; who is there or sent it, and who is no member, gets none", async (t) => {
    const [ann, bob, carol, dave, plain, eve] = ["ann", "bob", "carol", "dave", "plain", "eve"].map(user);
    const chatId = await chatOf(server, ann, bob, carol, dave, plain);
    const sender = await inChat(t, server, chatId, ann);
    await inChat(t, server, chatId, bob);
    await join(t, server, `chat:${chatId}`, { sub: plain });
    const away = await subscribe(t, server, "/notifications", carol, { sub: carol });
    const granted = await ioConnected(t, server, { sub: eve, rooms: [`chat:${chatId}`] });
    const ack = await say(sender, chatId, "Is anybody there? é💬");
    const { id, timestamp, read, ...rest } = await away.event("notification:received");
    assert.deepEqual(rest, { type: "alert", severity: "info", title: "New message", message: "Is anybody there? é💬", chatId, messageId: ack.id, senderId: ann });
    assert.deepEqual([typeof id, new Date(timestamp).toISOString(), read ?? false], ["string", timestamp, false]);
    await say(sender, chatId, "é💬".repeat(150));
    const second = await away.event("notification:received", ({ messageId }) => messageId !== ack.id);
    assert.equal([...second.message].length, 200);
    assert.ok("é💬".repeat(150).startsWith(second.message));
    await sender.ask("typing", { chatId, isTyping: true });
    const { notifications } = await unread(server, dave, 2);
    assert.deepEqual(notifications.map(({ messageId }) => messageId), [ack.id, second.messageId]);
    // By HTTP from elsewhere: who sent it gets none, though not there.
    assert.equal((await call(server, "POST", `/rooms/chat:${chatId}/events`, { as: { sub: dave }, body: { event: "send_message", data: { message: "from dave" } } })).status, 200);
    await unread(server, carol, 3);
    for (const [sub, wanted] of [[ann, 0], [bob, 0], [plain, 0], [eve, 0], [carol, 3], [dave, 2]]) assert.equal((await inbox(server, sub)).unread, wanted, sub);
    assert.deepEqual(granted.all("notification:received"), []);
  });

  test("who was cut counts as not there at once; who left, too; a message that is sent twice is one notification", async (t) => {
    const [ann, bob, carol] = ["ann", "bob", "carol"].map(user);
    const chatId = await chatOf(server, ann, bob, carol);
    const sender = await inChat(t, server, chatId, ann);
    const cut = await inChat(t, server, chatId, bob);
    const left = await inChat(t, server, chatId, carol);
    ok(await left.ask("leave_chat", { chatId }));
    await cutWhile(cut, async () => {
      // The server must have noticed: the others' screens are no sign of it, for the grace hides it.
      await eventually("a notification for who was cut", async () => (await say(sender, chatId, "hello"), (await inbox(server, bob)).unread > 0));
    });
    const sent = cut.all("new_message").length;
    await cut.event("new_message");
    assert.equal(cut.socket.recovered, true, `and the messages come by recovery too, ${sent}`);
    const before = (await unread(server, carol, 1)).unread;
    const more = { clientMessageId: "m-1" };
    await say(sender, chatId, "once", more);
    assert.equal((await say(sender, chatId, "once", more)).duplicate, true);
    await say(sender, chatId, "last");
    const { notifications } = await eventually("the last", async () => {
      const found = await inbox(server, carol, "?unread=1&limit=200");
      return found.notifications.at(-1)?.message === "last" && found;
    });
    assert.equal(notifications.filter(({ message }) => message === "once").length, 1);
    assert.ok(before >= 1);
  });

  test("mark_read of the chat reads them on every screen, that chat's and that user's alone", async (t) => {
    const [ann, carol, dave] = ["ann", "carol", "dave"].map(user);
    const [chatId, other] = [await chatOf(server, ann, carol, dave), await chatOf(server, ann, carol)];
    const sender = await inChat(t, server, chatId, ann);
    ok(await sender.ask("join_chat", { chatId: other }));
    const screens = await onEachLobby(t, server, 2, { sub: carol }, { namespace: "/notifications" });
    for (const screen of screens) ok(await screen.ask("subscribe-user", carol));
    for (const message of ["one", "two"]) await say(sender, chatId, message);
    await say(sender, other, "in another chat");
    await notified(server, carol, { title: "no chat's" });
    const ids = (await unread(server, carol, 4)).notifications.filter((one) => one.chatId === chatId).map(({ id }) => id);
    assert.equal(ids.length, 2);
    const reader = await inChat(t, server, chatId, carol);
    ok(await reader.ask("mark_read", { chatId }));
    for (const screen of screens) for (const id of ids) await screen.event("notification:read", (data) => data.id === id);
    const left = await inbox(server, carol);
    assert.deepEqual([left.unread, left.notifications.map(({ title, chatId: of }) => of ?? title).sort()], [2, [other, "no chat's"].sort()]);
    assert.equal((await unread(server, dave, 2)).unread, 2);
    for (const screen of screens) assert.deepEqual(screen.all("notification:read").map(({ id }) => id).sort(), [...ids].sort(), "each once");
  });

  test("who is no member any more gets none, and who became one gets those from then on", async (t) => {
    const [ann, bob, carol] = ["ann", "bob", "carol"].map(user);
    const chatId = await chatOf(server, ann, bob);
    const sender = await inChat(t, server, chatId, ann);
    await say(sender, chatId, "first");
    await unread(server, bob, 1);
    await call(server, "DELETE", `/rooms/chat:${chatId}/members/${bob}`, { as: SERVICE });
    await call(server, "PUT", `/rooms/chat:${chatId}/members/${carol}`, { as: SERVICE });
    await say(sender, chatId, "second");
    assert.deepEqual((await unread(server, carol, 1)).notifications.map(({ message }) => message), ["second"]);
    assert.equal((await inbox(server, bob)).unread, 1);
  });

  test("an acknowledged message's notifications come after kill -9 too, once each", async (t) => {
    const [persist, port] = [persistDir(), await freePort()];
    let running = await serve(t, { persist, port, vars: ROOMY });
    const chatId = await chatOf(running, "ann", "bob", "carol");
    for (const round of [1, 2, 3]) {
      const sender = await inChat(t, running, chatId, "ann");
      await Promise.all(numbers(1, 5).map((n) => say(sender, chatId, `${round}.${n}`)));
      await crash(running);
      running = await serve(t, { persist, port, vars: ROOMY });
    }
    const expected = [1, 2, 3].flatMap((round) => numbers(1, 5).map((n) => `${round}.${n}`));
    for (const sub of ["bob", "carol"]) {
      const { notifications } = await eventually(`all for ${sub}`, async () => (await inbox(running, sub)).unread >= expected.length && inbox(running, sub), 40_000);
      assert.deepEqual(notifications.map(({ message }) => message), expected, sub);
    }
  });
});

// ── EVENT_WEBHOOK_URL ────────────────────────────────────────────────────────────────────────────

/**
 * Somebody's HTTP server that remembers each request. `answer` says what it gets: a status, "hang up" or "nothing".
 * Those of `requests` that were answered with 2xx have `taken`.
 */
async function receiver(t, answer = () => 200) {
  const requests = [];
  const http = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const { method, url, headers } = request;
    const one = { at: Date.now(), method, url, headers, body, ...JSON.parse(body) };
    const status = answer(one, requests);
    requests.push(Object.assign(one, { taken: status >= 200 && status < 300 }));
    if (status === "hang up") request.socket.destroy();
    else if (status !== "nothing") response.writeHead(status, { location: "/elsewhere" }).end();
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => (http.closeAllConnections(), http.close()));
  return { requests, taken: () => requests.filter((one) => one.taken), url: `http://127.0.0.1:${http.address().port}/hooks/dialtone?v=1` };
}

const KEY = randomBytes(32);
const SECRET = `whsec_${KEY.toString("base64")}`;
const messageOf = ({ data }) => data.notification.message;

/** Verifies a request as https://standardwebhooks.com says, by hand. */
function verify({ method, headers, body, type, timestamp, data }, key = KEY) {
  assert.deepEqual([method, headers["content-type"].split(";")[0], type], ["POST", "application/json", "notification:received"]);
  const { "webhook-id": id, "webhook-timestamp": seconds, "webhook-signature": signature } = headers;
  const mac = createHmac("sha256", key).update(`${id}.${seconds}.${body}`).digest("base64");
  assert.deepEqual(signature.split(" "), [`v1,${mac}`]);
  assert.match(seconds, /^\d{10}$/);
  assert.ok(Math.abs(Number(seconds) - Date.now() / 1000) < 300, seconds);
  assert.ok(id.includes(data.notification.messageId.replace("-", ":")), id);
  assert.equal(new Date(timestamp).toISOString(), timestamp);
}

describe("EVENT_WEBHOOK_URL", { concurrency: 6, timeout: 120_000 }, () => {
  test("exactly the notifications of members who are away are POSTed, signed as Standard Webhooks, and say who is online", async (t) => {
    for (const [secret, key] of [[SECRET, KEY], ["a secret as text é", Buffer.from("a secret as text é")]]) {
      const hooks = await receiver(t);
      const to = await serve(t, { vars: { EVENT_WEBHOOK_URL: hooks.url, EVENT_WEBHOOK_SECRET: secret } });
      const chatId = await chatOf(to, "ann", "bob", "carol", "dave");
      const [sender] = [await inChat(t, to, chatId, "ann"), await inChat(t, to, chatId, "bob")];
      await ioConnected(t, to, { sub: "carol" }); // in their own room, not in the chat
      await notified(to, "dave", { title: "a backend's" });
      const ack = await say(sender, chatId, "Is anybody there? é💬");
      await eventually("both", () => hooks.requests.length >= 2);
      await say(sender, chatId, "last");
      await eventually("all four", () => hooks.requests.filter((one) => messageOf(one) === "last").length === 2);
      for (const request of hooks.requests) {
        verify(request, key);
        assert.equal(request.url, "/hooks/dialtone?v=1");
      }
      assert.equal(new Set(hooks.requests.map(({ headers }) => headers["webhook-id"])).size, 4, "a receiver tells them apart by their id");
      const [first] = hooks.requests.filter(({ data }) => data.userId === "dave");
      const { id, timestamp, read, ...rest } = first.data.notification;
      assert.deepEqual(rest, { type: "alert", severity: "info", title: "New message", message: "Is anybody there? é💬", chatId, messageId: ack.id, senderId: "ann" });
      assert.deepEqual((await inbox(to, "dave")).notifications.filter((one) => one.chatId).map((one) => [one.id, one.timestamp])[0], [id, timestamp], "the same that is kept");
      const found = hooks.requests.map((one) => [one.data.userId, messageOf(one).slice(0, 4), one.data.online]).sort();
      assert.deepEqual(found, [["carol", "Is a", true], ["carol", "last", true], ["dave", "Is a", false], ["dave", "last", false]], "neither who is there, nor who sent, nor a backend's");
      const logs = to.logs.join("");
      assert.ok(!logs.includes(secret) && !logs.includes("Is anybody there") && !logs.includes(KEY.toString("base64")), logs.slice(0, 2_000));
    }
  });

  test("a 500, a redirect, a hang-up are tried again after 1 s, 2 s, 4 s, with the same id, signed anew, until it is taken, once", async (t) => {
    const plan = [500, "hang up", 302, 204];
    const hooks = await receiver(t, (_, { length }) => plan[length] ?? 200);
    const to = await serve(t, { vars: { EVENT_WEBHOOK_URL: hooks.url, EVENT_WEBHOOK_SECRET: SECRET } });
    const chatId = await chatOf(to, "ann", "bob");
    const sender = await inChat(t, to, chatId, "ann");
    await say(sender, chatId, "one");
    await eventually("it is taken", () => hooks.taken().length === 1, 30_000);
    hooks.requests.forEach((one) => verify(one));
    const [{ data }] = hooks.requests;
    assert.deepEqual(hooks.requests.map(({ data: each }) => each.notification), Array(4).fill(data.notification));
    assert.equal(new Set(hooks.requests.map(({ headers }) => headers["webhook-id"])).size, 1);
    const waits = hooks.requests.slice(1).map(({ at }, n) => at - hooks.requests[n].at);
    for (const [n, wait] of waits.entries()) assert.ok(wait > 1_000 * 2 ** n - 250, `try ${n + 2} came after ${wait} ms`);
    await say(sender, chatId, "two");
    await eventually("the next", () => hooks.taken().length === 2, 30_000);
    assert.deepEqual(hooks.requests.slice(4).map(messageOf), ["two"], "what was taken is not sent again");
  });

  test("no answer is tried again too, after ten seconds", async (t) => {
    const hooks = await receiver(t, (_, { length }) => (length === 0 ? "nothing" : 200));
    const to = await serve(t, { vars: { EVENT_WEBHOOK_URL: hooks.url, EVENT_WEBHOOK_SECRET: SECRET } });
    const chatId = await chatOf(to, "ann", "bob");
    await say(await inChat(t, to, chatId, "ann"), chatId, "one");
    await eventually("it is taken", () => hooks.taken().length === 1, 40_000);
    assert.deepEqual(hooks.requests.map(messageOf), ["one", "one"]);
    assert.ok(hooks.requests[1].at - hooks.requests[0].at > 9_500);
  });

  test("one at a time and in order for a user; another user's do not wait for them", async (t) => {
    const hooks = await receiver(t, ({ data }, before) => (data.userId === "slow" && (before.filter((one) => one.data.userId === "slow").length < 2 || before.filter((one) => one.data.userId === "quick").length < 5) ? 503 : 200));
    const to = await serve(t, { vars: { ...ROOMY, EVENT_WEBHOOK_URL: hooks.url, EVENT_WEBHOOK_SECRET: SECRET } });
    const chatId = await chatOf(to, "ann", "slow", "quick");
    const sender = await inChat(t, to, chatId, "ann");
    const expected = numbers(1, 5).map(String);
    for (const message of expected) await say(sender, chatId, message);
    await eventually("all ten", () => hooks.taken().length === 10, 60_000);
    const of = (sub) => hooks.requests.filter(({ data }) => data.userId === sub);
    for (const sub of ["slow", "quick"]) assert.deepEqual(of(sub).filter(({ taken }) => taken).map(messageOf), expected, sub);
    const firstTaken = of("slow").findIndex(({ taken }) => taken);
    assert.ok(of("slow").slice(0, firstTaken).every((one) => messageOf(one) === "1"), "none overtakes one that is being tried");
    assert.ok(firstTaken >= 2);
  });

  test("what is owed is sent after kill -9, in order, though nobody asks for it, and nothing is owed twice", async (t) => {
    let open = false;
    const hooks = await receiver(t, () => (open ? 200 : 500));
    const options = { persist: persistDir(), port: await freePort(), vars: { ...ROOMY, EVENT_WEBHOOK_URL: hooks.url, EVENT_WEBHOOK_SECRET: SECRET } };
    const before = await serve(t, options);
    const chatId = await chatOf(before, "ann", "bob", "carol");
    const sender = await inChat(t, before, chatId, "ann");
    const expected = numbers(1, 5).map(String);
    for (const message of expected) await say(sender, chatId, message);
    await eventually("a try for each", () => new Set(hooks.requests.map(({ data }) => data.userId)).size === 2);
    await crash(before);
    open = true;
    const next = await serve(t, options);
    await eventually("all ten", () => hooks.taken().length >= 10, 60_000);
    hooks.requests.forEach((one) => verify(one));
    for (const sub of ["bob", "carol"]) assert.deepEqual(hooks.taken().filter(({ data }) => data.userId === sub).map(messageOf), expected, sub);
    await crash(next);
    const last = await serve(t, options);
    await say(await inChat(t, last, chatId, "ann"), chatId, "last");
    await eventually("the last two", () => hooks.taken().filter((one) => messageOf(one) === "last").length === 2);
    // A kill may come between the answer and its commit: then it comes again, under the same id.
    assert.equal(new Set(hooks.taken().map(({ headers }) => headers["webhook-id"])).size, 12);
  });

  test("without EVENT_WEBHOOK_URL nothing is POSTed, and a bad one is a 503 that names it", async (t) => {
    const hooks = await receiver(t);
    const quiet = await serve(t, { vars: { EVENT_WEBHOOK_SECRET: SECRET } });
    const chatId = await chatOf(quiet, "ann", "bob");
    await say(await inChat(t, quiet, chatId, "ann"), chatId, "one");
    await unread(quiet, "bob", 1);
    assert.deepEqual(hooks.requests, []);
    const bad = await serve(t, { vars: { EVENT_WEBHOOK_URL: "hooks.example/x", EVENT_WEBHOOK_SECRET: SECRET } });
    const { status, body } = await call(bad, "GET", "/health");
    assert.equal(status, 503);
    assert.ok(JSON.stringify(body).includes("EVENT_WEBHOOK_URL") && !JSON.stringify(body).includes("hooks.example"), JSON.stringify(body));
  });
});
