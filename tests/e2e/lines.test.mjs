// Phone lines (CONTRACT "HTTP API"): who works which, their conversations, what is unread, and whose conversation it is.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { accepted, ADMIN, assign, call, caughtUp, conversations, conversationUrl, crash, enter, eventually, freePort, heardOf, history, ioConnected, join, lineUrl, messageSid, newNumber, persistDir, receive, refused, serve, serveWithTwilio, SERVICE } from "./harness.mjs";

let server;
const ends = [];
before(async () => {
  ({ server } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars: { LOBBIES: 2, LINE_MESSAGES_PER_SECOND: 1000 } }));
});
after(() => Promise.all(ends.map((end) => end())));

const contactsOf = (items) => items.map(({ contact }) => contact);
const itemOf = async (line, contact, where = server) => (await conversations(where, line)).find((item) => item.contact === contact);
const assignTo = (line, contact, userId, as = ADMIN, where = server) => call(where, "PUT", conversationUrl(line, contact, "/assignee"), { as, body: { userId } });
const lines = async (as, where = server) => {
  const { status, body } = await call(where, "GET", "/api/lines", { as });
  assert.equal(status, 200, JSON.stringify(body));
  return Object.fromEntries(body.lines.map(({ number, unread, ...more }) => (assert.deepEqual(more, {}), [number, unread])));
};
const isTime = (text) => assert.equal(new Date(text).toISOString(), text);

describe("a line's conversations", { concurrency: 6, timeout: 60_000 }, () => {
  test("are listed newest first, each with its last message, from whichever side it came", async () => {
    const line = newNumber();
    const [ann, bob, cid] = Array.from({ length: 3 }, newNumber);
    assert.deepEqual(await conversations(server, line), []);
    await receive(server, line, ann, "from ann");
    await receive(server, line, bob, "from bob");
    await accepted(server, line, cid, { id: "m-1", body: "to cid" });
    assert.deepEqual(contactsOf(await conversations(server, line)), [cid, bob, ann]);
    await receive(server, line, ann, "ann again");
    await accepted(server, line, bob, { id: "m-2", body: "", media: ["https://example.com/a.png"] });
    const MessageSid = `MM${messageSid().slice(2)}`;
    await receive(server, line, cid, "", { MessageSid, NumMedia: "2", MediaUrl0: "https://api.twilio.com/a", MediaContentType0: "image/png", MediaUrl1: "https://api.twilio.com/b", MediaContentType1: "image/png" });
    const listed = await conversations(server, line);
    const last = async (contact) => (await history(server, `sms:${line}:${contact}`)).messages.findLast(({ event }) => event !== "message_status").data;
    const [ofAnn, ofBob, ofCid] = [await last(ann), await last(bob), await last(cid)];
    for (const { updatedAt } of listed) isTime(updatedAt);
    const rest = { channel: "sms", optedOut: false, assignedTo: null };
    assert.deepEqual(listed.map(({ updatedAt, ...item }) => item), [
      { contact: cid, lastMessage: { body: "", direction: "inbound", timestamp: ofCid.timestamp, media: 2, messageSid: MessageSid }, unread: 1, ...rest },
      { contact: bob, lastMessage: { body: "", direction: "outbound", timestamp: ofBob.timestamp, media: 1, id: "m-2" }, unread: 1, ...rest },
      { contact: ann, lastMessage: { body: "ann again", direction: "inbound", timestamp: ofAnn.timestamp, media: 0, messageSid: ofAnn.messageSid }, unread: 2, ...rest },
    ]);
  });

  test("of each channel are a line's of their own, threaded by their own rooms; a contact has its channel in the list and may lack it in a path", async () => {
    const [number, contact] = [newNumber(), newNumber()];
    const whatsapp = `whatsapp:${number}`;
    await receive(server, number, contact, "by SMS");
    await receive(server, whatsapp, `whatsapp:${contact}`, "by WhatsApp", { ProfileName: "Zoë 🙂" });
    await receive(server, whatsapp, "whatsapp:US.ABC123XYZ", "without a number");
    const [sms] = await conversations(server, number);
    assert.deepEqual([sms.contact, sms.channel, sms.lastMessage.body, "profileName" in sms], [contact, "sms", "by SMS", false]);
    const [other, one, ...more] = await conversations(server, whatsapp);
    assert.deepEqual([one.contact, one.channel, one.profileName, one.lastMessage.body], [`whatsapp:${contact}`, "whatsapp", "Zoë 🙂", "by WhatsApp"]);
    assert.deepEqual([other.contact, other.channel, more], ["whatsapp:US.ABC123XYZ", "whatsapp", []]);
    for (const path of [contact, `whatsapp:${contact}`]) {
      const { status, body } = await call(server, "GET", conversationUrl(whatsapp, path, "/messages"), { as: ADMIN });
      assert.deepEqual([status, body.messages.map(({ data }) => data.body)], [200, ["by WhatsApp"]], path);
    }
    for (const rest of ["/messages", "/assignee"]) {
      const method = rest === "/assignee" ? "PUT" : "GET";
      refused(await call(server, method, conversationUrl(number, `whatsapp:${contact}`, rest), { as: ADMIN, ...(method === "PUT" && { body: { userId: null } }) }), 422, "invalid_payload", undefined, rest);
    }
  });

  test("come in pages, of 50 unless asked otherwise, that together are all of them, once; a bad cursor or limit is a 400", async () => {
    const line = newNumber();
    const contacts = Array.from({ length: 53 }, newNumber);
    for (const contact of contacts) await receive(server, line, contact, "hello");
    const newest = contacts.toReversed();
    const page = async (query) => {
      const { status, body } = await call(server, "GET", lineUrl(line, `/conversations${query}`), { as: ADMIN });
      assert.equal(status, 200, JSON.stringify(body));
      return [contactsOf(body.conversations), body.cursor];
    };
    const [first, cursor] = await page("");
    assert.deepEqual([first, typeof cursor], [newest.slice(0, 50), "string"]);
    assert.deepEqual(await page(`?cursor=${encodeURIComponent(cursor)}`), [newest.slice(50), undefined]);
    for (const limit of [1, 7, 52, 53, 54, 200]) assert.deepEqual(contactsOf(await conversations(server, line, { limit })), newest, `by ${limit}`);
    for (const limit of [201, 5_000]) assert.deepEqual(await page(`?limit=${limit}`), [newest, undefined], `limit ${limit}`);
    for (const query of ["?cursor=", "?cursor=x", `?cursor=${encodeURIComponent(`${cursor}x`.repeat(3))}`, "?cursor=%00", "?limit=0", "?limit=-1", "?limit=x"]) {
      refused(await call(server, "GET", lineUrl(line, `/conversations${query}`), { as: ADMIN }), 400, "bad_request", undefined, query);
    }
  });

  test("that nothing happens in are neither left out nor twice, whatever happens in others between two pages", async () => {
    const line = newNumber();
    const contacts = Array.from({ length: 12 }, newNumber);
    for (const contact of contacts) await receive(server, line, contact, "hello");
    const seen = [];
    for (let cursor, round = 0; ; round++) {
      const { body } = await call(server, "GET", lineUrl(line, `/conversations?limit=3${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`), { as: ADMIN });
      seen.push(...contactsOf(body.conversations));
      if (!(cursor = body.cursor)) break;
      await receive(server, line, contacts[round], `again ${round}`); // an old one becomes the newest
      await receive(server, line, newNumber(), "new");
    }
    const quiet = contacts.slice(4).toReversed();
    assert.deepEqual(seen.filter((contact) => quiet.includes(contact)), quiet);
  });

  test("are told to the line's room, after each message, as the list has them; who is not on the line hears nothing", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const room = `line:${line}`;
    await assign(server, line, "ann");
    const [ann, plain, elsewhere] = [await enter(t, server, room, { sub: "ann" }), await join(t, server, room, ADMIN), await ioConnected(t, server, { sub: "ann" })];
    const expected = [];
    const step = async (act) => {
      await act();
      expected.push({ line, ...(await itemOf(line, contact)) });
    };
    await step(() => receive(server, line, contact, "one"));
    await step(() => receive(server, line, contact, "two"));
    await step(() => accepted(server, line, contact, { id: "m-1", body: "three" }, { as: { sub: "ann" } }));
    await step(() => receive(server, line, contact, "STOP"));
    await caughtUp(server, { [room]: [ann, plain], "user:ann": [elsewhere] });
    assert.deepEqual(expected.map(({ lastMessage, unread, optedOut }) => [lastMessage.body, unread, optedOut]), [["one", 1, false], ["two", 2, false], ["three", 2, false], ["STOP", 3, true]]);
    for (const client of [ann, plain]) assert.deepEqual(heardOf(client, "conversation_updated"), expected);
    assert.deepEqual(heardOf(elsewhere, "conversation_updated"), []);
    const logged = (await history(server, room)).messages.filter(({ event }) => event === "conversation_updated");
    assert.deepEqual(logged.map(({ data }) => data), expected);
  });

  test("are for those who may join the line: to read is enough for the list, a stranger gets 403, and a bad number is a 400", async () => {
    const [line, other, contact] = [newNumber(), newNumber(), newNumber()];
    await receive(server, line, contact, "hello");
    await assign(server, line, "ann");
    for (const [who, as] of [["an assignee", { sub: "ann" }], ["an admin", ADMIN], ["who has a grant", { sub: "x", rooms: [`line:${line}`] }], ["who may read", { sub: "x", rooms_read: [`line:${line}`] }]]) {
      assert.deepEqual(contactsOf(await conversations(server, line, { as })), [contact], who);
    }
    for (const [who, number, as, status, code] of [
      ["nobody", line, undefined, 401, "unauthorized"],
      ["a stranger", line, { sub: "x" }, 403, "forbidden"],
      ["another line's assignee", other, { sub: "ann" }, 403, "forbidden"],
      ["who has a grant for the conversation alone", line, { sub: "x", rooms: [`sms:${line}:${contact}`] }, 403, "forbidden"],
      ["an admin, of what is no number", "a\u0007b", ADMIN, 400, "bad_request"],
      ["an admin, of what is too long", "x".repeat(61), ADMIN, 400, "bad_request"],
    ]) {
      refused(await call(server, "GET", lineUrl(number, "/conversations"), { as }), status, code, undefined, who);
    }
    refused(await call(server, "POST", lineUrl(line, "/conversations"), { as: ADMIN, body: {} }), 405, "method_not_allowed");
  });
});

describe("what is unread", { concurrency: 6, timeout: 60_000 }, () => {
  test("is the line's: whoever may send there reads it for all, by Socket.IO, on a plain socket, whole or in part, and everyone on the line is told", async (t) => {
    const line = newNumber();
    const ann = { sub: `ann${line}` };
    await assign(server, line, ann.sub, "bob");
    const bob = await enter(t, server, `line:${line}`, { sub: "bob" });
    for (const [what, read] of [
      ["Socket.IO", async (room) => (await enter(t, server, room, ann)).ask("mark_read", { room })],
      ["a plain socket", async (room) => (await join(t, server, room, ann)).ask("mark_read", {})],
      ["an admin", async (room) => (await enter(t, server, room, ADMIN)).ask("mark_read", { room })],
      ["a grant for the conversation", async (room) => (await join(t, server, room, { sub: "x", rooms: [room] })).ask("mark_read", {})],
    ]) {
      const contact = newNumber();
      const room = `sms:${line}:${contact}`;
      for (const text of ["one", "two", "three"]) await receive(server, line, contact, text);
      await accepted(server, line, contact, { id: "m-1", body: "an answer" });
      assert.equal((await itemOf(line, contact)).unread, 3, what);
      const ack = await read(room);
      assert.ok(ack.ok === true || ack.ack, JSON.stringify(ack));
      const told = await bob.event("conversation_updated", (item) => item.contact === contact && item.unread === 0);
      assert.deepEqual(told, { line, ...(await itemOf(line, contact)) }, what);
      await receive(server, line, contact, "four");
      assert.equal((await itemOf(line, contact)).unread, 1, `${what}, and then another`);
    }
    assert.deepEqual(await lines(ann), { [line]: 4 });
  });

  test("in part: up to an offset, and it never moves back; one's own answers do not count", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const room = `sms:${line}:${contact}`;
    for (const text of ["one", "two"]) await receive(server, line, contact, text);
    await accepted(server, line, contact, { id: "m-1", body: "an answer" });
    for (const text of ["three", "four"]) await receive(server, line, contact, text);
    const offsets = (await history(server, room)).messages.filter(({ event }) => event === "new_message").map(({ offset }) => offset);
    const reader = await enter(t, server, room, ADMIN);
    for (const [offset, unread] of [[offsets[0], 3], [offsets[2], 1], [offsets[1], 1], [undefined, 0], [offsets[0], 0]]) {
      assert.equal((await reader.ask("mark_read", { room, offset })).ok, true);
      await eventually(`${unread} unread after ${offset}`, async () => (await itemOf(line, contact)).unread === unread);
    }
  });

  test("is not read by a token that may only read, nor by reading one's own copy", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const room = `sms:${line}:${contact}`;
    await assign(server, line, "ann");
    await receive(server, line, contact, "one");
    const reader = { sub: "eve", rooms_read: [room, `line:${line}`] };
    const [onSocket, plain] = [await enter(t, server, room, reader), await join(t, server, room, reader)];
    await onSocket.ask("mark_read", { room });
    await plain.ask("mark_read", {});
    const own = await enter(t, server, `line:${line}`, { sub: "ann" });
    await own.ask("mark_read", { room: `line:${line}` });
    await own.ask("mark_read", { room: "user:ann" });
    await receive(server, line, contact, "two");
    assert.equal((await itemOf(line, contact)).unread, 2);
  });

  test("is counted for each of one's lines, whether worked or granted; a service and an admin see every line", async () => {
    const [one, two, third, granted] = Array.from({ length: 4 }, newNumber);
    const covered = `messenger:${one}`;
    const whatsapp = `whatsapp:${one}`;
    const ann = { sub: `ann${one}`, rooms: [`line:${granted}`], rooms_read: [`line:${covered.slice(0, -1)}*`] };
    assert.deepEqual(await lines({ sub: `nobody${one}` }), {});
    await assign(server, one, ann.sub);
    await assign(server, whatsapp, ann.sub);
    await assign(server, two, ann.sub, "bob");
    await receive(server, one, newNumber(), "hello");
    for (let n = 0; n < 2; n++) await receive(server, whatsapp, `whatsapp:${newNumber()}`, "hello");
    await receive(server, third, newNumber(), "hello");
    await receive(server, granted, newNumber(), "hello");
    await receive(server, covered, "messenger:100", "hello");
    assert.deepEqual(await lines(ann), { [one]: 1, [whatsapp]: 2, [two]: 0, [granted]: 1, [covered]: 1 });
    for (const as of [ADMIN, SERVICE]) {
      const all = await lines(as);
      assert.deepEqual([one, whatsapp, two, third, granted].map((line) => all[line]), [1, 2, 0, 1, 1], as.role);
    }
    await call(server, "DELETE", lineUrl(two, `/assignees/${ann.sub}`), { as: SERVICE });
    assert.deepEqual(Object.keys(await lines(ann)).sort(), [one, whatsapp, granted, covered].sort());
    assert.ok(two in (await lines({ sub: "bob" })));
    refused(await call(server, "GET", "/api/lines"), 401, "unauthorized");
    refused(await call(server, "POST", "/api/lines", { as: ADMIN, body: {} }), 405, "method_not_allowed");
  });
});

describe("a conversation's assignee", { concurrency: 6, timeout: 60_000 }, () => {
  test("is set and taken back by who may send; the line hears who it is, then the conversation as the list has it", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    await assign(server, line, "ann", "bob");
    await receive(server, line, contact, "hello");
    const [bob, plain] = [await enter(t, server, `line:${line}`, { sub: "bob" }), await join(t, server, `line:${line}`, ADMIN)];
    const expected = [];
    for (const [as, userId] of [[{ sub: "ann" }, "ann"], [{ sub: "ann" }, "bob"], [ADMIN, "somebody who is on no line"], [{ sub: "bob" }, null]]) {
      const { status, body } = await assignTo(line, contact, userId, as);
      assert.deepEqual([status, body], [200, await itemOf(line, contact)]);
      assert.equal(body.assignedTo, userId);
      expected.push(["conversation_assigned", { line, contact, userId }], ["conversation_updated", { line, ...body }]);
    }
    await caughtUp(server, { [`line:${line}`]: [bob, plain] });
    const heard = [bob.heard.map(({ event, args }) => [event, args[0]]), plain.frames.map(({ event, data }) => [event, data])];
    for (const events of heard) assert.deepEqual(events.filter(([event]) => event.startsWith("conversation_")), expected);
    await receive(server, line, contact, "again");
    assert.equal((await itemOf(line, contact)).assignedTo, null);
  });

  test("stays over messages, and goes with who is taken off the line", async (t) => {
    const line = newNumber();
    const contacts = Array.from({ length: 3 }, newNumber);
    await assign(server, line, "ann", "bob");
    for (const contact of contacts) await receive(server, line, contact, "hello");
    for (const [at, userId] of ["ann", "ann", "bob"].entries()) assert.equal((await assignTo(line, contacts[at], userId)).status, 200);
    await receive(server, line, contacts[0], "again");
    await accepted(server, line, contacts[1], { id: "m-1", body: "an answer" });
    const assignees = async () => Promise.all(contacts.map(async (contact) => (await itemOf(line, contact)).assignedTo));
    assert.deepEqual(await assignees(), ["ann", "ann", "bob"]);
    const bob = await enter(t, server, `line:${line}`, { sub: "bob" });
    await call(server, "DELETE", lineUrl(line, "/assignees/ann"), { as: SERVICE });
    assert.deepEqual(await assignees(), [null, null, "bob"]);
    await caughtUp(server, { [`line:${line}`]: [bob] });
    const told = heardOf(bob, "conversation_updated").filter(({ assignedTo }) => assignedTo === null).map(({ contact }) => contact);
    assert.deepEqual(told.sort(), contacts.slice(0, 2).sort());
    assert.deepEqual(heardOf(bob, "conversation_assigned").toSorted((a, b) => a.contact.localeCompare(b.contact)), contacts.slice(0, 2).map((contact) => ({ line, contact, userId: null })));
  });

  test("is refused with its own code: an unknown conversation, a body of another shape, no JSON, a reader, a stranger, no token", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    await assign(server, line, "ann");
    await receive(server, line, contact, "hello");
    const path = conversationUrl(line, contact, "/assignee");
    const put = (body, as = { sub: "ann" }, target = path, headers) => call(server, "PUT", target, { as, body, headers });
    for (const [what, answer, status, code] of [
      ["an unknown conversation", await put({ userId: "ann" }, undefined, conversationUrl(line, newNumber(), "/assignee")), 404, "not_found"],
      ["a contact that is no address", await put({ userId: "ann" }, undefined, conversationUrl(line, "a\u0007b", "/assignee")), 400, "bad_request"],
      ["no user", await put({}), 422, "invalid_payload"],
      ["a user that is none", await put({ userId: { a: 1 } }), 422, "invalid_payload"],
      ["an empty user", await put({ userId: "" }), 422, "invalid_payload"],
      ["an array", await put([]), 422, "invalid_payload"],
      ["no JSON", await put("{"), 400, "bad_request"],
      ["a form", await put("userId=ann", undefined, path, { "content-type": "application/x-www-form-urlencoded" }), 415, "unsupported_media_type"],
      ["who may only read", await put({ userId: "ann" }, { sub: "x", rooms_read: [`line:${line}`] }), 403, "forbidden"],
      ["a stranger", await put({ userId: "x" }, { sub: "x" }), 403, "forbidden"],
      ["another method", await call(server, "DELETE", path, { as: ADMIN }), 405, "method_not_allowed"],
    ]) {
      refused(answer, status, code, undefined, what);
    }
    refused(await call(server, "PUT", path, { body: { userId: "ann" } }), 401, "unauthorized");
    assert.deepEqual([(await itemOf(line, contact)).assignedTo, contactsOf(await conversations(server, line))], [null, [contact]]);
  });
});

test("the list, what is unread and whose it is are as they were after kill -9, and so are one's lines", async (t) => {
  const options = { persist: persistDir(), port: await freePort() };
  const to = await serveWithTwilio(t, options);
  const line = newNumber();
  const contacts = Array.from({ length: 3 }, newNumber);
  await assign(to.server, line, "ann");
  for (const contact of contacts) await receive(to.server, line, contact, "hello");
  await assignTo(line, contacts[0], "ann", ADMIN, to.server);
  const reader = await join(t, to.server, `sms:${line}:${contacts[1]}`, ADMIN);
  await reader.ask("mark_read", {});
  await eventually("it is read", async () => (await itemOf(line, contacts[1], to.server)).unread === 0);
  const before = [await conversations(to.server, line), await lines({ sub: "ann" }, to.server)];
  await crash(to.server);
  const next = await serve(t, { ...options, vars: { TWILIO_API_BASE: to.api.url } });
  assert.deepEqual([await conversations(next, line), await lines({ sub: "ann" }, next)], before);
  assert.deepEqual(before[1], { [line]: 2 });
  await receive(next, line, contacts[2], "again");
  assert.deepEqual(contactsOf(await conversations(next, line, { as: { sub: "ann" } }))[0], contacts[2]);
});
