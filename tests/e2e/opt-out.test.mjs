// Who has opted out (CONTRACT "HTTP API", facts of Twilio's): STOP marks a contact, nothing is sent to it any more, START lifts it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { refuses } from "../tools/twilio-api.mjs";
import { accepted, assign, conversations, crash, enter, eventually, freePort, heardOf, history, ioConnected, messageOf, newNumber, persistDir, receive, received, refused, send, serve, serveWithTwilio } from "./harness.mjs";

let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }));
});
after(() => Promise.all(ends.map((end) => end())));

let ids = 0;
const message = () => ({ id: `m-${++ids}`, body: "hello" });
const isRefused = async (line, contact, what, where = server) => refused(await send(where, line, contact, message()), 409, "opted_out", undefined, what);

/** The list's item of a conversation. */
const itemOf = async (line, contact, where = server) => (await conversations(where, line)).find((item) => item.contact === contact);

describe("a contact", { concurrency: 6, timeout: 60_000 }, () => {
  test("that says STOP, in any of its words, opts out, and START lifts it; HELP and other texts change nothing", async () => {
    const [line, whatsapp] = [newNumber(), `whatsapp:${newNumber()}`];
    const said = (...words) => words.map((Body) => ({ Body }));
    for (const [optOutType, messages] of [
      ["STOP", [...said("STOP", "stop", "Stop", "UNSUBSCRIBE", "end", "Quit", "STOPALL", "revoke", "OptOut", "CANCEL"), { Body: "arrête", OptOutType: "STOP" }]],
      ["HELP", [...said("HELP", "info"), { Body: "aide", OptOutType: "HELP" }]],
      [undefined, said("please stop", "stop it", "STOP!", "stopp", "don't", "ok", "")],
    ]) {
      for (const fields of messages) {
        for (const [to, prefix] of [[line, ""], [whatsapp, "whatsapp:"]]) {
          const [contact, what] = [prefix + newNumber(), JSON.stringify([to, fields])];
          await receive(server, to, contact, fields.Body, { ...fields, NumMedia: fields.Body ? "0" : "1" });
          const [data] = await received(server, `sms:${to}:${contact}`);
          assert.equal(data.optOutType, optOutType, what);
          assert.equal("optOutType" in data, optOutType !== undefined, what);
          assert.equal((await itemOf(to, contact)).optedOut, optOutType === "STOP", what);
          if (optOutType === "STOP") await isRefused(to, contact, what);
          else await accepted(server, to, contact, message());
        }
      }
    }
    for (const fields of [...said("START", "start", "YES", "Unstop"), { Body: "reprendre", OptOutType: "START" }]) {
      const [contact, what] = [newNumber(), JSON.stringify(fields)];
      await receive(server, line, contact, "STOP");
      await receive(server, line, contact, "help");
      await isRefused(line, contact, `${what}, before`);
      await receive(server, line, contact, fields.Body, fields);
      assert.deepEqual((await received(server, `sms:${line}:${contact}`)).map(({ optOutType }) => optOutType), ["STOP", "HELP", "START"], what);
      assert.equal((await itemOf(line, contact)).optedOut, false, what);
      await accepted(server, line, contact, message());
    }
  });

  test("that opted out is sent nothing: by HTTP 409, by message_sent opted_out, nothing is logged, and Twilio hears nothing", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const [lineRoom, room] = [`line:${line}`, `sms:${line}:${contact}`];
    await assign(server, line, "ann");
    await receive(server, line, contact, "STOP");
    const ann = await ioConnected(t, server, { sub: "ann" });
    await isRefused(line, contact);
    const sent = { phoneNumberId: line, to: contact, body: "hello", timestamp: "2026-01-05T10:00:00.000Z" };
    const ack = await ann.ask("message_sent", sent);
    assert.deepEqual([ack.ok, ack.error.code], [false, "opted_out"]);
    ann.socket.emit("message_sent", sent);
    const error = await ann.event("error");
    assert.deepEqual([error.code, error.event], ["opted_out", "message_sent"]);
    for (const name of [lineRoom, room, "user:ann"]) assert.ok((await history(server, name)).messages.every(({ event }) => event !== "message_updated"), name);
    assert.deepEqual([heardOf(ann, "message_updated"), api.posts(line)], [[], []]);
    await receive(server, line, contact, "START");
    assert.equal((await ann.ask("message_sent", sent)).ok, true);
    await accepted(server, line, contact, { id: "m-1", body: "another" });
    await eventually("it is sent", () => api.taken(line).length === 1);
  });

  test("that opted out is so in the list and in conversation_updated, until it is not", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const admin = await enter(t, server, `line:${line}`, { sub: "root", role: "admin" });
    for (const [Body, optedOut] of [["hello", false], ["STOP", true], ["HELP", true], ["what?", true], ["UNSTOP", false]]) {
      await receive(server, line, contact, Body);
      const { line: of, ...item } = await admin.event("conversation_updated", ({ lastMessage }) => lastMessage.body === Body);
      assert.deepEqual([of, item.optedOut, item], [line, optedOut, await itemOf(line, contact)], Body);
    }
  });

  test("is opted out of that line alone, and by that channel", async () => {
    const [line, other, contact] = [newNumber(), newNumber(), newNumber()];
    await receive(server, line, contact, "STOP");
    await isRefused(line, contact);
    await accepted(server, other, contact, message());
    await accepted(server, line, newNumber(), message());
    await accepted(server, `whatsapp:${line}`, `whatsapp:${contact}`, message());
  });

  test("of which Twilio says so, 21610, is opted out too: the message is failed, the next is refused, START lifts it", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    api.next(line, refuses(21610));
    await accepted(server, line, contact, { id: "first", body: "hello" });
    const failed = await messageOf(server, line, contact, "first", "failed");
    assert.equal(failed.errorCode, 21610);
    await isRefused(line, contact);
    await eventually("the list says so", async () => (await itemOf(line, contact)).optedOut);
    await receive(server, line, contact, "START");
    await accepted(server, line, contact, message());
    assert.equal((await itemOf(line, contact)).optedOut, false);
    await eventually("it is sent", () => api.taken(line).length === 1);
  });
});

test("who has opted out has so after kill -9, and who came back has, too", async (t) => {
  const options = { persist: persistDir(), port: await freePort() };
  const to = await serveWithTwilio(t, options);
  const [line, gone, back] = [newNumber(), newNumber(), newNumber()];
  for (const contact of [gone, back]) await receive(to.server, line, contact, "STOP");
  await receive(to.server, line, back, "START");
  await crash(to.server);
  const next = await serve(t, { ...options, vars: { TWILIO_API_BASE: to.api.url } });
  await isRefused(line, gone, "after the crash", next);
  await accepted(next, line, back, message());
  assert.deepEqual([(await itemOf(line, gone, next)).optedOut, (await itemOf(line, back, next)).optedOut], [true, false]);
  assert.deepEqual(to.api.posts(line).filter(({ form }) => form.To === gone), []);
});
