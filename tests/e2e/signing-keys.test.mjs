// Twilio's beta signature (`TWILIO_SIGNING_KEYS`): HMAC-SHA256 by a key that we know, whatever else the request says of itself.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { accepted, ACCOUNT_SID, AUTH_TOKEN, call, eventually, INBOUND, messageOf, messageSid, newNumber, received, serve, serveWithTwilio } from "./harness.mjs";

const KEYS = { K1: "the-first-of-Twilio's-signing-secrets", "key/2.b": 'another:+=/"1"' };
const vars = { TWILIO_SIGNING_KEYS: JSON.stringify(KEYS) };
const SETTINGS = "x-twilio-webhooks-signature-settings";
const settings = (key, algorithm = "HMAC_SHA256") => `key=${key},algorithm=${algorithm}`;

let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars }));
});
after(() => Promise.all(ends.map((end) => end())));

const sign = (hash, secret, url, fields) => createHmac(hash, secret).update(url + Object.keys(fields).sort().map((name) => name + fields[name]).join("")).digest("base64");

/** A webhook that `hash` and `secret` sign, and whose header says `header`; `tamper` changes `{body, headers}`. */
function post(where, route, fields, { hash = "sha256", secret = KEYS.K1, header = settings("K1"), url = where.url + route, tamper } = {}) {
  const headers = { "content-type": "application/x-www-form-urlencoded", "x-twilio-signature": sign(hash, secret, url, fields) };
  if (header !== undefined && header !== null) headers[SETTINGS] = header;
  const request = { headers, body: new URLSearchParams(fields).toString() };
  tamper?.(request);
  return call(where, "POST", route, request);
}

const message = (To, Body = "hello & 1+1 = 2 👍") => ({ AccountSid: ACCOUNT_SID, MessageSid: messageSid(), From: "+15550100001", To, Body, NumMedia: "0", FromCity: "" });

/** `header: null` leaves the header out. */
const ROWS = [
  ["a key that we know", {}, 200],
  ["another key that we know", { secret: KEYS["key/2.b"], header: settings("key/2.b") }, 200],
  ["the parts in another order", { header: "algorithm=HMAC_SHA256,key=K1" }, 200],
  ["no algorithm", { header: "key=K1" }, 200],
  ["another algorithm's name: it is not what decides", { header: settings("K1", "HMAC_SHA1") }, 200],
  ["an algorithm that there is none of", { header: settings("K1", "none") }, 200],
  ["an unknown key", { header: settings("K3") }, 403],
  ["a key's id in another case", { header: settings("k1") }, 403],
  ["one key's id and another's secret", { header: settings("key/2.b") }, 403],
  ["no key", { header: "algorithm=HMAC_SHA256" }, 403],
  ["an empty key", { header: settings("") }, 403],
  ["an empty header", { header: "" }, 403],
  ["a name that every object has", { header: settings("constructor") }, 403],
  ["the key's secret, but SHA-1, as the header says", { hash: "sha1", header: settings("K1", "HMAC_SHA1") }, 403],
  ["SHA-512", { hash: "sha512", header: settings("K1", "HMAC_SHA512") }, 403],
  ["the auth token's SHA-1, with the header", { hash: "sha1", secret: AUTH_TOKEN }, 403],
  ["the auth token's SHA-256, with the header", { secret: AUTH_TOKEN }, 403],
  ["the auth token's SHA-1, without the header", { hash: "sha1", secret: AUTH_TOKEN, header: null }, 200],
  ["the key's SHA-256, without the header", { header: null }, 403],
  ["the auth token's SHA-256, without the header", { secret: AUTH_TOKEN, header: null }, 403],
  ["an empty secret and an unknown key", { secret: "", header: settings("K3") }, 403],
  ["a text that changed", { tamper: (request) => (request.body = request.body.replace("hello", "hullo")) }, 403],
  ["a parameter more", { tamper: (request) => (request.body += "&Extra=1") }, 403],
  ["no signature", { tamper: (request) => delete request.headers["x-twilio-signature"] }, 403],
  ["a signature cut short", { tamper: (request) => (request.headers["x-twilio-signature"] = request.headers["x-twilio-signature"].slice(0, 28)) }, 403],
  ["a signature in hexadecimal", { tamper: (request) => (request.headers["x-twilio-signature"] = Buffer.from(request.headers["x-twilio-signature"], "base64").toString("hex")) }, 403],
  ["another URL", { url: "https://example.com/" }, 403],
];

describe("a webhook with TWILIO_SIGNING_KEYS", { concurrency: 4, timeout: 60_000 }, () => {
  for (const [what, options, status] of ROWS) {
    test(`by ${what} is a ${status}, inbound and as a status callback`, async () => {
      const [line, contact] = [newNumber(), newNumber()];
      const fields = message(line);
      const answer = await post(server, INBOUND, fields, options);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      if (status === 403) assert.equal(answer.body.code, "forbidden");
      assert.equal((await received(server, `sms:${line}:+15550100001`)).length, status === 200 ? 1 : 0);
      await accepted(server, line, contact, { id: "hello", body: "hello" });
      const { sid, callback } = await eventually("Twilio has it", () => api.taken(line)[0]);
      const path = callback.slice(server.url.length);
      const reported = await post(server, path, { AccountSid: ACCOUNT_SID, MessageSid: sid, MessageStatus: "sent", Note: "hello" }, options);
      assert.equal(reported.status, status === 200 ? 204 : 403);
      await messageOf(server, line, contact, "hello", status === 200 ? "sent" : "queued");
    });
  }

  test("alone, without an auth token, is taken by its key, and refused with 403 by anything else", async (t) => {
    const only = await serve(t, { vars: { ...vars, TWILIO_AUTH_TOKEN: undefined } });
    for (const [what, options, status] of [
      ["a key that we know", {}, 200],
      ["an unknown key", { header: settings("K3") }, 403],
      ["no header, SHA-1 by nothing", { hash: "sha1", secret: "", header: null }, 403],
      ["no header, SHA-256", { header: null }, 403],
    ]) {
      assert.equal((await post(only, INBOUND, message(newNumber()), options)).status, status, what);
    }
    const neither = await serve(t, { vars: { TWILIO_AUTH_TOKEN: undefined } });
    for (const header of [null, settings("K1")]) assert.equal((await post(neither, INBOUND, message(newNumber()), { header })).status, 503);
  });

  test("behind PUBLIC_BASE_URL signs that URL, and a GET its query", async (t) => {
    const base = "https://hooks.dialtone.example";
    const behind = await serve(t, { vars: { ...vars, PUBLIC_BASE_URL: base } });
    assert.equal((await post(behind, INBOUND, message(newNumber()), { url: base + INBOUND })).status, 200);
    assert.equal((await post(behind, INBOUND, message(newNumber()))).status, 403);
    const line = newNumber();
    const route = `${INBOUND}?${new URLSearchParams(message(line))}`;
    const headers = { "x-twilio-signature": sign("sha256", KEYS.K1, base + route, {}), [SETTINGS]: settings("K1") };
    assert.equal((await call(behind, "GET", route, { headers })).status, 200);
    assert.equal((await call(behind, "GET", `${route}&x=1`, { headers })).status, 403);
  });
});

test("a bad TWILIO_SIGNING_KEYS is a 503 that names it and not its value; no key is in a log", async (t) => {
  for (const value of ["the-secret", "[]", "{}x", '{"K1":5}', '{"K1":""}', '{"K1":"the-secret in two"}', '{"":"the-secret"}', '{"K 1":"the-secret"}', '"the-secret"']) {
    const bad = await serve(t, { vars: { TWILIO_SIGNING_KEYS: value } });
    const { status, body } = await call(bad, "GET", "/health");
    assert.deepEqual([status, JSON.stringify(body).includes("TWILIO_SIGNING_KEYS"), JSON.stringify(body).includes("the-secret")], [503, true, false], value);
    await bad.stop();
  }
  await eventually("refusals are logged", () => server.logs.join("").includes("webhook_refused"));
  for (const secret of [...Object.values(KEYS), AUTH_TOKEN]) assert.ok(!server.logs.join("").includes(secret), server.logs.join("").slice(0, 2_000));
});
