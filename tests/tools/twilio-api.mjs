// A stand-in for Twilio's REST API, for people and for tests: messages are taken, listed and kept in memory, status
// callbacks are signed, nothing is sent. Paths, parameters and answers are those of Twilio's OpenAPI document.
//
//   node tests/tools/twilio-api.mjs [--port 4010] [--statuses sent,delivered] [--every-ms 500]
//
// Dialtone uses it with TWILIO_API_BASE=http://127.0.0.1:4010. The account and its token are those of .dev.vars.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { Readable } from "node:stream";
import { parseArgs } from "node:util";
import { main, readDevVars } from "./tools.mjs";

const { getExpectedTwilioSignature } = createRequire(import.meta.url)("twilio/lib/webhooks/webhooks");

const VERSION = "2010-04-01";
const MAX_BODY_CHARS = 1600;
const MAX_MEDIA = 10;
const MAX_PAGE_SIZE = 1000;
const MAX_FORM_BYTES = 1_000_000;

const REPEATED = ["MediaUrl", "PersistentAction"];
const FORM_NAMES = new Set([
  ...["To", "From", "MessagingServiceSid", "FallbackFrom", "Body", "ContentSid", "ContentVariables", "StatusCallback", "ApplicationSid"],
  ...["MaxPrice", "ProvideFeedback", "Attempt", "ValidityPeriod", "ForceDelivery", "ContentRetention", "AddressRetention"],
  ...["SmartEncoded", "TrafficType", "ShortenUrls", "ScheduleType", "SendAt", "SendAsMms", "RiskCheck", ...REPEATED],
]);
const QUERY_NAMES = new Set(["To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken"]);
const CHANNEL = /^[a-z]+:/;
const ADDRESS = /^(\+[1-9]\d{1,14}|\d{3,8}|[A-Za-z0-9 &._-]{1,60})$/;
const RECIPIENT = /^(\+[1-9]\d{1,14}|\d{3,8}|[A-Z]{2}\.[A-Za-z0-9]+)$/;

/** Twilio's words, https://www.twilio.com/docs/api/errors. */
const MESSAGES = {
  20001: "Bad request",
  20003: "Authentication Error - invalid username",
  20004: "Method not allowed",
  20404: "The requested resource was not found",
  20429: "Too Many Requests",
  20500: "An internal server error has occurred",
  21211: "The 'To' number is not a valid phone number.",
  21212: "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID.",
  21603: "A 'From' phone number is required.",
  21604: "A 'To' phone number is required.",
  21606: "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination.",
  21608: "The number is unverified. Trial accounts cannot send messages to unverified numbers.",
  21609: "The 'StatusCallback' URL is not a valid URL.",
  21610: "Attempt to send to unsubscribed recipient",
  21612: "The 'To' phone number is not currently reachable using the 'From' phone number via SMS.",
  21614: "'To' number is not a valid mobile number",
  21617: "The concatenated message body exceeds the 1600 character limit.",
  21619: "A text message body or media urls must be specified.",
  21620: "Invalid media URL(s)",
  21623: "Number of media files exceeds allowed limit",
};

// ── What a POST of a message may get instead of being taken and answered 201 ──────────────────────

/** Refused with an error of Twilio's. */
export const refuses = (code, status = 400) => ({ take: false, status, code });
/** 429; `retryAfter` in seconds, or none. */
export const isBusy = (retryAfter) => ({ ...refuses(20429, 429), headers: retryAfter === undefined ? {} : { "retry-after": String(retryAfter) } });
/** A 500, after the message was taken or before. */
export const fails = (take) => ({ take, status: 500, code: 20500 });
/** No answer. */
export const hangs = (take) => ({ take, end: "hang" });
/** The connection ends. */
export const cuts = (take) => ({ take, end: "cut" });
/** Taken, and answered with this text. */
export const says = (text) => ({ text });

export class TwilioApi {
  /** Every request, in order of arrival: `{at, method, path, query, headers, form, status, endedAt}`, times as `Date.now()`. */
  requests = [];
  /** Every message: `{sid, from, to, body, media, callback, at, resource}`, oldest first. */
  messages = [];
  /** Called with each message that was taken, before it is answered; awaited. */
  onTaken = () => {};
  /** What a POST gets for which nothing else is planned. */
  otherwise = () => ({});
  #plans = new Map();
  #files = new Map();

  constructor({ accountSid, authToken }) {
    Object.assign(this, { accountSid, authToken });
    this.http = createServer((request, response) => {
      this.#handle(request, response).catch((error) => {
        if (response.headersSent) response.destroy();
        else this.#error(response, { status: 500, code: 20500, message: error.message });
      });
    });
  }

  static async start({ port = 0, ...account }) {
    const api = new TwilioApi(account);
    api.http.listen(port, "127.0.0.1");
    await once(api.http, "listening");
    api.url = `http://127.0.0.1:${api.http.address().port}`;
    return api;
  }

  close() {
    this.http.closeAllConnections();
    this.http.close();
  }

  /** The next POSTs from this address get these, one each; a function is given the form. */
  next(from, ...answers) {
    this.#plan(`POST ${from}`, answers);
  }

  /** The next lists of this address's messages get these. */
  nextList(from, ...answers) {
    this.#plan(`GET ${from}`, answers);
  }

  #plan(key, answers) {
    this.#plans.set(key, [...(this.#plans.get(key) ?? []), ...answers]);
  }

  /** The POSTs of messages, of this address if one is given. */
  posts = (from) => this.#of("POST", from, ({ form }) => form.From);
  /** The lists that were asked for, of this address if one is given. */
  lists = (from) => this.#of("GET", from, ({ query }) => query.From);
  /** The messages that were taken, from this address if one is given. */
  taken = (from) => this.messages.filter((message) => from === undefined || message.from === from);

  #of(method, from, fromOf) {
    const all = this.requests.filter((one) => one.method === method && one.path === this.#path("Messages.json"));
    return all.filter((one) => from === undefined || fromOf(one) === from);
  }

  #path = (rest) => `/${VERSION}/Accounts/${this.accountSid}/${rest}`;

  /** A message as if somebody had sent it: what `fields`, properties of the resource, leave out is as usual. */
  add({ callback, media = [], ...fields }) {
    const sid = `${media.length ? "MM" : "SM"}${randomBytes(16).toString("hex")}`;
    const now = new Date().toUTCString().replace("GMT", "+0000");
    const resource = {
      account_sid: this.accountSid,
      api_version: VERSION,
      body: "",
      date_created: now,
      date_sent: null,
      date_updated: now,
      direction: "outbound-api",
      error_code: null,
      error_message: null,
      from: null,
      messaging_service_sid: null,
      num_media: String(media.length),
      num_segments: "1",
      price: null,
      price_unit: "USD",
      sid,
      status: "queued",
      subresource_uris: { media: this.#path(`Messages/${sid}/Media.json`) },
      to: null,
      uri: this.#path(`Messages/${sid}.json`),
      ...fields,
    };
    const { from, to, body } = resource;
    this.messages.push({ sid, from, to, body, media, callback, at: Date.now(), resource });
    return this.messages.at(-1);
  }

  /**
   * Posts a message's status callback, signed, and gives the answer's status. `via` is the origin to post it to where the one in the
   * callback's URL is not reachable from here; `fields` win over the form's own, `undefined` leaves one out.
   */
  async callback(message, status, { errorCode, fields = {}, url = message.callback, via, authToken = this.authToken } = {}) {
    const all = {
      AccountSid: this.accountSid,
      ApiVersion: VERSION,
      ErrorCode: errorCode?.toString(),
      From: message.from,
      MessageSid: message.sid,
      MessageStatus: status,
      SmsSid: message.sid,
      SmsStatus: status,
      To: message.to,
      ...fields,
    };
    const params = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    const headers = { "x-twilio-signature": getExpectedTwilioSignature(authToken, url, params) };
    const target = via === undefined ? url : via + url.slice(new URL(url).origin.length);
    const response = await fetch(target, { method: "POST", headers, body: new URLSearchParams(params) });
    await response.arrayBuffer();
    return response.status;
  }

  /**
   * A file that came with a message; gives the URL by which its webhook names it. `answer`: `{status, headers, bytes, end}`, `bytes` a
   * Buffer, or something async to iterate, which is sent without a length.
   */
  addMedia(answer, { base = "https://api.twilio.com", accountSid = this.accountSid } = {}) {
    const [message, media] = ["MM", "ME"].map((prefix) => prefix + randomBytes(16).toString("hex"));
    const path = `/${VERSION}/Accounts/${accountSid}/Messages/${message}/Media/${media}`;
    this.#files.set(path, answer);
    return base + path;
  }

  /** A file where Twilio's media are kept: for anyone who knows its URL, and refused, as there, to who shows credentials. */
  addCdn(answer) {
    const path = `/cdn/${randomBytes(16).toString("hex")}`;
    this.#files.set(path, answer);
    return this.url + path;
  }

  async #handle(request, response) {
    const at = Date.now();
    const { pathname: path, searchParams } = new URL(request.url, this.url);
    const { method, headers } = request;
    const text = await textOf(request);
    const one = { at, method, path, query: Object.fromEntries(searchParams), headers, form: formOf(new URLSearchParams(text)) };
    this.requests.push(one);
    response.on("close", () => Object.assign(one, { status: response.headersSent ? response.statusCode : undefined, endedAt: Date.now() }));
    if (path.startsWith("/cdn/")) {
      if (headers.authorization) return this.#error(response, { status: 400, code: 20001, message: "Only one auth mechanism allowed" });
      return this.#send(response, this.#files.get(path) ?? refuses(20404, 404));
    }
    const [, account, rest] = path.match(`^/${VERSION}/Accounts/([^/]+)/(.+)$`) ?? [];
    if (rest === undefined) return this.#error(response, refuses(20404, 404));
    if (headers.authorization !== this.authorization || account !== this.accountSid) {
      return this.#error(response, { ...refuses(20003, 401), headers: { "www-authenticate": 'Basic realm="Twilio API"' } });
    }
    if (rest === "Messages.json" && method === "POST") return this.#create(one, text, response);
    if (method !== "GET") return this.#error(response, refuses(20004, 405));
    if (rest === "Messages.json") return this.#list(one, searchParams, response);
    const [, sid] = rest.match(/^Messages\/(\w+)\.json$/) ?? [];
    const found = this.messages.find((message) => message.sid === sid);
    if (found) return this.#json(response, 200, found.resource);
    return this.#send(response, this.#files.get(path) ?? refuses(20404, 404));
  }

  get authorization() {
    return `Basic ${Buffer.from(`${this.accountSid}:${this.authToken}`).toString("base64")}`;
  }

  async #create(one, text, response) {
    const { form } = one;
    const wrong = wrongInForm(one.headers, [...new URLSearchParams(text)]) ?? codeOf(form);
    if (wrong) return this.#error(response, { status: 400, ...wrong });
    const planned = this.#plans.get(`POST ${form.From}`)?.shift() ?? this.otherwise;
    const answer = typeof planned === "function" ? planned(form) : planned;
    if (answer.take === false) return this.#send(response, answer);
    const { To: to, From: from = null, Body: body = "", MediaUrl: media, StatusCallback: callback, MessagingServiceSid: service = null } = form;
    const message = this.add({ to, from, body, media, callback, messaging_service_sid: service, ...answer.resource });
    await this.onTaken(message);
    return this.#send(response, answer, message.resource);
  }

  #list({ query }, searchParams, response) {
    const planned = this.#plans.get(`GET ${query.From}`)?.shift();
    if (planned) return this.#send(response, planned);
    const [size, page] = [Number(query.PageSize ?? 50), Number(query.Page ?? 0)];
    const unknown = [...searchParams.keys()].find((name) => !QUERY_NAMES.has(name));
    if (unknown || !(Number.isInteger(size) && size >= 1 && size <= MAX_PAGE_SIZE && Number.isInteger(page) && page >= 0)) {
      return this.#error(response, { status: 400, code: 20001, message: `Bad request: ${unknown ?? "PageSize, Page"}` });
    }
    const all = this.messages.filter(({ from, to }) => (query.From ?? from) === from && (query.To ?? to) === to).reverse();
    const messages = all.slice(page * size, (page + 1) * size).map(({ resource }) => resource);
    const uri = (of) => `${this.#path("Messages.json")}?${new URLSearchParams({ ...query, PageSize: size, Page: of })}`;
    return this.#json(response, 200, {
      end: page * size + Math.max(messages.length - 1, 0),
      first_page_uri: uri(0),
      messages,
      next_page_uri: all.length > (page + 1) * size ? uri(page + 1) : null,
      page,
      page_size: size,
      previous_page_uri: page > 0 ? uri(page - 1) : null,
      start: page * size,
      uri: uri(page),
    });
  }

  /** What was planned: an end without an answer, an error, a file, a text, or else the message, once `until` has come. */
  async #send(response, { status, code, headers = {}, text, bytes, end, until }, resource) {
    await until;
    if (end === "hang") return;
    if (end === "cut") response.destroy();
    else if (code) this.#error(response, { status, code, headers });
    else if (resource && text === undefined) this.#json(response, status ?? 201, resource, headers);
    else if (bytes && !Buffer.isBuffer(bytes)) Readable.from(bytes).on("error", () => response.destroy()).pipe(response.writeHead(status ?? 200, headers));
    else {
      const body = bytes ?? Buffer.from(text ?? "");
      response.writeHead(status ?? (resource ? 201 : 200), { "content-length": body.length, ...headers }).end(body);
    }
  }

  #json(response, status, value, headers = {}) {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
  }

  #error(response, { status, code, message = MESSAGES[code] ?? "Something is wrong", headers }) {
    this.#json(response, status, { code, message, more_info: `https://www.twilio.com/docs/errors/${code}`, status }, headers);
  }
}

async function textOf(request) {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_FORM_BYTES) throw new Error("the request is too large");
  }
  return text;
}

/** The form as an object; what may be repeated is an array. */
function formOf(params) {
  const form = Object.fromEntries(params);
  for (const name of REPEATED) if (params.has(name)) form[name] = params.getAll(name);
  return form;
}

/** What Twilio may forgive, and a client should not need: another type, a name it does not know, a name twice. */
function wrongInForm(headers, pairs) {
  const names = pairs.map(([name]) => name);
  const bad = (message) => ({ code: 20001, message: `Bad request: ${message}` });
  if (!headers["content-type"]?.startsWith("application/x-www-form-urlencoded")) return bad(`a form, not ${headers["content-type"]}`);
  const unknown = names.find((name) => !FORM_NAMES.has(name));
  if (unknown) return bad(`there is no parameter ${unknown}`);
  const twice = names.find((name, at) => names.indexOf(name) < at && !REPEATED.includes(name));
  return twice && bad(`${twice} is there twice`);
}

const isUrl = (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);

/** The error that Twilio has for a form, if any. */
function codeOf({ To, From, MessagingServiceSid, Body = "", MediaUrl = [], ContentSid, StatusCallback }) {
  const checks = [
    [21604, To],
    [21603, From || MessagingServiceSid],
    [21211, RECIPIENT.test(To?.replace(CHANNEL, ""))],
    [21212, !From || ADDRESS.test(From.replace(CHANNEL, ""))],
    [21212, !From || (From.match(CHANNEL)?.[0] === To?.match(CHANNEL)?.[0])],
    [21619, Body || MediaUrl.length || ContentSid],
    [21617, [...Body].length <= MAX_BODY_CHARS],
    [21623, MediaUrl.length <= MAX_MEDIA],
    [21620, MediaUrl.every(isUrl)],
    [21609, StatusCallback === undefined || isUrl(StatusCallback)],
  ];
  const failed = checks.find(([, holds]) => !holds);
  return failed && { code: failed[0] };
}

main(import.meta.url, async (args) => {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: "string", default: "4010" },
      statuses: { type: "string", default: "sent,delivered" },
      "every-ms": { type: "string", default: "500" },
    },
  });
  const vars = { ...readDevVars(), ...process.env };
  const account = { accountSid: vars.TWILIO_ACCOUNT_SID ?? `AC${"0".repeat(32)}`, authToken: vars.TWILIO_AUTH_TOKEN ?? "" };
  const api = await TwilioApi.start({ ...account, port: Number(values.port) });
  api.onTaken = async (message) => {
    console.log(`${message.sid}  ${message.from} → ${message.to}  ${JSON.stringify(message.body)} ${message.media.join(" ")}`);
    for (const [at, status] of values.statuses.split(",").filter(Boolean).entries()) {
      setTimeout(async () => {
        message.resource.status = status;
        if (message.callback) console.log(`${message.sid}  ${status}: ${await api.callback(message, status).catch((error) => error.cause?.code ?? error.message)}`);
      }, Number(values["every-ms"]) * (at + 1));
    }
  };
  console.log(`TWILIO_API_BASE=${api.url}  TWILIO_ACCOUNT_SID=${account.accountSid}`);
});
