// The guide sms-hub: its socketService and its Conversations page, rewritten in small with its own options, and its testing
// checklist. Twilio's webhook is Dialtone's, and what its server emits is one HTTP call.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { becomes, call, CONTACT, crash, cutWhile, emitted, eventually, freePort, inbound, persistDir, serve, SERVICE, SocketIo, token } from "./harness.mjs";

const WEBHOOK = "/api/webhooks/inbound-sms";

/** Two lobbies: the guide's "multiple Fly.io machines", without Redis. */
let server;
const ends = [];
let count = 0;

const newUser = (name) => `${name}-${++count}`;
const newLine = () => `+1555040${String(++count).padStart(4, "0")}`;

/** The guide's socketService, and the page around it: a toast, and lists that need no refresh. */
class ConversationsPage {
  toasts = [];
  messages = [];
  errors = [];

  constructor(t, { url }, claims, { transports = ["websocket", "polling"], ...options } = {}) {
    this.socket = io(url, {
      path: "/socket.io",
      auth: { token: token(claims) },
      transports,
      reconnection: true,
      reconnectionDelay: 1000,
      reconnectionDelayMax: 5000,
      reconnectionAttempts: Infinity,
      forceNew: true, // several browsers are one process here
      ...options,
    });
    this.browser = new SocketIo(this.socket);
    this.socket.on("connected", () => this.toasts.push("Real-time messaging connected"));
    this.socket.on("new_message", (message) => this.messages.push(message));
    this.socket.on("message_updated", (message) => this.messages.push(message));
    for (const event of ["connect_error", "error"]) this.socket.on(event, (error) => this.errors.push(error));
    t.after(() => this.close());
  }

  get connected() {
    return this.socket.connected;
  }

  /** After `ApiService.sendMessage`. */
  sent(message) {
    this.socket.emit("message_sent", message);
  }

  bodies = () => this.messages.map(({ body }) => body);

  close() {
    this.socket.disconnect();
  }
}

async function open(t, to, claims, options) {
  const page = new ConversationsPage(t, to, claims, options);
  await becomes(() => page.toasts, ["Real-time messaging connected"]);
  return page;
}

/** A phone line and the team member it is assigned to. */
async function newAgent(to = server) {
  const [line, sub] = [newLine(), newUser("agent")];
  assert.equal((await call(to, "PUT", `/api/lines/${encodeURIComponent(line)}/assignees/${sub}`, { as: SERVICE })).status, 200);
  return { line, sub };
}

async function receiveSms(to, line, Body) {
  const posted = await inbound(to, { To: line, Body }, { path: WEBHOOK });
  assert.deepEqual([posted.status, posted.body], [200, "<Response/>"]);
  return posted.params.MessageSid;
}

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { LOBBIES: 2 } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("the guide sms-hub", { concurrency: 6, timeout: 60_000 }, () => {
  test("open the Conversations page: the toast says connected, there are no errors, and the socket has an id", async (t) => {
    const page = await open(t, server, { sub: newUser("ann") });
    assert.deepEqual([page.connected, typeof page.socket.id, page.errors], [true, "string", []]);
    const stranger = new ConversationsPage(t, server, { sub: "eve", exp: 1 }, { reconnection: false });
    await eventually("connect_error", () => stranger.errors.length === 1);
    assert.deepEqual([stranger.errors[0].data.code, stranger.toasts], ["token_expired", []]);
  });

  test("send a message from another device: it appears instantly on all of the user's, and on nobody else's", async (t) => {
    const sub = newUser("ann");
    const [laptop, phone, other] = [await open(t, server, { sub }), await open(t, server, { sub }), await open(t, server, { sub: newUser("bob") })];
    phone.sent({ phoneNumberId: newLine(), to: CONTACT, body: "On my way", timestamp: "2026-01-05T10:00:00.000Z" });
    for (const page of [laptop, phone]) {
      await becomes(page.bodies, ["On my way"]);
      assert.deepEqual([page.messages[0].direction, page.messages[0].to], ["outbound", CONTACT]);
    }
    assert.deepEqual(other.messages, []);
  });

  test("receive an SMS from Twilio: it appears without a page refresh for who works that line, once in each window", async (t) => {
    const { line, sub } = await newAgent();
    const [one, two, other] = [await open(t, server, { sub }), await open(t, server, { sub }), await open(t, server, { sub: (await newAgent()).sub })];
    const messageSid = await receiveSms(server, line, "Is anybody there? 👍");
    for (const page of [one, two]) {
      await becomes(page.bodies, ["Is anybody there? 👍"]);
      const { phoneNumberId, from, direction, timestamp, messageSid: sid } = page.messages[0];
      assert.deepEqual([phoneNumberId, from, direction, sid, new Date(timestamp).toISOString()], [line, CONTACT, "inbound", messageSid, timestamp]);
    }
    assert.equal((await inbound(server, { To: line, MessageSid: messageSid, Body: "Is anybody there? 👍" }, { path: WEBHOOK })).status, 200, "Twilio tries again");
    await receiveSms(server, line, "last");
    for (const page of [one, two]) await becomes(page.bodies, ["Is anybody there? 👍", "last"]);
    assert.deepEqual(other.messages, []);
  });

  test("close and reopen the page: it reconnects, and its list, from the history, has what came meanwhile", async (t) => {
    const { line, sub } = await newAgent();
    const first = await open(t, server, { sub });
    await receiveSms(server, line, "one");
    await becomes(first.bodies, ["one"]);
    first.close();
    await receiveSms(server, line, "two");
    const second = await open(t, server, { sub });
    await receiveSms(server, line, "three");
    await becomes(second.bodies, ["three"]);
    const { body } = await call(server, "GET", `/rooms/${encodeURIComponent(`sms:${line}:${CONTACT}`)}/history`, { as: { sub } });
    assert.deepEqual(body.messages.map(({ event, data }) => [event, data.body]), ["one", "two", "three"].map((text) => ["new_message", text]));
  });

  test("lose the network: what came meanwhile is there when it is back, in order and once, and no second toast", async (t) => {
    const { line, sub } = await newAgent();
    const page = await open(t, server, { sub });
    await receiveSms(server, line, "before");
    await cutWhile(page.browser, async () => {
      for (const text of ["one", "two"]) await receiveSms(server, line, text);
    });
    await receiveSms(server, line, "after");
    await becomes(page.bodies, ["before", "one", "two", "after"]);
    assert.deepEqual(page.toasts, ["Real-time messaging connected"]);
  });

  test("a mobile network whose proxy forbids WebSocket: polling does all of it", async (t) => {
    const { line, sub } = await newAgent();
    const page = await open(t, server, { sub }, { transports: ["polling"] });
    await receiveSms(server, line, "by polling");
    await becomes(page.bodies, ["by polling"]);
    page.sent({ phoneNumberId: line, to: CONTACT, body: "answered", timestamp: "2026-01-05T10:00:00.000Z" });
    await becomes(page.bodies, ["by polling", "answered"]);
    assert.equal(page.socket.io.engine.transport.name, "polling");
  });

  test("fly deploy --force-machines, here kill -9: the page comes back by itself, and no SMS that was answered is lost", async (t) => {
    const options = { persist: persistDir(), port: await freePort() };
    const first = await serve(t, options);
    const { line, sub } = await newAgent(first);
    const page = await open(t, first, { sub });
    await receiveSms(first, line, "before");
    await becomes(page.bodies, ["before"]);
    const back = page.browser.reconnected();
    await receiveSms(first, line, "at the last moment");
    await crash(first);
    const next = await serve(t, options);
    await receiveSms(next, line, "after");
    await back;
    await becomes(page.bodies, ["before", "at the last moment", "after"]);
  });

  test("test real-time manually: what one emits as `test` comes back", async (t) => {
    const page = await open(t, server, { sub: newUser("ann") });
    page.socket.emit("test", { message: "hello" });
    assert.deepEqual(await page.browser.event("test"), { message: "hello" });
  });

  test("the server's io.to(`user:…`).emit is one POST /api/emit: it reaches that user's windows, by nobody's asking", async (t) => {
    const sub = newUser("ann");
    const [one, two, other] = [await open(t, server, { sub }), await open(t, server, { sub }), await open(t, server, { sub: newUser("bob"), rooms: ["*"] })];
    const message = { phoneNumberId: "line-1", from: CONTACT, body: "from our own webhook", direction: "inbound", timestamp: "2026-01-05T10:00:00.000Z" };
    await emitted(server, { room: `user:${sub}`, event: "new_message", data: message });
    for (const page of [one, two]) await becomes(() => page.messages, [message]);
    other.socket.emit("join", `user:${sub}`);
    await eventually("it is refused", () => other.errors.some(({ code }) => code === "forbidden"));
    assert.deepEqual(other.messages, []);
  });

  test("admin-only events go to admins alone: to one by admin:{id}, to all by admins:all", async (t) => {
    const sub = newUser("root");
    const [root, second, agent] = [await open(t, server, { sub, role: "admin" }), await open(t, server, { sub: newUser("root"), role: "admin" }), await open(t, server, { sub: newUser("ann") })];
    await emitted(server, [{ room: `admin:${sub}`, event: "alert", data: "one" }, { room: "admins:all", event: "alert", data: "all" }]);
    for (const page of [root, second]) await page.browser.event("alert", (data) => data === "all");
    await root.browser.event("alert", (data) => data === "one");
    await emitted(server, { event: "fence", data: sub });
    await agent.browser.event("fence", (data) => data === sub);
    assert.deepEqual([second.browser.all("alert"), agent.browser.all("alert")], [["all"], []]);
  });
});
