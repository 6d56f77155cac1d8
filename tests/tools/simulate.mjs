// For development alone: the page's simulate panel, and the server that does what it asks for: what a phone, Twilio and a
// backend would do. `npm start` runs it, with a stand-in for Twilio's API. It is on 127.0.0.1, for the page's own origin, and
// nothing of it is in public/, which is what is deployed: the panel is in a copy of that folder, .dev-public/.
//
// `POST /sms` {line, contact, body?, channel?, name?, media?, optOut?}   an inbound message, signed
// `GET /messages`, `POST /status` {sid, status, errorCode?}              what the stand-in was sent; what became of one
// `POST /automatic` {on}                                                 whether each is sent and delivered by itself
// `POST /emit`, `/job` {jobId, …}, `/notify` {userId, …}                 as a backend: the bodies of the HTTP API
// `POST /token` {sub, role?, name?, rooms?}                              to sign in with
// `POST /restart`                                                        the server ends and is started again
//
// An answer has the status of what the server answered, or what is wrong in `detail`.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { picture } from "./picture.mjs";
import { inboundFields } from "./sms.mjs";
import { sign } from "./token.mjs";
import { ROOT } from "./tools.mjs";
import { TwilioApi } from "./twilio-api.mjs";
import { writeIfNew } from "./vendor.mjs";

const { getExpectedTwilioSignature } = createRequire(import.meta.url)("twilio/lib/webhooks/webhooks");

const PANEL = join(dirname(fileURLToPath(import.meta.url)), "simulate");
const INBOUND = "/webhooks/twilio/inbound";
const MAX_BODY_BYTES = 1_000_000;
const MAX_MEDIA = 10;
const TOKEN_SECONDS = 12 * 3600;
/** What becomes of a message by itself, one after the other. */
const AUTOMATIC = ["sent", "delivered"];
const AUTOMATIC_INTERVAL_MS = 700;
const PORTS_TRIED = 100;
const SYNC_INTERVAL_MS = 400;

/** What is wrong with what the panel asked for: a status and a sentence. */
class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export class Simulator {
  #restarting;

  /**
   * Listens at `port`, or at the next one that is free; the stand-in at one after that. `page` is the address of the server whose page has the panel; `vars`
   * are its secrets; `restart` restarts it and resolves when it answers again.
   */
  static async start({ page, port = 0, vars, restart, automatic = false }) {
    const simulator = new Simulator();
    // The page may have been opened by either name.
    const origins = ["127.0.0.1", "localhost"].map((name) => Object.assign(new URL(page), { hostname: name }).origin);
    Object.assign(simulator, { page, vars, restart, automatic, origins });
    simulator.http = createServer((request, response) => simulator.#handle(request, response));
    simulator.port = await listen(simulator.http, port);
    simulator.url = `http://127.0.0.1:${simulator.port}`;
    simulator.twilio = new TwilioApi({ accountSid: vars.TWILIO_ACCOUNT_SID, authToken: vars.TWILIO_AUTH_TOKEN });
    simulator.twilio.onTaken = (message) => simulator.#deliver(message);
    // Not any free port: that might be the page's, which nobody listens at yet.
    simulator.twilio.url = `http://127.0.0.1:${await listen(simulator.twilio.http, simulator.port + 1)}`;
    return simulator;
  }

  close() {
    this.twilio.close();
    this.http.closeAllConnections();
    this.http.close();
  }

  #routes = {
    "POST /sms": (body) => this.#sms(body),
    "GET /messages": () => this.#messages(),
    "POST /status": (body) => this.#status(body),
    "POST /automatic": ({ on }) => ({ automatic: (this.automatic = on === true) }),
    "POST /emit": (body) => this.#backend("/api/emit", body),
    "POST /job": ({ jobId, ...job }) => this.#backend(`/api/jobs/${encodeURIComponent(needed({ jobId }))}`, job),
    "POST /notify": ({ userId, ...notification }) => this.#backend(`/api/users/${encodeURIComponent(needed({ userId }))}/notifications`, notification),
    "POST /token": (body) => ({ token: this.#token({ ...body, sub: needed({ sub: body.sub }) }) }),
    "POST /restart": async () => {
      await (this.#restarting ??= this.restart().finally(() => (this.#restarting = undefined)));
      return {};
    },
  };

  async #handle(request, response) {
    const { method, headers } = request;
    const cors = { vary: "Origin" };
    const answer = (status, body) => response.writeHead(status, { ...cors, "content-type": "application/json" }).end(JSON.stringify(body));
    try {
      // Any page that is open in this browser can reach this port, by its number or by a name of its own for 127.0.0.1.
      if (![`127.0.0.1:${this.port}`, `localhost:${this.port}`].includes(headers.host)) throw new Refusal(403, "this is not my name");
      if (headers.origin !== undefined && !this.origins.includes(headers.origin)) throw new Refusal(403, "only Dialtone's own page may ask");
      if (headers.origin) cors["access-control-allow-origin"] = headers.origin;
      if (method === "OPTIONS") {
        response.writeHead(204, { ...cors, "access-control-allow-headers": "content-type", "access-control-allow-methods": "GET, POST" }).end();
        return;
      }
      const route = this.#routes[`${method} ${new URL(request.url, this.url).pathname}`];
      if (!route) throw new Refusal(404, "there is no such route");
      answer(200, await route(method === "POST" ? await json(request) : undefined));
    } catch (error) {
      if (response.headersSent) response.destroy();
      else if (error instanceof Refusal) answer(error.status, { detail: error.message });
      else answer(500, { detail: error.message });
    }
  }

  async #sms({ line, contact, body = "", channel = "sms", name = "A customer", media = 0, optOut }) {
    const urls = Array.isArray(media) ? media : Array.from({ length: Math.min(Number(media), MAX_MEDIA) }, () => this.#picture());
    const sid = `${urls.length ? "MM" : "SM"}${randomBytes(16).toString("hex")}`;
    const address = { from: needed({ contact }), to: needed({ line }) };
    const fields = inboundFields({ accountSid: this.twilio.accountSid, ...address, body, whatsapp: channel === "whatsapp", name, media: urls, sid });
    if (!Array.isArray(media)) urls.forEach((_, at) => (fields[`MediaContentType${at}`] = "image/png"));
    if (optOut) Object.assign(fields, { OptOutType: optOut, Body: body || optOut });
    const signed = (this.vars.PUBLIC_BASE_URL ?? this.page).replace(/\/+$/, "") + INBOUND;
    const headers = { "x-twilio-signature": getExpectedTwilioSignature(this.vars.TWILIO_AUTH_TOKEN ?? "", signed, fields) };
    await this.#ask(INBOUND, { headers, body: new URLSearchParams(fields) });
    return { sid, room: `sms:${fields.To}:${fields.From}` };
  }

  /** A picture at the stand-in; gives its URL there. */
  #picture() {
    return this.twilio.addMedia({ headers: { "content-type": "image/png" }, bytes: picture() });
  }

  /** Newest first. */
  #messages() {
    const messages = this.twilio.messages.map(({ sid, from, to, body, media = [], at, resource }) => ({ sid, from, to, body, media, at, status: resource.status, errorCode: resource.error_code }));
    return { automatic: this.automatic, messages: messages.reverse() };
  }

  async #status({ sid, status, errorCode }) {
    if (!/^[a-z]+$/.test(status ?? "")) throw new Refusal(400, "`status` is one of Twilio's, such as delivered");
    const message = this.twilio.messages.find((one) => one.sid === sid);
    if (!message) throw new Refusal(404, `the stand-in was sent no message ${sid}`);
    const answered = await this.#advance(message, status, errorCode);
    if (answered >= 400) throw new Refusal(answered, `the server answered the status callback with ${answered}`);
    return { sid, status };
  }

  async #advance(message, status, errorCode) {
    Object.assign(message.resource, { status, error_code: errorCode === undefined ? null : Number(errorCode), date_updated: new Date().toUTCString().replace("GMT", "+0000") });
    if (!message.callback) throw new Refusal(409, "the message names no status callback");
    // Nobody but Twilio can be expected to reach PUBLIC_BASE_URL.
    return this.twilio.callback(message, status, { errorCode, via: this.vars.PUBLIC_BASE_URL && this.page }).catch((error) => {
      throw new Refusal(502, `the server does not answer (${error.cause?.code ?? error.message})`);
    });
  }

  #deliver(message) {
    let before = message.resource.status;
    const step = async ([status, ...rest]) => {
      if (!this.automatic || message.resource.status !== before) return; // the panel's word counts
      before = status;
      await this.#advance(message, status).catch(() => {}); // the server is away; the panel can say it again
      if (rest.length > 0) setTimeout(step, AUTOMATIC_INTERVAL_MS, rest).unref();
    };
    setTimeout(step, AUTOMATIC_INTERVAL_MS, AUTOMATIC).unref();
  }

  #token(claims) {
    if (!this.vars.JWT_SECRET) throw new Refusal(503, "there is no JWT_SECRET to sign with");
    const now = Math.floor(Date.now() / 1000);
    return sign({ iat: now, exp: now + TOKEN_SECONDS, ...claims }, this.vars.JWT_SECRET);
  }

  #backend(path, body) {
    const headers = { authorization: `Bearer ${this.#token({ sub: "simulate", role: "service" })}`, "content-type": "application/json" };
    return this.#ask(path, { headers, body: JSON.stringify(body) });
  }

  /** Gives what the server answers, as JSON where it is; what it refuses is refused in its words. */
  async #ask(path, init) {
    const response = await fetch(this.page + path, { method: "POST", ...init }).catch((error) => {
      throw new Refusal(502, `the server does not answer (${error.cause?.code ?? error.message})`);
    });
    const text = await response.text();
    const body = /json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : {};
    if (!response.ok) throw new Refusal(response.status, body.detail ?? text.slice(0, 300));
    return body;
  }
}

function needed(field) {
  const [[name, value]] = Object.entries(field);
  if (value === undefined || value === "") throw new Refusal(400, `\`${name}\` is needed`);
  return value;
}

/** JSON alone: a browser asks before it sends that to another origin, and sends a form without asking. */
async function json(request) {
  if (!request.headers["content-type"]?.startsWith("application/json")) throw new Refusal(415, "the body is JSON");
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw new Refusal(413, "the body is too large");
  }
  let body;
  try {
    body = JSON.parse(text || "{}");
  } catch {
    // Said below.
  }
  if (typeof body !== "object" || body === null) throw new Refusal(400, "the body is a JSON object");
  return body;
}

/** Listens at the port or, where it is taken, at the next that is not; gives it. */
async function listen(http, port) {
  for (let tried = 1; ; tried++) {
    const listening = once(http, "listening");
    http.listen(port, "127.0.0.1");
    const error = await listening.then(() => undefined, (error) => error);
    if (!error) return http.address().port;
    if (error.code !== "EADDRINUSE" || tried === PORTS_TRIED) throw error;
    port++;
  }
}

// ── The page with the panel ──────────────────────────────────────────────────────────────────────

/** Makes `to` what `from` is, with the panel, which asks the simulator at `server`; keeps it so until `close()`. */
export function devPublic({ from = join(ROOT, "public"), to, server }) {
  let seen;
  const sync = () => {
    // Looked at, not watched: recursive watching misses files on some systems, and these are few.
    const files = [...filesUnder(from), ...filesUnder(PANEL)];
    const now = JSON.stringify(files.map(({ file, stat }) => [file, stat.mtimeMs, stat.size]));
    if (now === seen) return;
    for (const { file, path } of files) writeIfNew(join(to, path), withPanel(path, readFileSync(file), server));
    const known = new Set(files.map(({ path }) => path));
    for (const { file, path } of filesUnder(to)) if (!known.has(path)) rmSync(file);
    seen = now;
  };
  sync();
  const timer = setInterval(() => {
    try {
      sync();
    } catch (error) {
      if (error.code !== "ENOENT") console.error(`simulate: ${error.message}`); // else it is being replaced: next time
    }
  }, SYNC_INTERVAL_MS);
  timer.unref();
  return { close: () => clearInterval(timer) };
}

function filesUnder(dir, under = "") {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const [file, path] = [join(dir, entry.name), under + entry.name];
    return entry.isDirectory() ? filesUnder(file, `${path}/`) : [{ file, path, stat: statSync(file) }];
  });
}

/** A file of the page as the copy has it: the panel's script comes before the page's own, and may ask the simulator. */
function withPanel(path, content, server) {
  if (path !== "index.html" && path !== "_headers") return content;
  const text = content.toString().replaceAll("connect-src ", `connect-src ${server} `);
  if (path === "_headers") return text;
  const panel = `<link rel="stylesheet" href="/simulate.css">\n  <script type="module" src="/simulate.js" data-server="${server}"></script>\n  `;
  const at = text.search(/<script\b|<\/head>/);
  return text.slice(0, at) + panel + text.slice(at);
}
