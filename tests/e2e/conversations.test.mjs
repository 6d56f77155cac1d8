// `GET …/conversations/{contact}/messages` (CONTRACT "HTTP API"): one contact's messages in and out, each as it is now.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { refuses } from "../tools/twilio-api.mjs";
import { accepted, ADMIN, assign, call, conversationUrl, emitted, history, join, messageOf, newNumber, receive, refused, serveWithTwilio, thread } from "./harness.mjs";

let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars: { LINE_MESSAGES_PER_SECOND: 1000 } }));
});
after(() => Promise.all(ends.map((end) => end())));

describe("a conversation's messages", { concurrency: 4, timeout: 60_000 }, () => {
  test("are what came and what was sent, in order, in the history's shape, each with the status that it has now", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const room = `sms:${line}:${contact}`;
    await assign(server, line, "ann");
    await receive(server, line, contact, "a question");
    await accepted(server, line, contact, { id: "m-1", body: "an answer" }, { as: { sub: "ann" } });
    const { messageSid } = await messageOf(server, line, contact, "m-1", ({ messageSid }) => messageSid !== undefined);
    for (const [status, options] of [["sent"], ["undelivered", { errorCode: 30003 }]]) assert.equal(await api.callback(api.taken(line)[0], status, options), 204);
    api.next(line, refuses(21614));
    await accepted(server, line, contact, { id: "m-2", body: "another" });
    await messageOf(server, line, contact, "m-2", "failed");
    await emitted(server, { room, event: "note", data: "not a message" });
    await (await join(t, server, room, ADMIN)).ask("mark_read", {});
    await receive(server, line, contact, "thanks");
    const { status, body } = await call(server, "GET", conversationUrl(line, contact, "/messages"), { as: { sub: "ann" } });
    const logged = await history(server, room);
    assert.deepEqual([status, body.epoch, body.offset], [200, logged.epoch, logged.offset]);
    const expected = logged.messages.filter(({ event }) => event === "new_message" || event === "message_updated");
    assert.deepEqual(expected.map(({ event, data }) => [event, data.body]), [["new_message", "a question"], ["message_updated", "an answer"], ["message_updated", "another"], ["new_message", "thanks"]]);
    const sentences = body.messages.map(({ data }) => data.errorMessage);
    assert.deepEqual(sentences.map((text) => typeof text), ["undefined", "string", "string", "undefined"]);
    Object.assign(expected[1].data, { status: "undelivered", errorCode: 30003, errorMessage: sentences[1], messageSid });
    Object.assign(expected[2].data, { status: "failed", errorCode: 21614, errorMessage: sentences[2] });
    assert.deepEqual(body.messages, expected);
  });

  test("are paged by offset, after and before exclusive, 50 unless asked otherwise and at most 200, ascending; the newest by default", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    for (let n = 1; n <= 30; n++) {
      await receive(server, line, contact, `in ${n}`);
      await accepted(server, line, contact, { id: `m-${n}`, body: `out ${n}` });
    }
    const all = await thread(server, line, contact);
    const texts = (messages) => messages.map(({ data }) => data.body);
    assert.deepEqual(texts(all), Array.from({ length: 30 }, (_, n) => [`in ${n + 1}`, `out ${n + 1}`]).flat());
    const at = (n) => all[n].offset;
    for (const [query, expected] of [
      ["", all.slice(10)],
      ["?limit=3", all.slice(57)],
      ["?limit=201", all],
      [`?before=${at(10)}&limit=4`, all.slice(6, 10)],
      [`?after=${at(9)}&limit=4`, all.slice(10, 14)],
      [`?after=${at(9)}&before=${at(12)}`, all.slice(10, 12)],
      [`?before=${at(0)}`, []],
      [`?after=${at(59)}`, []],
    ]) {
      assert.deepEqual(texts(await thread(server, line, contact, { query })), texts(expected), query);
    }
    for (const query of ["?limit=0", "?limit=x", "?after=x", "?before=-1"]) {
      refused(await call(server, "GET", conversationUrl(line, contact, `/messages${query}`), { as: ADMIN }), 400, "bad_request", undefined, query);
    }
  });

  test("are for those who may join the conversation, to read is enough; one that is not there is empty", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    await assign(server, line, "ann");
    await receive(server, line, contact, "hello");
    const room = `sms:${line}:${contact}`;
    for (const as of [{ sub: "ann" }, ADMIN, { sub: "x", rooms: [`line:${line}`] }, { sub: "x", rooms_read: [`line:${line}`] }, { sub: "x", rooms_read: [room] }]) {
      assert.equal((await thread(server, line, contact, { as })).length, 1, JSON.stringify(as));
    }
    const path = (to) => conversationUrl(line, to, "/messages");
    for (const [what, answer, status, code] of [
      ["no token", await call(server, "GET", path(contact)), 401, "unauthorized"],
      ["a stranger", await call(server, "GET", path(contact), { as: { sub: "x" } }), 403, "forbidden"],
      ["another conversation's reader", await call(server, "GET", path(contact), { as: { sub: "x", rooms: [`sms:${line}:${newNumber()}`] } }), 403, "forbidden"],
      ["a contact that is no address", await call(server, "GET", path("a\u0007b"), { as: ADMIN }), 400, "bad_request"],
      ["a contact that is too long", await call(server, "GET", path("x".repeat(61)), { as: ADMIN }), 400, "bad_request"],
    ]) {
      refused(answer, status, code, undefined, what);
    }
    assert.deepEqual(await thread(server, line, newNumber()), []);
  });
});
