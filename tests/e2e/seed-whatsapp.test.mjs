// The guide whatsapp-inbox: its useMessages, useSocketIO and useWebSocketStatus hooks, rewritten in small, and its tests: curl,
// messages, typing in several windows, WiFi off and on, no request every three seconds. Twilio's webhook is Dialtone's.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { becomes, call, CONTACT, crash, cutWhile, eventually, freePort, inbound, persistDir, serve, SERVICE, sleep, SocketIo, token } from "./harness.mjs";

const WEBHOOK = "/api/webhooks/twilio";

/** Two lobbies. */
let server;
const ends = [];
let count = 0;

const newUser = (name) => `${name}-${++count}`;
const newLine = () => `+1555050${String(++count).padStart(4, "0")}`;
const conversationOf = (line) => `sms:whatsapp:${line}:whatsapp:${CONTACT}`;

/** A WhatsApp line that these people work. */
async function newInbox(to, ...users) {
  const line = newLine();
  for (const sub of users) assert.equal((await call(to, "PUT", `/api/lines/${encodeURIComponent(`whatsapp:${line}`)}/assignees/${sub}`, { as: SERVICE })).status, 200);
  return line;
}

async function receiveWhatsApp(to, line, Body) {
  const posted = await inbound(to, { To: `whatsapp:${line}`, From: `whatsapp:${CONTACT}`, ProfileName: "Zoë", WaId: CONTACT.slice(1), Body }, { path: WEBHOOK });
  assert.deepEqual([posted.status, posted.body], [200, "<Response/>"]);
}

/**
 * An open conversation: the messages by the socket, and by polling its history only while there is none; the status indicator;
 * who types; who is online. The guide's interval was 3 s.
 */
async function openConversation(t, to, line, claims, { pollingInterval = 100, ...options } = {}) {
  const room = conversationOf(line);
  const socket = io(to.url, { auth: { token: token(claims) }, transports: ["websocket", "polling"], reconnectionDelay: 100, reconnectionDelayMax: 500, forceNew: true, ...options });
  const page = { socket, browser: new SocketIo(socket), status: "connecting", messages: [], typing: new Set(), online: new Set(), requests: 0 };
  const known = new Set();
  const add = (message) => {
    if (!known.has(message.messageSid)) known.add(message.messageSid), page.messages.push(message);
  };
  page.load = async () => {
    page.requests++;
    const { status, body } = await call(to, "GET", `/rooms/${encodeURIComponent(room)}/history?limit=200`, { as: claims }).catch(() => ({}));
    if (status === 200) body.messages.filter(({ event }) => event === "new_message").forEach(({ data }) => add(data));
  };
  let fallback;
  page.stop = () => clearInterval(fallback);
  socket.on("connect", () => {
    page.status = "connected";
    page.stop();
    socket.emit("join", { room });
  });
  socket.on("disconnect", () => {
    page.status = "Connection Issue";
    fallback = setInterval(page.load, pollingInterval);
  });
  socket.on("new_message", (message) => message.phoneNumberId === `whatsapp:${line}` && add(message));
  socket.on("user_typing", ({ userId, room: where, isTyping }) => where === room && page.typing[isTyping ? "add" : "delete"](userId));
  socket.on("presence_state", ({ users }) => (page.online = new Set(users.map(({ userId }) => userId))));
  socket.on("presence_diff", ({ joins, leaves }) => {
    for (const { userId } of joins) page.online.add(userId);
    for (const { userId } of leaves) page.online.delete(userId);
  });
  t.after(() => (socket.disconnect(), page.stop()));
  page.bodies = () => page.messages.map(({ body }) => body);
  page.type = (isTyping) => socket.emit("typing", { room, isTyping });
  await page.browser.event("presence_state");
  await page.load();
  return page;
}

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { LOBBIES: 2 } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("the guide whatsapp-inbox", { concurrency: 6, timeout: 60_000 }, () => {
  test("curl /api/webhooks/twilio and /api/socket: both say ok", async () => {
    for (const route of ["/api/webhooks/twilio", "/api/socket"]) {
      const { status, body } = await call(server, "GET", route);
      assert.deepEqual([status, body.status], [200, "ok"], route);
    }
  });

  test("a WhatsApp message is in the open conversation of everyone who works the line, once, with no polling request", async (t) => {
    const [ann, bob] = [newUser("ann"), newUser("bob")];
    const line = await newInbox(server, ann, bob);
    const pages = [await openConversation(t, server, line, { sub: ann }), await openConversation(t, server, line, { sub: ann }), await openConversation(t, server, line, { sub: bob })];
    for (const text of ["Hola 👋", "¿Hay alguien?"]) await receiveWhatsApp(server, line, text);
    for (const page of pages) {
      await becomes(page.bodies, ["Hola 👋", "¿Hay alguien?"]);
      assert.equal(page.browser.all("new_message").length, 2, "once, though it is in the conversation's room and in one's own");
      const [{ from, to, channel, profileName, direction }] = page.messages;
      assert.deepEqual([from, to, channel, profileName, direction], [CONTACT, line, "whatsapp", "Zoë", "inbound"]);
    }
    await sleep(3_500); // the guide's three seconds
    assert.deepEqual(pages.map(({ requests }) => requests), [1, 1, 1], "the initial load alone");
  });

  test("typing in one window shows in the others and is over three seconds later, without a word from the one who types", async (t) => {
    const [ann, bob] = [newUser("ann"), newUser("bob")];
    const line = await newInbox(server, ann, bob);
    const [one, two, three] = [await openConversation(t, server, line, { sub: ann }), await openConversation(t, server, line, { sub: bob }), await openConversation(t, server, line, { sub: bob })];
    one.type(true);
    for (const page of [two, three]) await becomes(() => [...page.typing], [ann]);
    for (const page of [two, three]) await becomes(() => [...page.typing], []);
    one.type(true);
    for (const page of [two, three]) await becomes(() => [...page.typing], [ann]);
    one.type(false);
    for (const page of [two, three]) await becomes(() => [...page.typing], []);
    assert.deepEqual([...one.typing], []);
  });

  test("online and offline: who opens the conversation is online for the others at once, who closes the last window is not", async (t) => {
    const [ann, bob] = [newUser("ann"), newUser("bob")];
    const line = await newInbox(server, ann, bob);
    const page = await openConversation(t, server, line, { sub: ann });
    assert.deepEqual([...page.online], [ann]);
    const [laptop, phone] = [await openConversation(t, server, line, { sub: bob }), await openConversation(t, server, line, { sub: bob })];
    await becomes(() => [...page.online], [ann, bob]);
    assert.deepEqual([...phone.online].sort(), [ann, bob].sort());
    laptop.socket.disconnect();
    phone.socket.disconnect();
    await eventually("offline", () => !page.online.has(bob), 15_000);
    assert.deepEqual(page.browser.all("presence_diff").map(({ joins, leaves }) => [joins.length, leaves.length]), [[1, 0], [0, 1]]);
  });

  test("WiFi off: the status says so and polling takes over; WiFi on: it reconnects, polling ends, nothing is missing or twice", async (t) => {
    const ann = newUser("ann");
    const line = await newInbox(server, ann);
    const page = await openConversation(t, server, line, { sub: ann });
    await receiveWhatsApp(server, line, "before");
    await becomes(page.bodies, ["before"]);
    await cutWhile(page.browser, async () => {
      assert.equal(page.status, "Connection Issue");
      await receiveWhatsApp(server, line, "by polling");
      await becomes(page.bodies, ["before", "by polling"]);
    });
    assert.equal(page.status, "connected");
    await receiveWhatsApp(server, line, "after");
    await becomes(page.bodies, ["before", "by polling", "after"]);
    const { requests } = page;
    await receiveWhatsApp(server, line, "and after");
    await becomes(page.bodies, ["before", "by polling", "after", "and after"]);
    assert.equal(page.requests, requests, "no polling while it is connected");
    assert.equal(page.browser.all("new_message").length, 4, "what was missed came by the socket too, once");
  });

  test("reconnect by hand: the button disconnects and connects, and the conversation goes on", async (t) => {
    const ann = newUser("ann");
    const line = await newInbox(server, ann);
    const page = await openConversation(t, server, line, { sub: ann });
    page.socket.disconnect();
    assert.equal(page.status, "Connection Issue");
    page.socket.connect();
    await becomes(() => page.status, "connected");
    await page.browser.ask("test");
    await receiveWhatsApp(server, line, "still here");
    await becomes(page.bodies, ["still here"]);
  });

  test("the server restarts, here kill -9: the page polls, reconnects by itself, and has every message once", async (t) => {
    const options = { persist: persistDir(), port: await freePort() };
    const first = await serve(t, options);
    const line = await newInbox(first, "ann");
    const page = await openConversation(t, first, line, { sub: "ann" });
    await receiveWhatsApp(first, line, "before");
    await becomes(page.bodies, ["before"]);
    const back = page.browser.reconnected();
    await receiveWhatsApp(first, line, "at the last moment");
    await crash(first);
    const next = await serve(t, options);
    await receiveWhatsApp(next, line, "meanwhile");
    await back;
    await receiveWhatsApp(next, line, "after");
    await becomes(() => page.bodies().toSorted(), ["after", "at the last moment", "before", "meanwhile"]);
  });

  test("who works another line sees nothing of it", async (t) => {
    const [ann, eve] = [newUser("ann"), newUser("eve")];
    const [line, other] = [await newInbox(server, ann), await newInbox(server, eve)];
    const [page, spy] = [await openConversation(t, server, line, { sub: ann }), await openConversation(t, server, other, { sub: eve })];
    assert.equal((await spy.browser.ask("join", { room: conversationOf(line) })).error?.code, "forbidden");
    assert.equal((await call(server, "GET", `/rooms/${encodeURIComponent(conversationOf(line))}/history`, { as: { sub: eve } })).status, 403);
    await receiveWhatsApp(server, line, "private");
    await receiveWhatsApp(server, other, "for eve");
    await becomes(page.bodies, ["private"]);
    await becomes(spy.bodies, ["for eve"]);
    assert.equal(spy.browser.all("new_message").every(({ body }) => body === "for eve"), true);
  });
});
