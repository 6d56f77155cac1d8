// `message_sent`, the guides' way to say that a message went out, and the HTTP route meet in one place (CONTRACT "/"): the sender's other
// tabs and the line's other assignees see it at once, and once.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { accepted, assign, caughtUp, conversations, enter, eventually, heardOf, history, ioConnected, join, newNumber, serveWithTwilio, thread } from "./harness.mjs";

/** Two lobbies. */
let server;
let api;
const ends = [];
let users = 0;
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars: { LOBBIES: 2 } }));
});
after(() => Promise.all(ends.map((end) => end())));

const TIMESTAMP = "2026-01-05T10:00:00.000Z";
const bodies = (client) => heardOf(client, "message_updated").map(({ body }) => body);
const updates = async (room) => (await history(server, room)).messages.filter(({ event }) => event === "message_updated");

/** A line with two assignees, each with two windows, and a stranger. */
async function scene(t, { line = newNumber(), contact = newNumber() } = {}) {
  const [ann, bob, stranger] = ["ann", "bob", "eve"].map((name) => ({ sub: `${name}-${++users}` }));
  await assign(server, line, ann.sub, bob.sub);
  const room = `sms:${line}:${contact}`;
  const screens = {
    ann1: await ioConnected(t, server, ann),
    ann2: await enter(t, server, room, ann),
    bob1: await ioConnected(t, server, bob),
    bob2: await enter(t, server, `line:${line}`, bob),
    eve: await ioConnected(t, server, stranger),
    plain: await join(t, server, room, bob),
  };
  assert.equal((await screens.bob2.ask("join", { room })).ok, true);
  const { ann1, ann2, bob1, bob2, plain } = screens;
  const caught = () =>
    caughtUp(server, { [room]: [ann2, bob2, plain], [`line:${line}`]: [bob2], [`user:${ann.sub}`]: [ann1, ann2], [`user:${bob.sub}`]: [bob1, bob2], [`user:${stranger.sub}`]: [screens.eve] });
  /** Everyone but the stranger has heard exactly these. */
  const heard = async (expected) => {
    await caught();
    for (const [name, client] of Object.entries(screens)) assert.deepEqual(bodies(client), name === "eve" ? [] : expected, name);
  };
  const data = { phoneNumberId: line, to: contact, timestamp: TIMESTAMP };
  return { line, contact, room, ann, stranger, ...screens, heard, data };
}

describe("message_sent", { concurrency: 4, timeout: 60_000 }, () => {
  test("after the HTTP route, as the guides have it, is the same message: by its id or by its text it is a duplicate, told nobody", async (t) => {
    const { line, contact, room, ann, ann1, heard, data } = await scene(t);
    for (const [id, more] of [["m-1", {}], ["m-2", { id: "m-2" }]]) {
      await accepted(server, line, contact, { id, body: `text of ${id}` }, { as: ann });
      const ack = await ann1.ask("message_sent", { ...data, body: `text of ${id}`, ...more });
      assert.deepEqual([ack.ok, ack.duplicate], [true, true], `${id}: ${JSON.stringify(ack)}`);
    }
    await heard(["text of m-1", "text of m-2"]);
    assert.deepEqual((await updates(room)).map(({ data: { id } }) => id), ["m-1", "m-2"]);
    await eventually("Twilio has them", () => api.taken(line).length === 2);
    assert.equal(api.posts(line).length, 2);
  });

  test("alone is told to everyone who works the line, once a window, exactly as it was sent; it is in the conversation, and Twilio is sent nothing", async (t) => {
    const { line, contact, room, ann, ann1, heard, data } = await scene(t);
    const sent = { ...data, body: "sent by other means", media: [{ url: "https://example.com/a.png" }], whatever: { a: [1] } };
    const ack = await ann1.ask("message_sent", sent);
    assert.deepEqual([ack.ok, ack.duplicate, typeof ack.offset], [true, false, "number"], JSON.stringify(ack));
    await heard(["sent by other means"]);
    const [message] = await updates(room);
    const { timestamp } = message.data;
    assert.deepEqual([message.data, message.sender, message.offset], [{ ...sent, direction: "outbound", timestamp }, ann.sub, ack.offset]);
    assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 10_000, "the server's time");
    assert.deepEqual(heardOf(ann1, "message_updated"), [message.data]);
    const [item] = await conversations(server, line);
    assert.deepEqual([item.contact, item.unread, item.lastMessage.body, item.lastMessage.direction], [contact, 0, "sent by other means", "outbound"]);
    assert.deepEqual((await thread(server, line, contact)).map(({ event, data: { body } }) => [event, body]), [["message_updated", "sent by other means"]]);
    assert.deepEqual(api.posts(line), []);
  });

  test("of a text that was announced already, of another text, another contact or by another user is another message", async (t) => {
    const { line, contact, ann, ann1, bob1, data } = await scene(t);
    await accepted(server, line, contact, { id: "m-1", body: "hello" }, { as: ann });
    assert.equal((await bob1.ask("message_sent", { ...data, body: "hello" })).duplicate, false, "by another user");
    assert.equal((await ann1.ask("message_sent", { ...data, body: "Hello" })).duplicate, false, "another text");
    assert.equal((await ann1.ask("message_sent", { ...data, to: newNumber(), body: "hello" })).duplicate, false, "another contact");
    assert.equal((await ann1.ask("message_sent", { ...data, body: "hello" })).duplicate, true);
    assert.equal((await ann1.ask("message_sent", { ...data, body: "hello" })).duplicate, false, "announced already");
    const found = (await thread(server, line, contact)).map(({ data: { body } }) => body);
    assert.deepEqual(found, ["hello", "hello", "Hello", "hello"]);
    await eventually("Twilio has the one", () => api.taken(line).length === 1);
    assert.equal(api.posts(line).length, 1);
  });

  test("over WhatsApp meets the conversation with the channel or without it", async (t) => {
    const [line, contact] = [`whatsapp:${newNumber()}`, `whatsapp:${newNumber()}`];
    const { ann, ann1, heard, data } = await scene(t, { line, contact });
    await accepted(server, line, contact, { id: "m-1", body: "one" }, { as: ann });
    assert.equal((await ann1.ask("message_sent", { ...data, to: contact.slice("whatsapp:".length), body: "one" })).duplicate, true);
    assert.equal((await ann1.ask("message_sent", { ...data, body: "two" })).duplicate, false);
    assert.equal((await ann1.ask("message_sent", { ...data, to: contact.slice("whatsapp:".length), body: "three" })).duplicate, false);
    await heard(["one", "two", "three"]);
  });

  test("where one may not send, or of what is no line, comes back to one's own windows alone", async (t) => {
    const { line, contact, room, stranger, data, ...screens } = await scene(t);
    const tab = await ioConnected(t, server, stranger);
    const reader = await ioConnected(t, server, { sub: `reader-${++users}`, rooms_read: [`line:${line}`, room] });
    const foreign = [{ ...data, body: "one" }, { ...data, phoneNumberId: "line-1", to: "somebody", body: "two" }, { to: contact, body: "three" }];
    for (const sent of foreign) assert.equal((await tab.ask("message_sent", sent)).ok, true, JSON.stringify(sent));
    assert.equal((await reader.ask("message_sent", { ...data, body: "read only" })).ok, true);
    await eventually("one's own windows", () => bodies(tab).length === 3 && bodies(reader).length === 1);
    assert.deepEqual([bodies(tab), bodies(reader)], [["one", "two", "three"], ["read only"]]);
    const { direction, timestamp, ...rest } = heardOf(tab, "message_updated")[0];
    assert.deepEqual([rest.body, rest.to, direction, new Date(timestamp).toISOString()], ["one", contact, "outbound", timestamp]);
    await caughtUp(server, { [room]: [screens.ann2, screens.bob2, screens.plain], [`line:${line}`]: [screens.bob2] });
    for (const name of ["ann1", "ann2", "bob1", "bob2", "plain"]) assert.deepEqual(bodies(screens[name]), [], name);
    assert.deepEqual([await updates(room), await conversations(server, line), await thread(server, line, contact)], [[], [], []]);
    assert.equal((await updates(`user:${stranger.sub}`)).length, 3);
  });

  test("of the wrong shape is refused as before", async (t) => {
    const { line, contact, room, ann1 } = await scene(t);
    for (const sent of [{ phoneNumberId: line, to: 5, body: "x" }, { phoneNumberId: line, to: contact, body: null }, { phoneNumberId: line, to: contact }, "hello", 7]) {
      const ack = await ann1.ask("message_sent", sent);
      assert.deepEqual([ack.ok, ack.error?.code], [false, "invalid_payload"], JSON.stringify(sent));
    }
    assert.deepEqual(await updates(room), []);
  });
});
