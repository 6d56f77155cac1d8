// The guide tickets: its SocketProvider and its pages, rewritten in small with its own options, its tests (console, two windows,
// network tab), and its helper `socketio-server.ts`, each of whose functions is one `POST /api/emit` now.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { becomes, call, crash, cutWhile, emitted, eventually, freePort, persistDir, serve, SocketIo, token } from "./harness.mjs";

/** Two lobbies. Tickets are open to everyone who is logged in, as in the guide. */
const VARS = { OPEN_KINDS: "ticket", LOBBIES: 2 };

let server;
const ends = [];
let count = 0;

const newTicket = () => `t-${++count}`;
const newUser = (name) => `${name}-${++count}`;

// ── The guide's API routes ───────────────────────────────────────────────────────────────────────

const api = (to) => ({
  create: (ticket) => emitted(to, { event: "ticket:created", data: ticket }),
  update: (ticket) => emitted(to, { rooms: ["*", `ticket:${ticket.id}`], event: "ticket:updated", data: ticket }),
  comment: (ticketId, comment) => emitted(to, { room: `ticket:${ticketId}`, event: "comment:added", data: comment }),
  attach: (ticketId, attachment) => emitted(to, { room: `ticket:${ticketId}`, event: "attachment:added", data: attachment }),
});

// ── The guide's client ───────────────────────────────────────────────────────────────────────────

/** The SocketProvider: one a window. `forceNew`, because several windows are one process here. */
function provider(t, { url }, claims, options) {
  const socket = io(url, {
    path: "/socket.io/",
    transports: ["websocket", "polling"],
    reconnection: true,
    reconnectionAttempts: 5,
    reconnectionDelay: 1000,
    auth: { token: token(claims) },
    forceNew: true,
    ...options,
  });
  t.after(() => socket.disconnect());
  return socket;
}

/** A window on the list, or on a ticket's page, which joins its room each time it is connected. */
async function open(t, to, { ticket, claims = { sub: newUser("ann") }, ...options } = {}) {
  const socket = provider(t, to, claims, options);
  const page = { socket, browser: new SocketIo(socket), created: [], updated: [], comments: [], attachments: [] };
  socket.on("connect", () => ticket && socket.emit("join", `ticket:${ticket}`));
  socket.on("ticket:created", (data) => page.created.push(data));
  socket.on("ticket:updated", (data) => page.updated.push(data));
  socket.on("comment:added", (data) => page.comments.push(data));
  socket.on("attachment:added", (data) => page.attachments.push(data));
  page.of = (id) => page.updated.filter((data) => data.id === id).map(({ status }) => status);
  page.texts = () => page.comments.map(({ text }) => text);
  await page.browser.event(ticket ? "presence_state" : "connected");
  return page;
}

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: VARS });
});
after(() => Promise.all(ends.map((end) => end())));

describe("the guide tickets", { concurrency: 6, timeout: 60_000 }, () => {
  test("console and network tab: it is connected, with an id, over a WebSocket at /socket.io/?EIO=4&transport=websocket", async (t) => {
    const { socket } = await open(t, server);
    assert.match(socket.id, /^\S{8,}$/);
    const url = new URL(socket.io.engine.transport.ws.url);
    assert.deepEqual([url.pathname, url.searchParams.get("EIO"), url.searchParams.get("transport")], ["/socket.io/", "4", "websocket"]);
    await assert.rejects(new SocketIo(provider(t, server, {}, { auth: {}, reconnection: false })).connected(), "nobody is let in without a login");
  });

  test("two windows: a comment and a file appear in both without a refresh, in order, and in no other ticket's", async (t) => {
    const [ticket, other] = [newTicket(), newTicket()];
    const [one, two, elsewhere] = [await open(t, server, { ticket }), await open(t, server, { ticket }), await open(t, server, { ticket: other })];
    for (const text of ["first", "second"]) await api(server).comment(ticket, { id: newTicket(), text, author: { name: "Ann" } });
    await api(server).attach(ticket, { id: "a-1", filename: "log.txt", size: 5 });
    for (const page of [one, two]) {
      await becomes(() => page.attachments, [{ id: "a-1", filename: "log.txt", size: 5 }]);
      assert.deepEqual(page.texts(), ["first", "second"]);
    }
    await api(server).comment(other, { text: "other" });
    await becomes(elsewhere.texts, ["other"]);
    assert.deepEqual(elsewhere.attachments, []);
  });

  test("a status change: everyone hears it exactly once, on the list and on the ticket's page alike", async (t) => {
    const ticket = newTicket();
    const list = await open(t, server);
    const pages = [await open(t, server, { ticket }), await open(t, server, { ticket, query: { room: `ticket:${ticket}` } })];
    for (const status of ["in_progress", "resolved", "closed"]) await api(server).update({ id: ticket, status, priority: "high", assignee: { id: 7 } });
    await emitted(server, { event: "fence", data: ticket });
    await emitted(server, { room: `ticket:${ticket}`, event: "fence", data: `in ${ticket}` });
    for (const page of [list, ...pages]) {
      await page.browser.event("fence", (data) => data === ticket);
      if (page !== list) await page.browser.event("fence", (data) => data === `in ${ticket}`);
      await becomes(() => page.of(ticket), ["in_progress", "resolved", "closed"]);
    }
  });

  test("a new ticket is on every screen, and a comment only on its ticket's", async (t) => {
    const ticket = newTicket();
    const [list, page] = [await open(t, server), await open(t, server, { ticket })];
    const created = { id: newTicket(), title: "Printer é💬", status: "open", comments: [] };
    await api(server).comment(ticket, { text: "only here" });
    await becomes(page.texts, ["only here"]);
    await api(server).create(created);
    for (const { created: heard } of [list, page]) await becomes(() => heard.filter(({ id }) => id === created.id), [created]);
    assert.deepEqual(list.comments, []);
  });

  test("who leaves the ticket's page hears its comments no more, but the ticket's changes still", async (t) => {
    const ticket = newTicket();
    const [page, other] = [await open(t, server, { ticket }), await open(t, server, { ticket })];
    await api(server).comment(ticket, { text: "one" });
    await becomes(page.texts, ["one"]);
    assert.equal((await page.browser.ask("leave", `ticket:${ticket}`)).ok, true);
    await api(server).comment(ticket, { text: "two" });
    await api(server).update({ id: ticket, status: "closed" });
    await becomes(other.texts, ["one", "two"]);
    await becomes(() => page.of(ticket), ["closed"]);
    assert.deepEqual(page.texts(), ["one"]);
  });

  test("a connection that drops: the guide's options bring it back, nothing is missing and nothing is twice", async (t) => {
    const ticket = newTicket();
    const page = await open(t, server, { ticket });
    await cutWhile(page.browser, async () => {
      await api(server).comment(ticket, { text: "missed" });
      await api(server).update({ id: ticket, status: "resolved" });
    });
    await api(server).comment(ticket, { text: "after" });
    await becomes(page.texts, ["missed", "after"]);
    await becomes(() => page.of(ticket), ["resolved"]);
  });

  test("pm2 restart, here kill -9: both windows come back by themselves and go on, and a refresh shows it all", async (t) => {
    const options = { persist: persistDir(), port: await freePort(), vars: VARS };
    const first = await serve(t, options);
    const [one, two] = [await open(t, first, { ticket: "7" }), await open(t, first, { ticket: "7" })];
    await api(first).comment("7", { text: "before" });
    await becomes(two.texts, ["before"]);
    const back = [one, two].map(({ browser }) => browser.reconnected());
    await api(first).update({ id: "7", status: "resolved" });
    await crash(first);
    const next = await serve(t, options);
    await Promise.all(back);
    await api(next).comment("7", { text: "after" });
    for (const page of [one, two]) {
      await becomes(page.texts, ["before", "after"]);
      await becomes(() => page.of("7"), ["resolved"]);
    }
    const { body } = await call(next, "GET", "/rooms/ticket:7/history", { as: { sub: "late" } });
    assert.deepEqual(body.messages.map(({ event }) => event), ["comment:added", "ticket:updated", "comment:added"]);
  });

  test("behind a proxy that forbids WebSocket it polls, and hears the same", async (t) => {
    const ticket = newTicket();
    const page = await open(t, server, { ticket, transports: ["polling"] });
    await api(server).comment(ticket, { text: "by polling" });
    await api(server).update({ id: ticket, status: "closed" });
    await becomes(page.texts, ["by polling"]);
    await becomes(() => page.of(ticket), ["closed"]);
    assert.equal(page.socket.io.engine.transport.name, "polling");
  });

  test("what the guide plans for the future: an admins' room, who is typing a comment, who looks at the ticket", async (t) => {
    const [ticket, ann] = [newTicket(), newUser("ann")];
    const admin = await open(t, server, { ticket, claims: { sub: newUser("root"), role: "admin" } });
    const page = await open(t, server, { ticket, claims: { sub: ann, name: "Ann" } });
    await admin.browser.event("presence_diff", ({ joins }) => joins.some(({ userId, name }) => userId === ann && name === "Ann"));
    page.socket.emit("typing", { room: `ticket:${ticket}`, isTyping: true });
    assert.deepEqual(await admin.browser.event("user_typing"), { userId: ann, room: `ticket:${ticket}`, isTyping: true });
    await admin.browser.event("user_typing", ({ isTyping }) => !isTyping);
    await emitted(server, { room: "admins:all", event: "toast", data: ticket });
    await admin.browser.event("toast", (data) => data === ticket);
    await eventually("the page has all of it", () => page.browser.all("presence_state").length === 1);
    assert.deepEqual(page.browser.all("toast"), []);
  });
});
