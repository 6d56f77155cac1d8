// The stand-in for Twilio's REST API is itself right: npm `twilio` drives it, and its answers have the shape of Twilio's OpenAPI document.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { cuts, fails, hangs, isBusy, refuses, says, TwilioApi } from "../tools/twilio-api.mjs";
import { ACCOUNT_SID, AUTH_TOKEN, newNumber } from "./harness.mjs";

const twilio = createRequire(import.meta.url)("twilio");

const api = await TwilioApi.start({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN });
after(() => api.close());
const MESSAGES = `/2010-04-01/Accounts/${ACCOUNT_SID}/Messages.json`;

function client({ accountSid = ACCOUNT_SID, authToken = AUTH_TOKEN } = {}) {
  const made = twilio(accountSid, authToken);
  made.api.baseUrl = api.url;
  return made;
}

const one = (fields) => ({ from: newNumber(), to: newNumber(), body: "hello", ...fields });

// ── The shape, by hand, of `api.v2010.account.message` and `ListMessageResponse` ──────────────────

const nullable = (check) => (value) => value === null || check(value);
const text = (value) => typeof value === "string";
const matches = (pattern) => (value) => text(value) && pattern.test(value);
const oneOf = (...words) => (value) => words.includes(value);
const sid = (prefix) => matches(new RegExp(`^(${prefix})[0-9a-fA-F]{32}$`));
const rfc2822 = matches(/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d \+0000$/);
const whole = (value) => Number.isInteger(value) && value >= 0;
const path = matches(/^\/2010-04-01\/Accounts\/AC/);

const MESSAGE = {
  account_sid: sid("AC"),
  api_version: oneOf("2010-04-01"),
  body: text,
  date_created: rfc2822,
  date_sent: nullable(rfc2822),
  date_updated: rfc2822,
  direction: oneOf("inbound", "outbound-api", "outbound-call", "outbound-reply"),
  error_code: nullable(whole),
  error_message: nullable(text),
  from: nullable(text),
  messaging_service_sid: nullable(sid("MG")),
  num_media: matches(/^\d+$/),
  num_segments: matches(/^\d+$/),
  price: nullable(text),
  price_unit: nullable(text),
  sid: sid("SM|MM"),
  status: oneOf("queued", "sending", "sent", "failed", "delivered", "undelivered", "receiving", "received", "accepted", "scheduled", "read", "partially_delivered", "canceled"),
  subresource_uris: ({ media }) => path(media),
  to: text,
  uri: path,
};
const LIST = { end: whole, first_page_uri: path, messages: Array.isArray, next_page_uri: nullable(path), page: whole, page_size: whole, previous_page_uri: nullable(path), start: whole, uri: path };
const ERROR = { code: whole, message: text, more_info: matches(/^https:/), status: whole };

function assertShape(value, shape) {
  assert.deepEqual(Object.keys(value).sort(), Object.keys(shape).sort());
  for (const [name, check] of Object.entries(shape)) assert.ok(check(value[name]), `${name}: ${JSON.stringify(value[name])}`);
}

async function ask(method, target, { headers, body } = {}) {
  const response = await fetch(api.url + target, { method, body, headers: { authorization: api.authorization, ...headers } });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

test("npm twilio sends a text, pictures and WhatsApp, and gets what the OpenAPI document says", async () => {
  for (const fields of [
    {},
    { mediaUrl: ["https://example.com/a.png", "https://example.com/b.png"] },
    { body: "", mediaUrl: ["https://example.com/a.png"] },
    { from: "whatsapp:+15550100001", to: "whatsapp:+15550100002" },
    { from: undefined, messagingServiceSid: `MG${"a".repeat(32)}` },
  ]) {
    const wanted = one(fields);
    const created = await client().messages.create({ ...wanted, statusCallback: "https://example.com/status?id=1" });
    const { form } = api.posts().at(-1);
    assert.deepEqual([form.To, form.Body ?? "", form.MediaUrl, form.StatusCallback], [wanted.to, wanted.body, wanted.mediaUrl, "https://example.com/status?id=1"]);
    assert.deepEqual([created.status, created.direction, created.to, created.numMedia], ["queued", "outbound-api", wanted.to, String(wanted.mediaUrl?.length ?? 0)]);
    assert.match(created.sid, wanted.mediaUrl ? /^MM/ : /^SM/);
    assert.ok(Math.abs(created.dateCreated - Date.now()) < 5_000, String(created.dateCreated));
    const { body } = await ask("GET", `/2010-04-01/Accounts/${ACCOUNT_SID}/Messages/${created.sid}.json`);
    assertShape(body, MESSAGE);
    assert.equal((await client().messages(created.sid).fetch()).body, wanted.body);
  }
});

test("npm twilio lists messages newest first, by To and From, over pages", async () => {
  const [from, to] = [newNumber(), newNumber()];
  for (const body of ["1", "2", "3"]) await client().messages.create({ from, to, body });
  await client().messages.create({ from, to: newNumber(), body: "to another" });
  await client().messages.create({ from: newNumber(), to, body: "from another" });
  const listed = async (options) => (await client().messages.list(options)).map(({ body }) => body);
  assert.deepEqual(await listed({ from, to }), ["3", "2", "1"]);
  assert.deepEqual(await listed({ from, to, pageSize: 1 }), ["3", "2", "1"]);
  assert.deepEqual(await listed({ to }), ["from another", "3", "2", "1"]);
  assert.deepEqual(await listed({ from: newNumber() }), []);
  const { body } = await ask("GET", `${MESSAGES}?${new URLSearchParams({ To: to, From: from, PageSize: 2 })}`);
  assertShape(body, LIST);
  body.messages.forEach((message) => assertShape(message, MESSAGE));
  assert.deepEqual([body.start, body.end, body.page, body.page_size], [0, 1, 0, 2]);
});

test("npm twilio gets a RestException with Twilio's code for everything that Twilio refuses", async () => {
  const long = "x".repeat(1_601);
  for (const [what, fields, code, status = 400] of [
    ["no recipient", { to: "" }, 21604],
    ["no sender", { from: undefined }, 21603],
    ["a recipient that is no number", { to: "+0123" }, 21211],
    ["a sender that is none", { from: "+" }, 21212],
    ["another channel", { from: "whatsapp:+15550100001" }, 21212],
    ["no text and no picture", { body: undefined }, 21619],
    ["1,601 characters", { body: long }, 21617],
    ["11 pictures", { mediaUrl: Array(11).fill("https://example.com/a.png") }, 21623],
    ["a picture that is nowhere", { mediaUrl: ["a.png"] }, 21620],
    ["a callback that is no URL", { statusCallback: "here" }, 21609],
  ]) {
    await assert.rejects(client().messages.create(one(fields)), (error) => {
      assert.deepEqual([error.constructor.name, error.code, error.status, error.moreInfo], ["RestException", code, status, `https://www.twilio.com/docs/errors/${code}`], what);
      return true;
    });
  }
  await client().messages.create(one({ body: "👍".repeat(1_600) }));
  const before = api.messages.length;
  for (const account of [{ authToken: "another" }, { accountSid: `AC${"f".repeat(32)}` }]) {
    await assert.rejects(client(account).messages.create(one()), { code: 20003, status: 401 });
    await assert.rejects(client(account).messages.list(), { code: 20003, status: 401 });
  }
  await assert.rejects(client().messages(`SM${"0".repeat(32)}`).fetch(), { code: 20404, status: 404 });
  assert.equal(api.messages.length, before);
});

test("what no client of Twilio's should send is refused: a type, a name, a name twice, a method, a path, an account", async () => {
  const type = { "content-type": "application/x-www-form-urlencoded" };
  const form = new URLSearchParams({ To: newNumber(), From: newNumber(), Body: "x" }).toString();
  for (const [what, method, target, init, status, code] of [
    ["JSON", "POST", MESSAGES, { body: "{}", headers: { "content-type": "application/json" } }, 400, 20001],
    ["an unknown name", "POST", MESSAGES, { body: `${form}&Text=x`, headers: type }, 400, 20001],
    ["a name in lower case", "POST", MESSAGES, { body: `${form}&to=x`, headers: type }, 400, 20001],
    ["a name twice", "POST", MESSAGES, { body: `${form}&Body=y`, headers: type }, 400, 20001],
    ["no credentials", "POST", MESSAGES, { body: form, headers: { ...type, authorization: "" } }, 401, 20003],
    ["an unknown parameter of the list", "GET", `${MESSAGES}?Status=sent`, {}, 400, 20001],
    ["a page of none", "GET", `${MESSAGES}?PageSize=0`, {}, 400, 20001],
    ["another method", "PUT", MESSAGES, {}, 405, 20004],
    ["another path", "GET", "/2010-04-01/Messages.json", {}, 404, 20404],
  ]) {
    const answer = await ask(method, target, init);
    assertShape(answer.body, ERROR);
    assert.deepEqual([answer.status, answer.body.status, answer.body.code], [status, status, code], what);
  }
});

test("what is planned for a sender comes in that order, and then it is taken again", async () => {
  const from = newNumber();
  const post = async () => {
    const body = new URLSearchParams({ To: newNumber(), From: from, Body: "x" });
    return fetch(api.url + MESSAGES, { method: "POST", body, headers: { authorization: api.authorization }, signal: AbortSignal.timeout(500) }).then(
      (response) => [response.status, response.headers.get("retry-after")],
      (error) => error.name,
    );
  };
  const plan = [
    [refuses(21610), [400, null], 0],
    [isBusy(), [429, null], 0],
    [isBusy(7), [429, "7"], 0],
    [fails(false), [500, null], 0],
    [fails(true), [500, null], 1],
    [hangs(false), "TimeoutError", 0],
    [hangs(true), "TimeoutError", 1],
    [cuts(false), "TypeError", 0],
    [cuts(true), "TypeError", 1],
    [says("{}"), [201, null], 1],
    [{}, [201, null], 1],
  ];
  api.next(from, ...plan.map(([answer]) => answer));
  for (const [at, [, expected, took]] of [...plan, [{}, [201, null], 1]].entries()) {
    const before = api.taken(from).length;
    assert.deepEqual(await post(), expected, `POST ${at + 1}`);
    assert.equal(api.taken(from).length - before, took, `POST ${at + 1} is taken or not`);
  }
  assert.equal(api.posts(from).length, plan.length + 1);
});

test("status callbacks are signed as npm twilio checks them, over the URL that the message came with", async (t) => {
  const got = [];
  const http = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const params = Object.fromEntries(new URLSearchParams(body));
    const url = `https://hooks.example.com${request.url}`;
    got.push([twilio.validateRequest(AUTH_TOKEN, request.headers["x-twilio-signature"], url, params), params]);
    response.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => http.close());
  const message = api.add({ from: "+15550100001", to: "+15550100002", callback: "https://hooks.example.com/status?room=sms%3A%2B1%3A%2B2&id=a%20b" });
  const via = `http://127.0.0.1:${http.address().port}`;
  for (const options of [{}, { errorCode: 30003 }, { authToken: "another" }, { fields: { AccountSid: undefined } }]) assert.equal(await api.callback(message, "failed", { via, ...options }), 204);
  assert.deepEqual(got.map(([genuine]) => genuine), [true, true, false, true]);
  const common = { AccountSid: ACCOUNT_SID, ApiVersion: "2010-04-01", From: "+15550100001", MessageSid: message.sid, MessageStatus: "failed", SmsSid: message.sid, SmsStatus: "failed", To: "+15550100002" };
  assert.deepEqual(got[1][1], { ...common, ErrorCode: "30003" });
  assert.equal(got[3][1].AccountSid, undefined);
});

test("media are for the account's credentials alone, and where they are kept for anyone without any", async () => {
  const kept = api.addCdn({ bytes: Buffer.from("a picture"), headers: { "content-type": "image/png" } });
  const url = api.addMedia({ status: 307, headers: { location: kept } }, { base: api.url });
  const authorization = { authorization: api.authorization };
  assert.equal((await fetch(url, { redirect: "manual" })).status, 401);
  const found = await fetch(url, { headers: authorization, redirect: "manual" });
  assert.deepEqual([found.status, found.headers.get("location")], [307, kept]);
  const picture = await fetch(kept);
  assert.deepEqual([picture.status, picture.headers.get("content-type"), await picture.text()], [200, "image/png", "a picture"]);
  assert.equal((await fetch(kept, { headers: authorization })).status, 400);
  assert.equal((await fetch(`${url}0`, { headers: authorization })).status, 404);
});
