// What came with a message (CONTRACT "HTTP API"): streamed to those who may see the conversation, fetched with Twilio's credentials from
// Twilio alone.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { ACCOUNT_SID, ADMIN, assign, AUTH_TOKEN, bearer, call, conversationUrl, eventually, freePort, messageSid, newNumber, receive, received, refused, serve, serveWithTwilio } from "./harness.mjs";

const MB = 1_000_000;

let server;
let api;
/** Somebody else's server, inside: it is to get no request, ever. */
let inside;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }));
  inside = createServer((request, response) => (inside.requests.push(request.headers), response.end("inside")));
  inside.requests = [];
  inside.listen(0, "127.0.0.1");
  await once(inside, "listening");
  inside.url = `http://127.0.0.1:${inside.address().port}`;
});
after(() => (inside.close(), Promise.all(ends.map((end) => end()))));

/** A message with these media has come; gives what `GET` needs to fetch one. */
async function withMedia(urls, { where = server } = {}) {
  const [line, contact] = [newNumber(), newNumber()];
  const MessageSid = `MM${messageSid().slice(2)}`;
  const fields = { MessageSid, NumMedia: String(urls.length) };
  urls.forEach((url, n) => Object.assign(fields, { [`MediaUrl${n}`]: url, [`MediaContentType${n}`]: "image/png" }));
  await receive(where, line, contact, "", fields);
  const path = (n, sid = MessageSid, of = contact) => conversationUrl(line, of, `/media/${sid}/${n}`);
  return { line, contact, sid: MessageSid, path, get: (n = 0, as = ADMIN) => call(where, "GET", path(n), { as }) };
}

const stream = (path, { as = ADMIN, where = server, ...init } = {}) => fetch(where.url + path, { headers: bearer(as), ...init });
const IMAGE = { "content-type": "image/png" };

describe("a picture", { concurrency: 6, timeout: 60_000 }, () => {
  test("is recorded by its URL, type and place, and streams as Twilio has it, byte for byte", async () => {
    const files = [randomBytes(3), randomBytes(300_000), Buffer.alloc(0)];
    const urls = files.map((bytes) => api.addMedia({ bytes, headers: IMAGE }));
    const { line, contact, path } = await withMedia(urls);
    const [data] = await received(server, `sms:${line}:${contact}`);
    assert.deepEqual(data.media, urls.map((url) => ({ url, contentType: "image/png" })));
    for (const [n, bytes] of files.entries()) {
      const answer = await stream(path(n));
      assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "image/png"], `media ${n}`);
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes, `media ${n}`);
    }
    refused(await call(server, "GET", path(3), { as: ADMIN }), 404, "not_found");
  });

  test("is read by who may read the conversation, and by nobody else", async () => {
    const url = api.addMedia({ bytes: Buffer.from("picture"), headers: IMAGE });
    const asked = () => api.requests.filter((one) => url.endsWith(one.path)).length;
    const { line, contact, path } = await withMedia([url]);
    await assign(server, line, "ann");
    for (const as of [{ sub: "ann" }, ADMIN, { sub: "x", rooms: [`line:${line}`] }, { sub: "x", rooms_read: [`line:${line}`] }, { sub: "x", rooms_read: [`sms:${line}:${contact}`] }]) {
      assert.equal(await (await stream(path(0), { as })).text(), "picture", JSON.stringify(as));
    }
    const before = asked();
    for (const [what, as, status, code] of [
      ["nobody", undefined, 401, "unauthorized"],
      ["a stranger", { sub: "x" }, 403, "forbidden"],
      ["another line's", { sub: "x", rooms: [`line:${newNumber()}`] }, 403, "forbidden"],
      ["another conversation's", { sub: "x", rooms: [`sms:${line}:${newNumber()}`] }, 403, "forbidden"],
    ]) {
      refused(await call(server, "GET", path(0), { as }), status, code, undefined, what);
    }
    assert.equal(asked(), before, "Twilio is asked nothing for those who may not");
  });

  test("is shown where it is a picture, a sound or a film, and anything else is a file to keep; it is never sniffed, and cached by one's own browser alone", async () => {
    for (const [type, shown] of [
      ...["image/png", "image/jpeg", "image/gif", "image/webp", "audio/mpeg", "audio/ogg; codecs=opus", "video/mp4", "IMAGE/PNG"].map((type) => [type, true]),
      ...["image/svg+xml", "text/html", "text/html; charset=utf-8", "application/pdf", "text/plain", "application/octet-stream", "text/x-vcard", "application/xhtml+xml", undefined].map((type) => [type, false]),
    ]) {
      const bytes = Buffer.from("<script>alert(1)</script>");
      const { path } = await withMedia([api.addMedia({ bytes, headers: type ? { "content-type": type } : {} })]);
      const { status, headers } = await stream(path(0));
      assert.equal(status, 200, type);
      assert.equal(headers.get("x-content-type-options"), "nosniff", type);
      assert.match(headers.get("content-security-policy"), /sandbox/, type);
      assert.match(headers.get("cache-control"), /private/, type);
      if (shown) assert.doesNotMatch(headers.get("content-disposition") ?? "inline", /attachment/, type);
      else assert.match(headers.get("content-disposition"), /^attachment/, type);
      if (shown) assert.equal(headers.get("content-type").toLowerCase(), type.toLowerCase());
    }
  });

  test("comes as it comes: its beginning is there before its end", async () => {
    let release;
    const rest = new Promise((done) => (release = done));
    const slow = async function* () {
      yield Buffer.alloc(100_000, "a");
      await rest;
      yield Buffer.alloc(100_000, "b");
    };
    const { path } = await withMedia([api.addMedia({ headers: IMAGE, bytes: slow() })]);
    const answer = await stream(path(0));
    const reader = answer.body.getReader();
    let bytes = 0;
    while (bytes < 100_000) bytes += (await reader.read()).value.length;
    assert.equal(bytes, 100_000);
    release();
    for (let part; !(part = await reader.read()).done; ) bytes += part.value.length;
    assert.equal(bytes, 200_000);
  });

  test("of 25 MB streams, and one that says it is larger is a 413; one that does not say is cut", async () => {
    const full = await withMedia([api.addMedia({ bytes: Buffer.alloc(25 * MB, "x"), headers: IMAGE })]);
    assert.equal((await (await stream(full.path(0))).arrayBuffer()).byteLength, 25 * MB);
    const large = await withMedia([api.addMedia({ bytes: Buffer.alloc(27 * MB, "x"), headers: IMAGE })]);
    refused(await large.get(), 413, "payload_too_large");
    const endless = async function* () {
      for (let n = 0; n < 60; n++) yield Buffer.alloc(MB, "x");
    };
    const { path } = await withMedia([api.addMedia({ bytes: endless(), headers: IMAGE })]);
    let bytes = 0;
    const read = async () => {
      for await (const part of (await stream(path(0))).body) bytes += part.length;
    };
    await assert.rejects(read(), undefined, "an end that looks like one would be taken for the whole");
    assert.ok(bytes <= 28 * MB, `${bytes} bytes came`);
  });

  test("that Twilio does not have is a 404; what else Twilio answers, or does not, is a 502 twilio_error", { timeout: 60_000 }, async () => {
    await Promise.all(
      [
        ["a 404", { status: 404, code: 20404 }, 404, "not_found"],
        ["a 401", { status: 401, code: 20003 }, 502, "twilio_error"],
        ["a 429", { status: 429, code: 20429 }, 502, "twilio_error"],
        ["a 500", { status: 500, code: 20500 }, 502, "twilio_error"],
        ["no answer", { end: "hang" }, 502, "twilio_error"],
        ["a connection that ends", { end: "cut" }, 502, "twilio_error"],
        ["a redirect to nowhere", { status: 302 }, 502, "twilio_error"],
      ].map(async ([what, answer, status, code]) => refused(await (await withMedia([api.addMedia(answer)])).get(), status, code, undefined, what)),
    );
    const unreachable = await serve({ after: (end) => ends.push(end) }, { vars: { TWILIO_API_BASE: `http://127.0.0.1:${await freePort()}` } });
    refused(await (await withMedia([api.addMedia({})], { where: unreachable })).get(), 502, "twilio_error", undefined, "a Twilio that cannot be reached");
  });
});

// One after the other: they count what the stand-in is asked.
describe("Twilio's credentials", { timeout: 60_000 }, () => {
  test("go to Twilio, which may redirect three times to where it keeps its media: there they do not go", async () => {
    const file = { bytes: Buffer.from("picture"), headers: IMAGE };
    let url = api.addCdn(file);
    for (let n = 1; n <= 4; n++) {
      const location = n === 2 ? url.slice(api.url.length) : url; // a Location may be relative
      const first = api.addMedia({ status: [301, 302, 307, 308][n - 1], headers: { location } });
      const { get, path } = await withMedia([first]);
      const before = api.requests.length;
      if (n <= 3) assert.equal(await (await stream(path(0))).text(), "picture", `${n} redirects`);
      else refused(await get(), 502, "twilio_error", undefined, "four redirects");
      const [asked, ...others] = api.requests.slice(before);
      assert.equal(asked.headers.authorization, api.authorization);
      assert.deepEqual(others.map(({ headers }) => headers.authorization), Array(Math.min(n, 3)).fill(undefined));
      url = api.addCdn({ status: 302, headers: { location } });
    }
  });

  test("and our requests never go where a redirect leads inside, or to a host that only looks like Twilio's: 502", async () => {
    const inner = new URL(inside.url);
    for (const location of [
      inside.url,
      `${inside.url}/2010-04-01/Accounts/${ACCOUNT_SID}/Messages/MM1/Media/ME1`,
      `http://localhost:${inner.port}/`,
      `//127.0.0.1:${inner.port}/`,
      `http://[::ffff:127.0.0.1]:${inner.port}/`,
      api.url.replace("//", "//127.0.0.1@").replace(/\d+$/, inner.port),
      `https://api.twilio.com@127.0.0.1:${inner.port}/`,
      `https://evil-twilio.com/`,
      `https://twilio.com.evil.example/`,
      `https://s3-external-1.amazonaws.com/somebody-elses-bucket/x`,
      `http://mcs.us1.twilio.com/x`,
      "ftp://api.twilio.com/x",
      "file:///etc/passwd",
      "data:image/png;base64,AA==",
      "http://169.254.169.254/latest/meta-data",
      "https://",
    ]) {
      const { get } = await withMedia([api.addMedia({ status: 302, headers: { location } })]);
      refused(await get(), 502, "twilio_error", undefined, location);
      const later = await withMedia([api.addMedia({ status: 302, headers: { location: api.addCdn({ status: 307, headers: { location } }) } })]);
      refused(await later.get(), 502, "twilio_error", undefined, `${location}, by a second redirect`);
    }
    assert.deepEqual(inside.requests, []);
  });

  test("go to our own account's paths at Twilio alone: whatever else a webhook named is a 404, and nobody is asked", async () => {
    const path = `/2010-04-01/Accounts/${ACCOUNT_SID}/Messages/MM1/Media/ME1`;
    const other = `AC${"f".repeat(32)}`;
    const { port } = new URL(inside.url);
    const before = api.requests.length;
    for (const url of [
      inside.url + path,
      `http://api.twilio.com${path}`,
      `https://api.twilio.com:8443${path}`,
      `https://api.twilio.com.evil.example${path}`,
      `https://evil.example/https://api.twilio.com${path}`,
      `https://api.twilio.com@127.0.0.1:${port}${path}`,
      `https://someone:secret@api.twilio.com${path}`,
      `https://mcs.us1.twilio.com${path}`,
      `https://example.com/a.png`,
      `https://api.twilio.com/`,
      `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT_SID}`,
      `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT_SID}0/Messages/MM1/Media/ME1`,
      `https://api.twilio.com/2010-04-01/Accounts/${other}/Messages/MM1/Media/ME1`,
      `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT_SID}/../${other}/Messages/MM1/Media/ME1`,
      `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT_SID}/%2e%2e/${other}/Messages/MM1/Media/ME1`,
      `https://api.twilio.com/2010-04-01/Accounts/${ACCOUNT_SID}\\..\\${other}/Messages/MM1/Media/ME1`,
      `https://api.twilio.com/2008-08-01/Accounts/${ACCOUNT_SID}/Messages/MM1/Media/ME1`,
      api.addMedia({ bytes: Buffer.from("another account's") }, { base: api.url, accountSid: other }),
    ]) {
      const { get } = await withMedia([url]);
      refused(await get(), 404, "not_found", undefined, url);
    }
    assert.deepEqual([inside.requests, api.requests.length], [[], before]);
  });

  test("reach the stand-in where TWILIO_API_BASE is set, by its own URLs and by api.twilio.com's; no answer shows them", async () => {
    for (const base of [api.url, "https://api.twilio.com"]) {
      const headers = { ...IMAGE, "set-cookie": "twilio=1", "x-twilio-something": "1" };
      const { path } = await withMedia([api.addMedia({ bytes: Buffer.from("picture"), headers }, { base })]);
      const answer = await stream(path(0));
      assert.equal(await answer.text(), "picture", base);
      assert.equal(answer.headers.get("set-cookie"), null);
      assert.ok(![...answer.headers.values()].some((value) => value.includes(AUTH_TOKEN) || value.includes(api.authorization)));
    }
  });
});

test("what is no medium is refused by its own code: another message's, another conversation's, no number, no sid, another method", async () => {
  const { line, path, sid, contact } = await withMedia([api.addMedia({ bytes: Buffer.from("picture"), headers: IMAGE })]);
  await receive(server, line, contact, "without a picture", { MessageSid: `SM${"1".repeat(32)}` });
  for (const [what, target, ...expected] of [
    ["one more than there are", path(1), 404],
    ["a message that is not there", path(0, `MM${"0".repeat(32)}`), 404],
    ["a message without media", path(0, `SM${"1".repeat(32)}`), 404],
    ["another conversation's", path(0, sid, newNumber()), 404],
    ["no sid", path(0, "MM1"), 400, 404],
    ["no number", path("x"), 400, 404],
    ["less than none", path(-1), 400, 404],
    ["a large number", path("99999999999999999999"), 400, 404],
  ]) {
    const { status, body } = await call(server, "GET", target, { as: ADMIN });
    assert.ok(expected.includes(status), `${what}: ${status}`);
    assert.equal(body.code, status === 400 ? "bad_request" : "not_found", what);
  }
  refused(await call(server, "DELETE", path(0), { as: ADMIN }), 405, "method_not_allowed");
});

test("without Twilio's account or token there are no media, 503", async (t) => {
  for (const name of ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]) {
    const bare = await serve(t, { vars: { [name]: undefined, TWILIO_API_BASE: api.url } });
    const path = conversationUrl(newNumber(), newNumber(), `/media/MM${"0".repeat(32)}/0`);
    refused(await call(bare, "GET", path, { as: ADMIN }), 503, "not_configured", undefined, name);
  }
});

test("no log says where a picture was, or shows the credentials", async (t) => {
  const quiet = await serve(t, { vars: { TWILIO_API_BASE: api.url } });
  for (const answer of [{ bytes: Buffer.from("picture"), headers: IMAGE }, { status: 500, code: 20500 }, { status: 302, headers: { location: inside.url } }]) {
    const url = api.addMedia(answer);
    const { get, contact } = await withMedia([url], { where: quiet });
    await get();
    await eventually("a line for the message", () => quiet.logs.join("").length > 0);
    for (const secret of [url, url.split("/").at(-1), contact, AUTH_TOKEN, api.authorization]) assert.ok(!quiet.logs.join("").includes(secret), `the log says ${secret}`);
  }
});
