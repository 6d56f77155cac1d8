// Twilio's status callbacks (CONTRACT "HTTP API"): in any order, doubled, early or for nothing that is known, they only ever move a
// message forward; and nobody but Twilio moves it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { cuts, fails } from "../tools/twilio-api.mjs";
import { accepted, ACCOUNT_SID, assign, call, caughtUp, crash, enter, eventually, freePort, heardOf, history, messageOf, messageSid, newNumber, persistDir, refused, serve, serveWithTwilio, statusesOf, webhook } from "./harness.mjs";

let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }));
});
after(() => Promise.all(ends.map((end) => end())));

/** A message that Twilio has taken: its line, contact and room, how Twilio knows it, and the path of its callback. */
async function atTwilio({ contact = newNumber(), to = { server, api }, id = "m-1" } = {}) {
  const line = newNumber();
  await accepted(to.server, line, contact, { id, body: "hello" });
  const { messageSid: sid } = await messageOf(to.server, line, contact, id, ({ messageSid }) => messageSid !== undefined);
  const message = to.api.taken(line)[0];
  assert.equal(message.sid, sid);
  return { line, contact, id, room: `sms:${line}:${contact}`, message, path: message.callback.slice(to.server.url.length) };
}

/** `"failed:30007"`: a status and its error's code. */
const parse = (step) => {
  const [status, code] = step.split(":");
  return [status, code && { errorCode: Number(code) }];
};
const callback = async (message, step) => assert.equal(await api.callback(message, ...parse(step)), 204, step);
const steps = (statuses) => statuses.map(({ status, errorCode }) => (errorCode === undefined ? status : `${status}:${errorCode}`));
const told = async ({ room, id }) => steps(await statusesOf(server, room, id));

describe("a status callback", { concurrency: 8, timeout: 60_000 }, () => {
  // Each row after Twilio's own answer, `queued`: what comes, what is told of it.
  for (const [what, come, expected] of [
    ["in order", ["queued", "sending", "sent", "delivered"], ["sending", "sent", "delivered"]],
    ["in the opposite order", ["delivered", "sent", "sending", "queued"], ["delivered"]],
    ["out of order", ["sent", "queued", "delivered", "sending"], ["sent", "delivered"]],
    ["each twice", ["sent", "sent", "delivered", "delivered"], ["sent", "delivered"]],
    ["read after delivered", ["delivered", "read"], ["delivered", "read"]],
    ["read before delivered", ["read", "delivered", "sent"], ["read"]],
    ["earlier than what is known", ["accepted", "scheduled", "queued"], []],
    ["delivered after undelivered", ["undelivered:30003", "delivered"], ["undelivered:30003"]],
    ["undelivered after delivered", ["delivered", "undelivered:30003"], ["delivered"]],
    ["read after failed", ["failed:30007", "read"], ["failed:30007"]],
    ["sent after canceled", ["canceled", "sent"], ["canceled"]],
    ["its code only later", ["undelivered", "undelivered:30005"], ["undelivered", "undelivered:30005"]],
    ["its code only at first", ["undelivered:30005", "undelivered"], ["undelivered:30005"]],
    ["words of next year's between", ["sent", "teleported", "partially_delivered", "receiving", "received", "unknown", "waiting", "delivered"], ["sent", "delivered"]],
  ]) {
    test(`${what} moves a message forward, never back, and is told in the conversation and on the line`, async () => {
      const it = await atTwilio();
      for (const step of come) await callback(it.message, step);
      const [last, more] = parse(expected.at(-1) ?? "queued");
      const now = await messageOf(server, it.line, it.contact, it.id);
      assert.deepEqual([now.status, now.errorCode, now.messageSid], [last, more?.errorCode, it.message.sid]);
      assert.deepEqual(await told(it), ["queued", ...expected]);
      const onLine = await eventually("the line knows", async () => {
        const found = await statusesOf(server, `line:${it.line}`, it.id);
        return found.length > expected.length && found;
      });
      assert.deepEqual(onLine, await statusesOf(server, it.room, it.id));
      for (const { errorMessage, errorCode, status, ...rest } of onLine) {
        assert.deepEqual(rest, { id: it.id, messageSid: it.message.sid, phoneNumberId: it.line, to: it.contact });
        if (errorCode !== undefined) assert.match(errorMessage, /^[A-Z].{10,}\.$/, `a sentence for ${errorCode}`);
      }
    });
  }

  test("in every order of four, told is what moves it forward, and at the end it is delivered", async () => {
    const rank = ["queued", "sending", "sent", "delivered"];
    const orders = (list) => (list.length < 2 ? [list] : list.flatMap((one, at) => orders(list.toSpliced(at, 1)).map((rest) => [one, ...rest])));
    await Promise.all(
      orders(rank).map(async (order) => {
        const it = await atTwilio();
        for (const step of order) await callback(it.message, step);
        let highest = 0;
        const expected = order.filter((step) => rank.indexOf(step) > highest && (highest = rank.indexOf(step)));
        assert.deepEqual(await told(it), ["queued", ...expected], `${order}`);
      }),
    );
  });

  test("twenty of one at once are one", async () => {
    const it = await atTwilio();
    await Promise.all(Array.from({ length: 20 }, () => callback(it.message, "sent")));
    await callback(it.message, "delivered");
    assert.deepEqual(await told(it), ["queued", "sent", "delivered"]);
  });

  test("before the POST's own answer names the message at once; the answer then takes nothing back", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    let release;
    api.next(line, { until: new Promise((done) => (release = done)) });
    for (const id of ["m-1", "m-2"]) await accepted(server, line, contact, { id, body: id });
    const message = await eventually("Twilio has it", () => api.taken(line)[0]);
    for (const step of ["sent", "delivered"]) await callback(message, step);
    const early = await messageOf(server, line, contact, "m-1");
    assert.deepEqual([early.status, early.messageSid], ["delivered", message.sid]);
    release();
    await messageOf(server, line, contact, "m-2", ({ messageSid }) => messageSid !== undefined);
    assert.deepEqual(await told({ room: `sms:${line}:${contact}`, id: "m-1" }), ["sent", "delivered"]);
    assert.equal(api.posts(line).length, 2);
  });

  test("settles a message of which nothing else is known, an error too, and it is not posted again", async () => {
    for (const [step, code] of [["sent"], ["failed:30006", 30_006]]) {
      const [line, contact] = [newNumber(), newNumber()];
      api.next(line, cuts(true));
      api.nextList(line, ...Array(10).fill(fails()));
      await accepted(server, line, contact, { id: "m-1", body: "hello" });
      await messageOf(server, line, contact, "m-1", "unknown");
      await callback(api.taken(line)[0], step);
      const { status, errorCode, messageSid: sid } = await messageOf(server, line, contact, "m-1");
      assert.deepEqual([status, errorCode, sid], [parse(step)[0], code, api.taken(line)[0].sid]);
      assert.deepEqual([await told({ room: `sms:${line}:${contact}`, id: "m-1" }), api.posts(line).length], [["unknown", step], 1]);
    }
  });

  test("is heard once by everyone in the conversation's and the line's rooms, by nobody in their own", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const [room, lineRoom] = [`sms:${line}:${contact}`, `line:${line}`];
    await assign(server, line, "ann");
    const [inConversation, onLine, inBoth, own] = [await enter(t, server, room, { sub: "ann" }), await enter(t, server, lineRoom, { sub: "ann" }), await enter(t, server, room, { sub: "ann" }), await enter(t, server, "demo:1", { sub: "ann", rooms: ["demo:1"] })];
    assert.equal((await inBoth.ask("join", { room: lineRoom })).ok, true);
    await accepted(server, line, contact, { id: "m-1", body: "hello" });
    await messageOf(server, line, contact, "m-1", ({ messageSid }) => messageSid !== undefined);
    for (const step of ["sent", "undelivered:30003"]) await callback(api.taken(line)[0], step);
    await eventually("the line knows", async () => (await statusesOf(server, lineRoom, "m-1")).length === 3);
    await caughtUp(server, { [room]: [inConversation, inBoth], [lineRoom]: [onLine, inBoth], "user:ann": [own] });
    for (const client of [inConversation, onLine, inBoth]) assert.deepEqual(steps(heardOf(client, "message_status")), ["queued", "sent", "undelivered:30003"]);
    assert.deepEqual(heardOf(own, "message_status"), []);
  });

  test("for a message, a conversation or a room that is not known is a 204, and nobody is told", async () => {
    const it = await atTwilio();
    const other = newNumber();
    const fields = { AccountSid: ACCOUNT_SID, MessageSid: messageSid(), MessageStatus: "delivered", From: it.line, To: it.contact };
    for (const [what, query] of [
      ["another id", { room: it.room, id: "m-2" }],
      ["another conversation", { room: `sms:${it.line}:${other}`, id: "m-1" }],
      ["a room of another kind", { room: "demo:1", id: "m-1" }],
      ["the line's own room", { room: `line:${it.line}`, id: "m-1" }],
      ["a room that is none", { room: "", id: "m-1" }],
      ["no id", { room: it.room }],
      ["no room", { id: "m-1" }],
      ["no query", {}],
      ["a long id", { room: it.room, id: "x".repeat(5_000) }],
    ]) {
      const search = new URLSearchParams(query).toString();
      const { status, body } = await webhook(server, `/webhooks/twilio/status${search && "?"}${search}`, fields);
      assert.deepEqual([status, body], [204, ""], what);
    }
    for (const room of [`sms:${it.line}:${other}`, "demo:1"]) assert.deepEqual((await history(server, room)).messages, [], room);
    assert.deepEqual(await told(it), ["queued"]);
    assert.deepEqual((await history(server, `line:${it.line}`)).messages.filter(({ event }) => event === "message_status").length, 1);
  });

  test("that is forged, foreign, malformed or too big is refused by its own code, and nobody is told", async (t) => {
    const it = await atTwilio();
    const fields = { AccountSid: ACCOUNT_SID, MessageSid: it.message.sid, MessageStatus: "delivered", From: it.line, To: it.contact };
    const set = (name, value) => (request) => (request.headers[name] = value);
    const elsewhere = await atTwilio({ id: "m-2" });
    for (const [what, more, options, status, code] of [
      ["forged", {}, { authToken: "guessed" }, 403, "forbidden"],
      ["tampered", {}, { tamper: (request) => (request.body = request.body.replace("delivered", "failed")) }, 403, "forbidden"],
      ["unsigned", {}, { tamper: (request) => delete request.headers["x-twilio-signature"] }, 403, "forbidden"],
      ["another message's", {}, { signed: server.url + elsewhere.path }, 403, "forbidden"],
      ["without its query", {}, { signed: `${server.url}/webhooks/twilio/status` }, 403, "forbidden"],
      ["another account's", { AccountSid: `AC${"f".repeat(32)}` }, {}, 403, "forbidden"],
      ["without an account", { AccountSid: undefined }, {}, 403, "forbidden"],
      ["without a MessageSid", { MessageSid: undefined, SmsSid: undefined }, {}, 400, "bad_request"],
      ["with a MessageSid that is none", { MessageSid: "SM1" }, {}, 400, "bad_request"],
      ["text", {}, { tamper: set("content-type", "text/plain") }, 415, "unsupported_media_type"],
      ["over 1 MB", { Extra: "x".repeat(1_000_001) }, {}, 413, "payload_too_large"],
    ]) {
      refused(await webhook(server, it.path, { ...fields, ...more }, options), status, code, undefined, what);
    }
    refused(await call(server, "GET", it.path), 405, "method_not_allowed", undefined, "GET");
    assert.deepEqual([await told(it), await told(elsewhere)], [["queued"], ["queued"]]);
    const bare = await serve(t, { vars: { TWILIO_AUTH_TOKEN: undefined } });
    refused(await webhook(bare, it.path, fields), 503, "not_configured");
  });

  test("with an error code that is none is taken without it", async () => {
    const it = await atTwilio();
    assert.equal(await api.callback(it.message, "undelivered", { errorCode: "many" }), 204);
    assert.deepEqual(await told(it), ["queued", "undelivered"]);
  });
});

test("what is known of a message is known after kill -9, and a callback that comes again then is told nobody", async (t) => {
  const options = { persist: persistDir(), port: await freePort() };
  const to = await serveWithTwilio(t, options);
  const it = await atTwilio({ to });
  for (const step of ["sent", "delivered"]) assert.equal(await to.api.callback(it.message, step), 204);
  await crash(to.server);
  const next = await serve(t, { ...options, vars: { TWILIO_API_BASE: to.api.url } });
  for (const step of ["sent", "delivered", "read"]) assert.equal(await to.api.callback(it.message, step), 204);
  assert.deepEqual(steps(await statusesOf(next, it.room, it.id)), ["queued", "sent", "delivered", "read"]);
  await eventually("the line knows", async () => (await statusesOf(next, `line:${it.line}`, it.id)).length === 4);
  assert.equal((await messageOf(next, it.line, it.contact, it.id)).status, "read");
});
