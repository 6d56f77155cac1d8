// The guide customer-provider-chat: its SocketService and its Chat component, rewritten in small with its own options, and its
// own tests (connection, send, two windows) with what else it promises. Its gateway is gone; its API keeps the members.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { becomes, call, crash, cutWhile, eventually, freePort, persistDir, serve, SERVICE, SocketIo, token } from "./harness.mjs";

const FRONTEND_URL = "https://your-frontend.vercel.app";

let server;
const ends = [];
let count = 0;
let nextUser = 100;

/** The guide's class. `forceNew` and the origin: here several browsers are one process, and none is a browser. */
class SocketService {
  socket = null;
  log = [];

  constructor(t, { url }) {
    this.url = url;
    t.after(() => this.disconnect());
  }

  connect(jwt) {
    if (this.socket?.connected) return;
    this.socket = io(`${this.url}/chat`, {
      auth: { token: jwt },
      transports: ["websocket", "polling"],
      reconnection: true,
      reconnectionAttempts: 5,
      reconnectionDelay: 1000,
      timeout: 10000,
      forceNew: true,
      extraHeaders: { origin: FRONTEND_URL },
    });
    for (const event of ["connect", "disconnect", "connected", "error", "connect_error"]) this.socket.on(event, (data) => this.log.push([event, data]));
    this.browser = new SocketIo(this.socket);
  }

  disconnect() {
    this.socket?.disconnect();
    this.socket = null;
  }

  joinChat(chatId) {
    this.socket.emit("join_chat", { chatId });
  }

  leaveChat(chatId) {
    this.socket?.emit("leave_chat", { chatId });
  }

  sendMessage(chatId, message, message_type = "text") {
    this.socket.emit("send_message", { chatId, message, message_type });
  }

  sendTyping(chatId, isTyping) {
    this.socket?.emit("typing", { chatId, isTyping });
  }

  markRead(chatId) {
    this.socket?.emit("mark_read", { chatId });
  }

  isConnected() {
    return this.socket?.connected || false;
  }

  /** What the guide's onNewMessage, onUserTyping and onJoinedChat are. */
  on(event, callback) {
    this.socket.on(event, callback);
  }

  logged(event) {
    return this.log.filter(([name]) => name === event).map(([, data]) => data);
  }
}

/** The guide's Chat component without its screen: what its effect does, in its order, waiting for nothing. */
async function openChat(t, to, chatId, claims) {
  const service = new SocketService(t, to);
  const jwt = token(claims);
  const page = { service, messages: [], otherUserTyping: false };
  service.connect(jwt);
  service.joinChat(chatId);
  const loaded = call(to, "GET", `/chat/${chatId}/messages`, { headers: { authorization: `Bearer ${jwt}`, origin: FRONTEND_URL } });
  service.on("new_message", (message) => page.messages.push(message));
  service.on("user_typing", ({ userId, isTyping }) => {
    if (userId !== claims.sub) page.otherUserTyping = isTyping;
  });
  page.messages.push(...((await loaded).body.messages ?? []));
  page.send = (text, type) => {
    service.sendMessage(chatId, text.trim(), type);
    service.sendTyping(chatId, false);
  };
  page.texts = () => page.messages.map(({ message }) => message);
  page.shows = (...texts) => becomes(page.texts, texts, "what the page shows");
  await service.browser.event("joined_chat");
  return page;
}

/** A chat of the guide's database: its customer and its provider, by their integer ids, are its members. */
async function newChat(to = server) {
  const chat = { id: `0b5a7e1c-${++count}`, customer: { sub: ++nextUser, role: "customer" }, provider: { sub: ++nextUser, role: "provider" } };
  for (const { sub } of [chat.customer, chat.provider]) {
    assert.equal((await call(to, "PUT", `/rooms/chat:${chat.id}/members/${sub}`, { as: SERVICE })).status, 200);
  }
  return chat;
}

const windows = (t, { id, customer, provider }) => Promise.all([openChat(t, server, id, customer), openChat(t, server, id, provider)]);

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { ALLOWED_ORIGINS: FRONTEND_URL, LOBBIES: 2 } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("the guide customer-provider-chat", { concurrency: 6, timeout: 60_000 }, () => {
  test("curl /health says ok, with a timestamp and a service", async () => {
    const { status, body } = await call(server, "GET", "/health");
    assert.deepEqual([status, body.status, typeof body.service, new Date(body.timestamp).toISOString()], [200, "ok", "string", body.timestamp]);
  });

  test("test 1, connection: with a token one is connected and the server says so; without one, or from another site, one is not", async (t) => {
    const service = new SocketService(t, server);
    service.connect(token({ sub: 42 }));
    const { message, userId } = await service.browser.event("connected");
    assert.deepEqual([typeof message, userId, service.isConnected()], ["string", 42, true]);
    for (const options of [{ extraHeaders: { origin: FRONTEND_URL } }, { extraHeaders: { origin: FRONTEND_URL }, auth: { token: "expired" } }, { auth: { token: token({ sub: 42 }) }, extraHeaders: { origin: "https://evil.example" } }]) {
      const socket = io(`${server.url}/chat`, { transports: ["websocket", "polling"], reconnection: false, forceNew: true, ...options });
      t.after(() => socket.disconnect());
      await assert.rejects(new SocketIo(socket).connected(), JSON.stringify(options));
    }
  });

  test("test 2, send: joined_chat confirms, a message without a type is a text, and the sender hears it", async (t) => {
    const { id: chatId, customer } = await newChat();
    const service = new SocketService(t, server);
    service.connect(token(customer));
    service.socket.emit("join_chat", { chatId });
    service.on("joined_chat", () => service.socket.emit("send_message", { chatId, message: "Hello from Socket.IO!" }));
    const { id, created_at, ...rest } = await service.browser.event("new_message");
    assert.deepEqual(rest, { chatId, sender_type: "customer", sender_id: customer.sub, message: "Hello from Socket.IO!", message_type: "text" });
    assert.deepEqual([typeof id, new Date(created_at).toISOString()], ["string", created_at]);
    assert.equal((await service.browser.event("joined_chat")).chatId, chatId);
  });

  test("test 3, two windows: what one sends appears in the other without a refresh, once, in both directions", async (t) => {
    const [chrome, firefox] = await windows(t, await newChat());
    chrome.send("Is my boiler fixed?");
    await firefox.shows("Is my boiler fixed?");
    firefox.send("  Almost! ");
    chrome.send("photo.png", "image");
    for (const page of [chrome, firefox]) {
      await eventually("three messages", () => page.messages.length === 3);
      assert.deepEqual(page.texts().sort(), ["Almost!", "Is my boiler fixed?", "photo.png"]);
    }
    assert.deepEqual(chrome.messages, firefox.messages, "in the same order");
    assert.deepEqual(chrome.service.logged("error"), []);
  });

  test("a window that is opened later, or on another device, loads the whole conversation and then hears what is new", async (t) => {
    const chat = await newChat();
    const [laptop, provider] = await windows(t, chat);
    for (const n of [1, 2, 3]) laptop.send(`m${n}`);
    await provider.shows("m1", "m2", "m3");
    const phone = await openChat(t, server, chat.id, chat.customer);
    assert.deepEqual(phone.messages, provider.messages, "from GET /chat/{chatId}/messages");
    phone.send("from the phone");
    for (const page of [laptop, phone, provider]) await page.shows("m1", "m2", "m3", "from the phone");
  });

  test("typing shows in the other window alone, goes by itself after 3 seconds, and at once when the message is sent", async (t) => {
    const chat = await newChat();
    const [customer, provider] = await windows(t, chat);
    customer.service.sendTyping(chat.id, true);
    await eventually("User is typing…", () => provider.otherUserTyping);
    await eventually("it goes", () => !provider.otherUserTyping);
    customer.service.sendTyping(chat.id, true);
    await eventually("User is typing…", () => provider.otherUserTyping);
    customer.send("done");
    await eventually("it goes", () => !provider.otherUserTyping);
    assert.deepEqual(provider.service.browser.all("user_typing"), [true, false, true, false].map((isTyping) => ({ userId: chat.customer.sub, isTyping, chatId: chat.id })));
    assert.deepEqual(customer.service.browser.all("user_typing"), []);
  });

  test("read receipts: markRead in one window is messages_read in the other, with the reader's number", async (t) => {
    const chat = await newChat();
    const [customer, provider] = await windows(t, chat);
    customer.send("read me");
    await provider.shows("read me");
    provider.service.markRead(chat.id);
    const { userId, chatId } = await customer.service.browser.event("messages_read");
    assert.deepEqual([userId, chatId], [chat.provider.sub, chat.id]);
  });

  test("a dispute: an LSM joins though no member, everyone sees it, and their messages say lsm", async (t) => {
    const chat = await newChat();
    const [customer, provider] = await windows(t, chat);
    const lsm = await openChat(t, server, chat.id, { sub: 7, role: "lsm" });
    for (const page of [customer, provider]) assert.deepEqual(await page.service.browser.event("user_joined", ({ userId }) => userId === 7), { userId: 7, chatId: chat.id });
    lsm.send("I am here to help");
    await customer.shows("I am here to help");
    assert.deepEqual([customer.messages[0].sender_type, customer.messages[0].sender_id], ["lsm", 7]);
  });

  test("who is in another chat cannot join, send or read: the guide's `error` event, with a message", async (t) => {
    const [chat, other] = [await newChat(), await newChat()];
    const page = await openChat(t, server, chat.id, chat.customer);
    const stranger = new SocketService(t, server);
    stranger.connect(token(other.customer));
    stranger.joinChat(chat.id);
    stranger.sendMessage(chat.id, "let me in");
    await eventually("two errors", () => stranger.logged("error").length === 2);
    assert.deepEqual(stranger.logged("error").map(({ message, code }) => [typeof message, code]), [["string", "forbidden"], ["string", "not_in_room"]]);
    assert.equal((await call(server, "GET", `/chat/${chat.id}/messages`, { as: other.customer })).status, 403);
    page.send("still private");
    await page.shows("still private");
  });

  test("who is offline is notified: the provider logs in later, finds the notification, and opening the chat reads it", async (t) => {
    const chat = await newChat();
    const customer = await openChat(t, server, chat.id, chat.customer);
    customer.send("Are you coming?");
    const notification = await eventually("a notification", async () => (await call(server, "GET", "/api/notifications?unread=1", { as: chat.provider })).body.notifications[0]);
    const { type, severity, title, message, chatId, senderId, messageId } = notification;
    await customer.shows("Are you coming?");
    assert.deepEqual([type, severity, title, message, chatId, senderId, messageId], ["alert", "info", "New message", "Are you coming?", chat.id, chat.customer.sub, customer.messages[0].id]);
    const provider = await openChat(t, server, chat.id, chat.provider);
    assert.deepEqual(provider.texts(), ["Are you coming?"]);
    provider.service.markRead(chat.id);
    await eventually("it is read", async () => (await call(server, "GET", "/api/notifications?unread=1", { as: chat.provider })).body.unread === 0);
    customer.send("Hello?");
    await provider.shows("Are you coming?", "Hello?");
    assert.equal((await call(server, "GET", "/api/notifications?unread=1", { as: chat.provider })).body.unread, 0, "who is there is not notified");
  });

  test("while the socket is down the old polling of GET /chat/{id}/messages shows everything; when it is back nothing is missing or twice", async (t) => {
    const chat = await newChat();
    const [customer, provider] = await windows(t, chat);
    customer.send("before");
    await provider.shows("before");
    await cutWhile(provider.service.browser, async () => {
      customer.send("while you were away");
      const polled = await eventually("the poll has it", async () => {
        const { body } = await call(server, "GET", `/chat/${chat.id}/messages`, { as: chat.provider });
        return body.messages.length === 2 && body.messages;
      });
      assert.deepEqual(polled.map(({ message }) => message), ["before", "while you were away"]);
    });
    await provider.shows("before", "while you were away");
    provider.send("I am back");
    await customer.shows("before", "while you were away", "I am back");
    assert.deepEqual([customer.service.browser.all("user_left"), provider.service.logged("connected").length], [[], 1]);
  });

  test("a deploy, here kill -9, closes nobody's page: it reconnects with the guide's options and goes on", async (t) => {
    const options = { persist: persistDir(), port: await freePort(), vars: { ALLOWED_ORIGINS: FRONTEND_URL } };
    const first = await serve(t, options);
    const chat = await newChat(first);
    const [customer, provider] = [await openChat(t, first, chat.id, chat.customer), await openChat(t, first, chat.id, chat.provider)];
    customer.send("before");
    await provider.shows("before");
    const back = [customer, provider].map(({ service }) => service.browser.reconnected());
    await crash(first);
    await serve(t, options);
    await Promise.all(back);
    provider.send("after");
    for (const page of [customer, provider]) await page.shows("before", "after");
  });

  test("leaving the page leaves the chat; logging out disconnects, and the other side is told once the grace is over", async (t) => {
    const chat = await newChat();
    const [customer, provider] = await windows(t, chat);
    provider.service.leaveChat(chat.id);
    assert.deepEqual(await provider.service.browser.event("left_chat"), { chatId: chat.id });
    assert.deepEqual(await customer.service.browser.event("user_left"), { userId: chat.provider.sub, chatId: chat.id });
    customer.service.browser.heard.length = 0;
    provider.service.joinChat(chat.id);
    await customer.service.browser.event("user_joined");
    provider.service.disconnect();
    assert.equal(provider.service.isConnected(), false);
    assert.equal((await customer.service.browser.event("user_left", () => true, 15_000)).userId, chat.provider.sub);
    customer.send("anybody?");
    await customer.shows("anybody?");
    assert.deepEqual(provider.texts(), []);
  });
});
