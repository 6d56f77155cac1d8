// What every end-to-end test needs: the shipped artefact on real workerd, tokens, sockets that remember their frames.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";
import { io as connect48 } from "socket.io-client";
import { io as connect44 } from "socket.io-client-4-4";
import WebSocket from "ws";
import { devPublic, Simulator } from "../tools/simulate.mjs";
import { node22, ROOT } from "../tools/tools.mjs";
import { TwilioApi } from "../tools/twilio-api.mjs";

const { getExpectedTwilioSignature } = createRequire(import.meta.url)("twilio/lib/webhooks/webhooks");

export const JWT_SECRET = "an-end-to-end-test-secret-of-more-than-32-bytes";
export const ACCOUNT_SID = `AC${"0123456789abcdef".repeat(2)}`;
export const AUTH_TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";

/**
 * A port that is free now, and below those that systems give to connections: while a server is down, whoever connects to one of
 * those may be given that very port, and so be connected to itself, and the server cannot have it again.
 */
export async function freePort() {
  for (;;) {
    const server = createServer().listen(randomInt(20_000, 32_000), "127.0.0.1");
    const isFree = await once(server, "listening").then(() => true, () => false);
    if (!isFree) continue;
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
  }
}

const folders = [];
process.on("exit", () => folders.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

/** A folder for `--persist`, deleted when this process ends: after a test its servers, which end later, may still write there. */
export function persistDir() {
  folders.push(mkdtempSync(path.join(tmpdir(), "dialtone-e2e-")));
  return folders.at(-1);
}

/**
 * `npm run serve` with these vars (those of `DEFAULTS` unless overridden; `undefined` leaves one out), or
 * `npm run serve:conformance`, which builds first. `publicDir` is served in place of public/, `buildDir` in place of build/; `analytics`,
 * `host:port`, gets data points; `through` is a command that runs it, as its last arguments. Stopped when `t` is over. `server.kill9()`
 * kills it as a crash would; `server.logs` is what it logged.
 */
export async function serve(t, { vars = {}, varsFile, persist, port, publicDir, buildDir, analytics, conformance = false, through = [] } = {}) {
  port ??= await freePort();
  const all = conformance ? vars : { JWT_SECRET, TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN, ...vars };
  const tool = conformance ? "serve-conformance.mjs" : "serve.mjs";
  const args = [path.join(ROOT, "tests/tools", tool), "--port", String(port)];
  if (persist) args.push("--persist", persist);
  if (publicDir) args.push("--public", publicDir);
  if (buildDir) args.push("--build", buildDir);
  if (analytics) args.push("--analytics", analytics);
  if (varsFile) args.push("--vars-file", varsFile);
  for (const [name, value] of Object.entries(all)) if (value !== undefined) args.push("--var", `${name}=${value}`);
  const [command, ...rest] = [...through, node22(), ...args];
  const child = spawn(command, rest, { stdio: ["ignore", "pipe", "pipe"] });
  const logs = [];
  child.stderr.setEncoding("utf8").on("data", (text) => logs.push(text));
  const ended = once(child, "exit");
  const ready = once(createInterface(child.stdout), "line").then(([line]) => line);
  const line = await Promise.race([ready, ended.then(() => `exited: ${logs.join("")}`)]);
  if (!line.startsWith("listening on ")) throw new Error(`serve did not start: ${line}`);
  const end = async (signal) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  t.after(() => end("SIGTERM"));
  const server = { port, url: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}`, logs, child };
  server.stop = () => end("SIGTERM");
  server.kill9 = async () => {
    await end("SIGKILL");
    while (await listens(port)) await sleep(20);
  };
  return server;
}

/** Whether somebody listens on the port. */
const listens = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => (socket.destroy(), resolve(true))).on("error", () => resolve(false));
  });

/** A token signed with HS256; `claims` win over the defaults. */
export function token(claims, { secret = JWT_SECRET, header = {} } = {}) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const signed = `${part({ alg: "HS256", typ: "JWT", ...header })}.${part({ exp: now + 600, ...claims })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

export const bearer = (claims, options) => ({ authorization: `Bearer ${token(claims, options)}` });
export const ADMIN = { sub: "root", role: "admin" };
export const SERVICE = { sub: "backend", role: "service" };

/** A body that is refused before all of it is there ends the connection; whether `fetch` sees the answer first is chance. */
async function sent(url, init, tries = 5) {
  try {
    return await fetch(url, init);
  } catch (error) {
    const mayBe = init.body?.length > 1_000_000 && ["EPIPE", "ECONNRESET"].includes(error.cause?.code);
    if (!mayBe || tries === 1) throw error;
    return sent(url, init, tries - 1);
  }
}

/** A request with a token; gives `{status, headers, body}`, the body parsed where it is JSON. */
export async function call(server, method, route, { as, body, headers = {} } = {}) {
  const init = { method, headers: { ...(as ? bearer(as) : {}), ...headers } };
  if (body !== undefined) {
    init.body = typeof body === "string" ? body : JSON.stringify(body);
    init.headers["content-type"] ??= "application/json";
  }
  const response = await sent(server.url + route, init);
  const text = await response.text();
  const json = /json/.test(response.headers.get("content-type") ?? "");
  return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
}

/** A refusal over HTTP: a problem of RFC 9457 with this status and code, whose `detail` names `field` (a pattern). */
export function refused({ status, headers, body }, expected, code, field, what = "") {
  assert.deepEqual([status, body.code, body.status], [expected, code, expected], `${what} ${JSON.stringify(body).slice(0, 500)}`);
  assert.equal(headers.get("content-type"), "application/problem+json", what);
  if (field) assert.match(body.detail, naming(field), what);
}

/** Text that names a field in backticks, with its path or an index where it has one: `` `data.progress` ``. */
export const naming = (field) => new RegExp(`\`([\\w.]+\\.)?${field}(\\[\\d+\\])?\``);

/** `POST /api/emit`, as a backend. */
export const emit = (server, body, options) => call(server, "POST", "/api/emit", { as: SERVICE, body, ...options });

/** The same, and it is taken: gives the results. */
export async function emitted(server, body) {
  const answer = await emit(server, body);
  assert.equal(answer.status, 200, `${JSON.stringify(body).slice(0, 300)}: ${JSON.stringify(answer.body)}`);
  return answer.body.results;
}

/** A WebSocket that remembers its frames, each parsed (`batch` splits lines), and waits for some. */
export class Client {
  frames = [];
  #waiting = new Set();

  constructor(url, { protocols = [], headers = {} } = {}) {
    this.socket = new WebSocket(url, protocols, { headers });
    this.closed = new Promise((resolve) => this.socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() })));
    this.socket.on("error", () => {});
    this.socket.on("message", (data, binary) => {
      for (const line of binary ? [data] : data.toString().split("\n")) {
        this.frames.push(!binary && line.startsWith("{") ? JSON.parse(line) : line.toString());
      }
      for (const check of this.#waiting) check();
    });
  }

  /** Opened, or the HTTP status and body with which it was refused; or why there was no answer. */
  opened() {
    return new Promise((resolve, reject) => {
      this.socket.on("open", () => resolve(this));
      this.socket.on("error", reject);
      this.socket.on("unexpected-response", async (_, response) => {
        let text = "";
        for await (const chunk of response) text += chunk;
        const error = new Error(`refused with ${response.statusCode}: ${text}`);
        reject(Object.assign(error, { status: response.statusCode, body: text.startsWith("{") ? JSON.parse(text) : text }));
      });
    });
  }

  send(frame) {
    this.socket.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  /** The first frame, past or to come, for which `wanted` is true. */
  async frame(wanted, ms = 5000) {
    let timer;
    const found = new Promise((resolve, reject) => {
      const check = () => {
        const frame = this.frames.find(wanted);
        if (frame === undefined) return;
        this.#waiting.delete(check);
        resolve(frame);
      };
      this.#waiting.add(check);
      timer = setTimeout(() => reject(new Error(`no such frame (${wanted}) among ${JSON.stringify(this.frames)}`)), ms);
      check();
    });
    return found.finally(() => clearTimeout(timer));
  }

  event(name, ms) {
    return this.frame((frame) => frame.event === name, ms);
  }

  /** Sends an event with an id and gives its ack. */
  async ask(event, data, id = randomBytes(6).toString("hex")) {
    this.send({ event, data, id });
    return this.frame((frame) => frame.ack === id);
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    return this.closed;
  }
}

/** Joins a room as the holder of `claims`; open, and past its `presence_state`. Closed when `t` is over. */
export async function join(t, server, room, claims, { query = {}, ...options } = {}) {
  const search = new URLSearchParams({ token: token(claims), ...query });
  const client = new Client(`${server.ws}/rooms/${encodeURIComponent(room)}?${search}`, options);
  t.after(() => client.socket.terminate());
  await client.opened();
  await client.event("presence_state");
  return client;
}

// ── Socket.IO ────────────────────────────────────────────────────────────────────────────────────

/** Stock clients: today's, and one from before `emitWithAck`, `retries` and connection state recovery. */
export const STOCK_CLIENTS = { 4.8: connect48, 4.4: connect44 };

/** A socket of a stock socket.io-client that remembers what it heard, and waits for some. */
export class SocketIo {
  /** `{event, args}`, in order. With recovery the client leaves the offset among the arguments, as the last. */
  heard = [];
  #waiting = new Set();

  constructor(socket) {
    this.socket = socket;
    socket.onAny((event, ...args) => {
      this.heard.push({ event, args });
      for (const check of this.#waiting) check();
    });
  }

  /** Connected, or the client's own error, with `data` as the server sent it. */
  connected() {
    if (this.socket.connected) return Promise.resolve(this);
    return new Promise((resolve, reject) => {
      this.socket.once("connect", () => resolve(this));
      this.socket.once("connect_error", reject);
    });
  }

  /** The next `disconnect`'s reason. */
  disconnected() {
    return new Promise((resolve) => this.socket.once("disconnect", resolve));
  }

  /** The next disconnect, and the connection after it, however many tries it takes. */
  async reconnected() {
    await this.disconnected();
    if (!this.socket.connected) await new Promise((resolve) => this.socket.once("connect", resolve));
  }

  /** Sends an event and gives its ack. */
  ask(event, ...args) {
    return new Promise((resolve, reject) => {
      const settle = (error, answer) => (error ? reject(new Error(`no ack of ${event} ${JSON.stringify(args)}`)) : resolve(answer));
      this.socket.timeout(20_000).emit(event, ...args, settle);
    });
  }

  /** The first argument of the first such event, past or to come, for which `wanted` is true. */
  async event(name, wanted = () => true, ms = 10_000) {
    let timer;
    const found = new Promise((resolve, reject) => {
      const check = () => {
        const one = this.heard.find(({ event, args }) => event === name && wanted(args[0], args));
        if (one === undefined) return;
        this.#waiting.delete(check);
        resolve(one.args[0]);
      };
      this.#waiting.add(check);
      timer = setTimeout(() => reject(new Error(`no such ${name} (${wanted}) among ${JSON.stringify(this.heard)}`)), ms);
      check();
    });
    return found.finally(() => clearTimeout(timer));
  }

  /** The first argument of every such event so far. */
  all(name) {
    return this.heard.filter(({ event }) => event === name).map(({ args }) => args[0]);
  }

  /** Another namespace over the same connection, connected. */
  namespace(name, options) {
    return new SocketIo(this.socket.io.socket(name, { auth: this.socket.auth, ...options })).connected();
  }

  /** The lobby or room that holds the connection: what its Engine.IO session id begins with. */
  get home() {
    const { id } = this.socket.io.engine;
    return id.slice(0, id.lastIndexOf("."));
  }

  /** Ends the TCP connection with no word to either side, as a dead network does. WebSocket only. */
  cut() {
    this.socket.io.engine?.transport?.ws?.terminate();
  }

  close() {
    this.socket.io.reconnection(false);
    this.socket.io.engine?.close();
    this.socket.disconnect();
  }
}

/**
 * A stock client as the holder of `claims` (no token where they are undefined), not awaited. It does not reconnect
 * unless told to. `version` is one of `STOCK_CLIENTS`; other options go to it. Closed when `t` is over.
 */
export function io(t, server, claims, { namespace = "/", version = "4.8", transports = ["websocket"], ...options } = {}) {
  const auth = claims && { token: typeof claims === "string" ? claims : token(claims) };
  const socket = STOCK_CLIENTS[version](server.url + namespace, { auth, transports, forceNew: true, reconnection: false, ...options });
  const client = new SocketIo(socket);
  t.after(() => client.close());
  return client;
}

/** `io`, connected, upgraded where there is an upgrade to come. */
export async function ioConnected(t, server, claims, options) {
  const client = await io(t, server, claims, options).connected();
  const { engine } = client.socket.io;
  const [first, ...rest] = options?.transports ?? ["websocket"];
  if (first === "polling" && rest.length > 0) await eventually("the upgrade", () => engine.transport.name === "websocket");
  return client;
}

/** Such a client in a room of `/`, past its `presence_state`. */
export async function enter(t, server, room, claims, options) {
  const client = await ioConnected(t, server, claims, options);
  const ack = await client.ask("join", { room });
  assert.equal(ack.ok, true, JSON.stringify(ack));
  await client.event("presence_state", (data) => data.room === room);
  return client;
}

const SUBSCRIBE = { "/jobs": "subscribe-job", "/notifications": "subscribe-user", "/analytics": "subscribe-brand" };

/** Such a client in one of these namespaces, subscribed to a job, a user or a brand. */
export async function subscribe(t, server, namespace, id, claims, options) {
  const client = await ioConnected(t, server, claims, { ...options, namespace });
  const ack = await client.ask(SUBSCRIBE[namespace], id);
  assert.equal(ack.ok, true, `${namespace} ${id}: ${JSON.stringify(ack)}`);
  await client.event("subscribed");
  return client;
}

/** One such client on each of so many lobbies. */
export async function onEachLobby(t, server, lobbies, claims, options) {
  const clients = new Map();
  for (let tries = 0; clients.size < lobbies; tries++) {
    assert.ok(tries < 40 * lobbies, `only on ${[...clients.keys()]}`);
    const client = await ioConnected(t, server, claims, options);
    if (clients.has(client.home)) client.close();
    else clients.set(client.home, client);
  }
  return [...clients.values()];
}

/** Cuts a client, and does something before it is back. WebSocket only. */
export async function cutWhile(client, meanwhile) {
  client.socket.io.reconnection(false);
  const gone = client.disconnected();
  client.cut();
  await gone;
  await meanwhile();
  client.socket.io.reconnection(true);
  const back = client.connected();
  client.socket.connect();
  await back;
}

/** What Engine.IO's polling transport does, by hand: `{sid, …}`, and requests that say what came back. */
export async function handshake(server, query = {}, headers = {}) {
  const { status, text } = await engine(server, "GET", query, { headers });
  if (status !== 200) throw new Error(`handshake: ${status} ${text}`);
  return JSON.parse(text.slice(1));
}

/** One request to `/socket.io/`: `{status, headers, text}`. `query` wins over EIO=4, polling; `undefined` leaves one out. */
export async function engine(server, method, query = {}, { headers = {}, body, signal } = {}) {
  const response = await fetch(`${server.url}/socket.io/?${engineQuery("polling", query)}`, { method, headers, body, signal });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** A bare WebSocket on `/socket.io/`: a `Client` whose frames are packets as text. */
export function engineSocket(t, server, query = {}, options = {}) {
  const client = new Client(`${server.ws}/socket.io/?${engineQuery("websocket", query)}`, options);
  t.after(() => client.socket.terminate());
  return client;
}

/** A bare WebSocket (`on`, or a new one) that has connected to a namespace: `client.connect` is the CONNECT reply's payload. */
export async function rawConnect(t, server, claims, { namespace = "", query, headers, pid, offset, extra, on } = {}) {
  const client = on ?? engineSocket(t, server, query, { headers });
  if (!on) await client.opened();
  const prefix = namespace && `${namespace},`;
  client.send(`40${prefix}${JSON.stringify({ token: token(claims), pid, offset, ...extra })}`);
  const reply = await client.frame((frame) => frame.startsWith(`40${prefix}`) || frame.startsWith(`44${prefix}`));
  client.connect = JSON.parse(reply.slice(2 + prefix.length));
  /** The events so far, as `[name, ...args]`. */
  client.events = () => client.frames.filter((frame) => frame.startsWith(`42${prefix}[`)).map((frame) => JSON.parse(frame.slice(2 + prefix.length)));
  const waiting = new Map();
  client.socket.on("message", (data, binary) => {
    const [, id, json] = (!binary && data.toString().match(`^43${prefix}(\\d+)(.*)$`)) || [];
    waiting.get(id)?.(JSON.parse(json)[0]);
    waiting.delete(id);
  });
  let acks = 0;
  /** Sends an event and gives its ack. */
  client.askRaw = (...args) =>
    new Promise((resolve, reject) => {
      const id = String(++acks);
      waiting.set(id, resolve);
      client.send(`42${prefix}${id}${JSON.stringify(args)}`);
      client.closed.then(() => reject(new Error(`closed before the ack of ${JSON.stringify(args)}`)));
      setTimeout(() => waiting.has(id) && reject(new Error(`no ack of ${JSON.stringify(args)}`)), 20_000).unref();
    });
  return client;
}

function engineQuery(transport, query) {
  const all = { EIO: "4", transport, ...query };
  return new URLSearchParams(Object.entries(all).filter(([, value]) => value !== undefined));
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ── Twilio, history ──────────────────────────────────────────────────────────────────────────────

export const INBOUND = "/webhooks/twilio/inbound";
export const LINE = "+15550100002";
export const CONTACT = "+15550100001";
export const messageSid = () => `SM${randomBytes(16).toString("hex")}`;

/**
 * An inbound message as Twilio posts it, signed by npm `twilio`; `fields` win over the defaults, `undefined` leaves one
 * out. Options as `webhook`'s, and `path`.
 */
export function inbound(server, fields = {}, { path: route = INBOUND, ...options } = {}) {
  return webhook(server, route, { AccountSid: ACCOUNT_SID, MessageSid: messageSid(), From: CONTACT, To: LINE, Body: "hello", NumMedia: "0", ...fields }, options);
}

/**
 * A webhook of Twilio's with these form fields (`undefined` leaves one out), signed by npm `twilio`. `base` is the origin
 * that is signed, `signed` the URL, `tamper` changes `{body, headers}` after signing.
 */
export async function webhook(server, route, fields, { authToken = AUTH_TOKEN, base = server.url, signed = base + route, tamper } = {}) {
  const params = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const headers = {
    "content-type": "application/x-www-form-urlencoded",
    "x-twilio-signature": getExpectedTwilioSignature(authToken, signed, params),
  };
  const request = { body: new URLSearchParams(params).toString(), headers };
  tamper?.(request);
  return { ...(await call(server, "POST", route, request)), params, signature: headers["x-twilio-signature"] };
}

/** The whole history of a room, as an admin reads it: `{epoch, offset, messages}`. */
export async function history(server, room) {
  const route = `/rooms/${encodeURIComponent(room)}/history`;
  const messages = [];
  for (;;) {
    const { status, body } = await call(server, "GET", `${route}?limit=200&after=${messages.at(-1)?.offset ?? 0}`, { as: ADMIN });
    if (status !== 200) throw new Error(`${room}: ${status} ${JSON.stringify(body)}`);
    messages.push(...body.messages);
    if (body.messages.length === 0) return { ...body, messages };
  }
}

/** The data of a room's `new_message`s, oldest first. */
export const received = async (server, room) => (await history(server, room)).messages.filter(({ event }) => event === "new_message").map(({ data }) => data);

// ── Phone lines ──────────────────────────────────────────────────────────────────────────────────

let numbers = 0;
/** A phone number that no other test of the file has. */
export const newNumber = () => `+1555${1_000_000 + ++numbers}`;

/** A stand-in for Twilio's REST API, and a server that uses it. Both end when `t` is over. */
export async function serveWithTwilio(t, { vars, ...options } = {}) {
  const api = await TwilioApi.start({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN });
  t.after(() => api.close());
  const server = await serve(t, { vars: { TWILIO_API_BASE: api.url, ...vars }, ...options });
  return { api, server };
}

/**
 * A server as `npm start` has it in development: with a stand-in for Twilio and the simulator, and the simulate panel on its page.
 * `simulator.restart()` kills it and starts it again over the same storage. All end when `t` is over.
 */
export async function serveSimulated(t, { vars, ...options } = {}) {
  const port = await freePort();
  const persist = persistDir();
  const publicDir = persistDir();
  let server;
  const restart = async () => {
    await server?.kill9();
    server = await serve(t, { vars: { TWILIO_API_BASE: simulator.twilio.url, OPEN_KINDS: "ticket,job,brand", ...vars }, persist, port, publicDir });
  };
  const secrets = { JWT_SECRET, TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN, ...vars };
  const simulator = await Simulator.start({ page: `http://127.0.0.1:${port}`, port: port + 1, vars: secrets, restart, ...options });
  t.after(() => simulator.close());
  const copy = devPublic({ to: publicDir, server: simulator.url });
  t.after(() => copy.close());
  await restart();
  return { server: { port, url: server.url, ws: server.ws, get logs() { return server.logs; } }, simulator, publicDir };
}

export const lineUrl = (line, rest = "") => `/api/lines/${encodeURIComponent(line)}${rest}`;
export const conversationUrl = (line, contact, rest = "") => `${lineUrl(line, "/conversations/")}${encodeURIComponent(contact)}${rest}`;

/** Makes these users a line's assignees. */
export async function assign(server, line, ...users) {
  for (const user of users) {
    const { status, body } = await call(server, "PUT", lineUrl(line, `/assignees/${user}`), { as: SERVICE });
    assert.equal(status, 200, JSON.stringify(body));
  }
}

/** A message to a contact. */
export const send = (server, line, contact, body, { as = ADMIN, ...options } = {}) => call(server, "POST", conversationUrl(line, contact, "/messages"), { as, body, ...options });

/** The same, and it is accepted: gives the answer's body. */
export async function accepted(server, line, contact, body, options) {
  const answer = await send(server, line, contact, body, options);
  assert.equal(answer.status, 202, `${JSON.stringify(body).slice(0, 300)}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** An inbound message to a line, and it is taken. */
export async function receive(server, line, contact, Body, fields) {
  const posted = await inbound(server, { To: line, From: contact, Body, ...fields });
  assert.equal(posted.status, 200, JSON.stringify(posted.body));
  return posted.params.MessageSid;
}

/** A line's conversations, of all pages, `limit` a page. */
export async function conversations(server, line, { as = ADMIN, limit = 200 } = {}) {
  const all = [];
  for (let cursor; ; ) {
    const query = new URLSearchParams({ limit, ...(cursor && { cursor }) });
    const { status, body } = await call(server, "GET", lineUrl(line, `/conversations?${query}`), { as });
    assert.equal(status, 200, JSON.stringify(body));
    all.push(...body.conversations);
    if (!(cursor = body.cursor)) return all;
  }
}

/** A conversation's messages, as `GET …/messages` shows them. */
export async function thread(server, line, contact, { as = ADMIN, query = "?limit=200" } = {}) {
  const { status, body } = await call(server, "GET", conversationUrl(line, contact, `/messages${query}`), { as });
  assert.equal(status, 200, JSON.stringify(body));
  return body.messages;
}

/** A message that was sent, as `GET …/messages` shows it now; with `wanted`, a status or a question, once it is that. */
export async function messageOf(server, line, contact, id, wanted = () => true, ms = 10_000) {
  const isWanted = typeof wanted === "function" ? wanted : ({ status }) => status === wanted;
  for (const end = Date.now() + ms; ; await sleep(50)) {
    const found = (await thread(server, line, contact)).find(({ data }) => data.id === id)?.data;
    if (found && isWanted(found)) return found;
    assert.ok(Date.now() < end, `not within ${ms} ms: ${id} is ${wanted}, but ${JSON.stringify(found)}`);
  }
}

/** The `message_status`es of a message that a room was told, oldest first. */
export const statusesOf = async (server, room, id) => (await history(server, room)).messages.filter(({ event, data }) => event === "message_status" && data.id === id).map(({ data }) => data);

/** The data of every such event so far, on a Socket.IO client or a plain WebSocket. */
export const heardOf = (client, event) => (client instanceof Client ? client.frames.filter((frame) => frame.event === event).map(({ data }) => data) : client.all(event));

let marks = 0;
/** What these rooms were told until now has come to the clients that are in them: `{room: [client…]}`. */
export async function caughtUp(server, clients) {
  for (const [room, there] of Object.entries(clients)) {
    const mark = `mark-${++marks}`;
    await emitted(server, { room, event: "mark", data: mark });
    for (const client of there) await (client instanceof Client ? client.frame(({ data }) => data === mark) : client.event("mark", (data) => data === mark));
  }
}

// ── Crashes ──────────────────────────────────────────────────────────────────────────────────────

/** The process id of the workerd under a server. */
export function workerdOf({ child: { pid } }) {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
  return children.find((child) => readFileSync(`/proc/${child}/comm`, "utf8").startsWith("workerd"));
}

/** Kills workerd itself, at once: `kill9` kills its parent, and the guard does the rest some milliseconds later. */
export async function crash(server) {
  if (process.platform !== "linux") return server.kill9();
  process.kill(workerdOf(server), "SIGKILL");
  return server.kill9();
}

/** Asks until the answer is not falsy, and gives it. */
export async function eventually(what, ask, ms = 10_000) {
  for (const end = Date.now() + ms; ; await sleep(50)) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
  }
}

/** Asks until the answer is `expected`, and says how it differs where it does not become that. */
export async function becomes(ask, expected, what) {
  await eventually(what, () => isDeepStrictEqual(ask(), expected)).catch(() => {});
  assert.deepEqual(ask(), expected, what);
}

/**
 * With which code and reason the server closed a socket. The end of the TCP connection is not waited for: workerd keeps
 * it until the object is idle (seen 2026-11-21, with raw JavaScript objects too), and `ws` waits for it.
 */
export async function closedByServer({ socket, closed }, ms) {
  await eventually("a close frame", () => socket.readyState >= WebSocket.CLOSING, ms);
  socket.terminate();
  return closed;
}
