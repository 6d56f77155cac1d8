// What has been acknowledged survives kill -9, once, in order (DESIGN §3; CONTRACT "id", "since", webhooks).

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, readdirSync } from "node:fs";
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { ADMIN, call, CONTACT, crash, eventually, freePort, history, inbound, join, LINE, messageSid, persistDir, received, serve, SERVICE, sleep } from "./harness.mjs";

const PEOPLE = { ann: { sub: "ann", rooms: ["demo:*"] }, bob: { sub: "bob", rooms: ["demo:*"] } };

/** Starts on a folder of its own; `again()` starts the next server on the same folder and port. */
async function startDurable(t, options = {}) {
  const persist = persistDir();
  const port = await freePort();
  const again = () => serve(t, { persist, port, ...options });
  return { server: await again(), persist, again };
}

const connected = async (client) => (await client.event("connected")).data;
const numbered = (client) => client.frames.filter((frame) => frame.offset !== undefined && frame.event);

function assertGapless(messages, room) {
  assert.deepEqual(messages.map(({ offset }) => offset), messages.map((_, at) => at + 1), `offsets of ${room}`);
}

function assertOnce(messages, wanted, nameOf, what) {
  const times = Map.groupBy(messages, nameOf);
  for (const name of wanted) assert.equal(times.get(name)?.length ?? 0, 1, `${what}: how often ${name} is there`);
}

test("an SMS that was answered 200 is there once after kill -9, in the same epoch, and its MessageSid is known", async (t) => {
  const { server, again } = await startDurable(t);
  const room = `sms:${LINE}:${CONTACT}`;
  await call(server, "PUT", `/api/lines/${encodeURIComponent(LINE)}/assignees/ann`, { as: SERVICE });
  assert.equal((await inbound(server, { Body: "first" })).status, 200);
  const before = await history(server, room);
  const MessageSid = messageSid();
  assert.equal((await inbound(server, { Body: "second", MessageSid })).status, 200);
  await crash(server);

  const next = await again();
  assert.equal((await inbound(next, { Body: "second", MessageSid })).status, 200, "Twilio tries again");
  assert.equal((await inbound(next, { Body: "third" })).status, 200);
  for (const there of [room, `line:${LINE}`, "user:ann"]) {
    const { messages, epoch } = await history(next, there);
    assert.deepEqual((await received(next, there)).map(({ body }) => body), ["first", "second", "third"], there);
    assertGapless(messages, there);
    if (there === room) assert.equal(epoch, before.epoch);
  }
});

test("an event that was acknowledged is there once after kill -9, and its id is a duplicate, by socket and by HTTP", async (t) => {
  const { server, again } = await startDurable(t);
  const ann = await join(t, server, "demo:1", PEOPLE.ann);
  const { epoch } = await connected(ann);
  await ann.ask("note", { n: 1 }, "a-1");
  const posted = await call(server, "POST", "/rooms/demo:1/events", { as: PEOPLE.bob, body: { event: "note", data: { n: 2 }, id: "b-1" } });
  assert.deepEqual(posted.body, { offset: 2, duplicate: false });
  const ack = await ann.ask("note", { n: 3 }, "a-2");
  assert.deepEqual(ack, { ack: "a-2", offset: 3, duplicate: false });
  await crash(server);

  const next = await again();
  const back = await join(t, next, "demo:1", PEOPLE.ann, { query: { since: `${epoch}:0` } });
  const { offset, recovered, ...rest } = await connected(back);
  assert.deepEqual([rest.epoch, offset, recovered], [epoch, 3, true]);
  assert.deepEqual(await back.ask("note", { n: 3 }, "a-2"), { ack: "a-2", offset: 3, duplicate: true });
  const repeated = await call(next, "POST", "/rooms/demo:1/events", { as: PEOPLE.bob, body: { event: "note", data: { n: 2 }, id: "b-1" } });
  assert.deepEqual(repeated.body, { offset: 2, duplicate: true });
  assert.deepEqual(await back.ask("note", { n: 4 }, "b-1"), { ack: "b-1", offset: 4, duplicate: false }, "another user's id");
  const { messages } = await history(next, "demo:1");
  assert.deepEqual(messages.map(({ data, sender }) => [data.n, sender]), [[1, "ann"], [2, "bob"], [3, "ann"], [4, "ann"]]);
  assertGapless(messages, "demo:1");
});

test("a reconnect with `since` gets exactly what was missed, in order, before anything new, also across kill -9", async (t) => {
  const { server, again } = await startDurable(t);
  const ann = await join(t, server, "demo:1", PEOPLE.ann);
  const bob = await join(t, server, "demo:1", PEOPLE.bob);
  const { epoch } = await connected(bob);
  for (let n = 1; n <= 3; n++) await ann.ask("note", n);
  await bob.frame((frame) => frame.offset === 3);
  bob.socket.terminate();
  for (let n = 4; n <= 60; n++) ann.send({ event: "note", data: n });
  ann.send({ event: "typing", data: { isTyping: true } });
  await ann.ask("note", 61);
  const missed = Array.from({ length: 58 }, (_, at) => [4 + at, 4 + at]);

  const check = async (where, what) => {
    const back = await join(t, where, "demo:1", PEOPLE.bob, { query: { since: `${epoch}:3` } });
    const last = await back.event("presence_state");
    const replayed = back.frames.slice(1, back.frames.indexOf(last));
    assert.deepEqual(replayed.map(({ offset, data }) => [offset, data]), missed, what);
    assert.equal((await connected(back)).recovered, true, what);
    back.socket.terminate();
  };
  await check(server, "at once");
  await crash(server);
  const next = await again();
  await check(next, "after kill -9");
  const otherEpoch = [...epoch].reverse().join("");
  for (const [since, recovered] of [[`${epoch}:61`, true], [`${epoch}:62`, false], [`${otherEpoch}:3`, false]]) {
    const client = await join(t, next, "demo:1", PEOPLE.ann, { query: { since } });
    assert.equal((await connected(client)).recovered, recovered, since);
    assert.deepEqual(numbered(client), [], since);
  }
});

test("through ten kills at random moments every acknowledged event and SMS is in history once, gapless, and so is every listener's view", async (t) => {
  const { server, again } = await startDurable(t, { vars: { RATE_EVENTS_PER_SECOND: "100000", RATE_BURST: "100000" } });
  const rounds = 10;
  const conversation = `sms:${LINE}:${CONTACT}`;
  /** Ids by sender that must be there; what was sent and not acknowledged is sent again with its id. */
  const senders = ["ann", "bob", "cid"].map((sub) => ({ sub, acked: [], pending: [], count: 0 }));
  const sms = { acked: [], pending: undefined };
  const heard = [];
  let position;
  let epoch;
  let current = server;

  for (let round = 1; round <= rounds; round++) {
    let running = true;
    const listener = await join(t, current, "demo:1", { sub: "ear", rooms: ["demo:1"] }, { query: position === undefined ? {} : { since: `${epoch}:${position}` } });
    const hello = await connected(listener);
    if (position !== undefined) assert.equal(hello.recovered, true, `round ${round}: the listener resumes`);
    assert.equal(hello.epoch, (epoch ??= hello.epoch));

    const clients = await Promise.all(senders.map(({ sub }) => join(t, current, "demo:1", { sub, rooms: ["demo:1"] })));
    const talk = async (sender, client) => {
      for (const id of sender.pending) client.send({ event: "note", data: id, id });
      while (running && client.socket.readyState === 1) {
        const id = `${sender.sub}-${++sender.count}`;
        sender.pending.push(id);
        client.send({ event: "note", data: id, id });
        if (sender.count % 5 === 0) await sleep(1);
        await Promise.race([client.frame((frame) => frame.ack === id, 3000).catch(() => {}), client.closed]);
      }
      await Promise.race([client.closed, sleep(3000)]);
      const acks = new Set(client.frames.filter(({ ack, error }) => ack && !error).map(({ ack }) => ack));
      sender.acked.push(...sender.pending.filter((id) => acks.has(id)));
      sender.pending = sender.pending.filter((id) => !acks.has(id));
    };
    const text = async () => {
      while (running) {
        sms.pending ??= messageSid();
        const status = await inbound(current, { MessageSid: sms.pending }).then(({ status }) => status, () => 0);
        if (status !== 200) return;
        sms.acked.push(sms.pending);
        sms.pending = undefined;
      }
    };
    const traffic = [...senders.map((sender, n) => talk(sender, clients[n])), text()];
    await sleep(100 + Math.random() * 400);
    running = false;
    await crash(current);
    await Promise.all(traffic);
    await Promise.race([listener.closed, sleep(3000)]);
    heard.push(...numbered(listener));
    position = heard.at(-1)?.offset ?? 0;
    current = await again();
  }

  for (const sender of senders) {
    const client = await join(t, current, "demo:1", { sub: sender.sub, rooms: ["demo:1"] });
    for (const id of sender.pending) await client.ask("note", id, id);
  }
  const { messages, epoch: lastEpoch } = await history(current, "demo:1");
  assert.equal(lastEpoch, epoch);
  assertGapless(messages, "demo:1");
  for (const { sub, acked, pending } of senders) {
    assert.ok(acked.length >= rounds, `${sub} had ${acked.length} acknowledged`);
    assertOnce(messages, [...acked, ...pending], ({ data }) => data, sub);
  }
  assert.equal(new Set(messages.map(({ data }) => data)).size, messages.length, "nothing is there twice");
  // What the listener heard, over all its connections, is the log up to there: nothing twice, nothing left out, nothing
  // that was taken back.
  assert.deepEqual(heard.map(({ offset, data }) => [offset, data]), messages.slice(0, heard.length).map(({ offset, data }) => [offset, data]));

  const texts = await history(current, conversation);
  assertGapless(texts.messages, conversation);
  assert.ok(sms.acked.length >= rounds, `${sms.acked.length} SMS acknowledged`);
  assertOnce(texts.messages, sms.acked, ({ data }) => data.messageSid, conversation);
  const all = texts.messages.map(({ data }) => data.messageSid);
  assert.equal(new Set(all).size, all.length);
  const onLine = await eventually("all of them on the line", async () => {
    const messages = await received(current, `line:${LINE}`);
    return messages.length >= all.length && messages;
  }, 30_000);
  assert.deepEqual(onLine.map((data) => data.messageSid).sort(), all.sort());
  t.diagnostic(`${messages.length} events, ${all.length} SMS`);
});

/** The MessageSids in each object's log; read from a copy of the folder, so that nothing is woken. */
function storedSids(persist) {
  const copy = persistDir();
  cpSync(persist, copy, { recursive: true });
  const objects = path.join(copy, "dialtone-room");
  const files = readdirSync(objects).filter((name) => name.endsWith(".sqlite") && name !== "metadata.sqlite");
  return files.flatMap((name) => {
    const db = new DatabaseSync(path.join(objects, name));
    try {
      return db.prepare("SELECT args FROM log WHERE event = 'new_message'").all().map(({ args }) => JSON.parse(args)[0].messageSid);
    } catch (error) {
      if (/no such table/.test(error.message)) return []; // killed before its first turn
      throw error;
    } finally {
      db.close();
    }
  });
}

test("what a kill -9 kept from the line's and the assignee's rooms reaches them after the restart, once, though nobody asks for it", async (t) => {
  const { server, persist, again } = await startDurable(t);
  let current = server;
  await call(current, "PUT", `/api/lines/${encodeURIComponent(LINE)}/assignees/ann`, { as: SERVICE });
  // Forty conversations at once, killed in the middle, until several have not been passed on to all three rooms.
  let expected;
  let missing;
  for (let attempt = 1; ; attempt++) {
    const posts = Array.from({ length: 40 }, (_, n) => inbound(current, { From: `+1555030${String(n).padStart(4, "0")}` }).catch(() => {}));
    await sleep(20 + Math.random() * 400);
    await crash(current);
    await Promise.all(posts);
    const copies = Map.groupBy(storedSids(persist), (sid) => sid);
    expected = [...copies.keys()].sort();
    missing = expected.filter((sid) => copies.get(sid).length < 3);
    if (missing.length >= 5) break;
    assert.ok(attempt < 60, "no kill came between a commit and its delivery");
    current = await again();
  }
  t.diagnostic(`${missing.length} of ${expected.length} were not passed on when the server was killed`);

  const next = await again();
  // Asking about the assignee's own room wakes neither a conversation's nor the line's: their alarms do.
  await eventually("every committed message in the assignee's room", async () => (await received(next, "user:ann")).length >= expected.length, 40_000);
  for (const room of ["user:ann", `line:${LINE}`]) {
    assert.deepEqual((await received(next, room)).map((data) => data.messageSid).sort(), expected, room);
    assertGapless((await history(next, room)).messages, room);
  }
});

test("members, assignees and read marks survive kill -9", async (t) => {
  const { server, again } = await startDurable(t);
  const ann = await join(t, server, "demo:1", PEOPLE.ann);
  for (let n = 1; n <= 3; n++) await ann.ask("note", n);
  await call(server, "PUT", "/rooms/demo:1/members/guest", { as: SERVICE });
  await call(server, "PUT", "/rooms/demo:1/members/gone", { as: SERVICE });
  await call(server, "DELETE", "/rooms/demo:1/members/gone", { as: SERVICE });
  await call(server, "PUT", `/api/lines/${encodeURIComponent(LINE)}/assignees/guest`, { as: SERVICE });
  const guest = await join(t, server, "demo:1", { sub: "guest" });
  await guest.ask("mark_read", { offset: 2 });
  const { members } = (await call(server, "GET", "/rooms/demo:1/members", { as: ADMIN })).body;
  await crash(server);

  const next = await again();
  const after = (await call(next, "GET", "/rooms/demo:1/members", { as: ADMIN })).body;
  assert.deepEqual(after.members, members);
  assert.deepEqual(after.members.map(({ userId }) => userId), ["guest"]);
  const { assignees } = (await call(next, "GET", `/api/lines/${encodeURIComponent(LINE)}/assignees`, { as: ADMIN })).body;
  assert.deepEqual(assignees, ["guest"]);
  const ear = await join(t, next, "demo:1", PEOPLE.bob);
  const back = await join(t, next, "demo:1", { sub: "guest" });
  await join(t, next, `line:${LINE}`, { sub: "guest" });
  await assert.rejects(join(t, next, "demo:1", { sub: "gone" }), { status: 403 });
  // A mark that is not ahead of the stored one is told to nobody: what is heard first is the next one.
  await back.ask("mark_read", { offset: 1 });
  await back.ask("mark_read", { offset: 2 });
  await back.ask("mark_read", { offset: 3 });
  const read = await ear.event("messages_read");
  assert.deepEqual([read.data.userId, read.data.offset], ["guest", 3]);
});

test("after a restart those who did not come back are gone once the grace is over, and the others hear of it", async (t) => {
  const { server, again } = await startDurable(t);
  for (const sub of ["ann", "bob", "cid"]) await join(t, server, "demo:1", { sub, rooms: ["demo:1"] });
  await join(t, server, "demo:2", PEOPLE.ann);
  const present = async (where, room) => {
    const { body } = await call(where, "GET", `/rooms/${room}/presence`, { as: PEOPLE.ann });
    return body.users.map(({ userId }) => userId).sort();
  };
  assert.deepEqual(await present(server, "demo:1"), ["ann", "bob", "cid"]);
  await crash(server);

  const next = await again();
  const bob = await join(t, next, "demo:1", PEOPLE.bob);
  assert.deepEqual((await bob.event("presence_state")).data.users.map(({ userId }) => userId).sort(), ["ann", "bob", "cid"], "the grace");
  const leaves = () => bob.frames.filter((frame) => frame.event === "presence_diff").flatMap((frame) => frame.data.leaves.map(({ userId }) => userId));
  await eventually("presence_diff without the two who are gone", () => leaves().length >= 2);
  assert.deepEqual(leaves().sort(), ["ann", "cid"]);
  assert.deepEqual(await present(next, "demo:1"), ["bob"]);
  assert.deepEqual(await present(next, "demo:2"), ["ann"], "its grace begins when the room first wakes");
  bob.socket.terminate();
  for (const room of ["demo:1", "demo:2"]) {
    await eventually(`nobody in ${room}`, async () => (await present(next, room)).length === 0, 15_000);
  }
});

test("a folder that was served before is served again after a stop in good order, with all that was in it", async (t) => {
  const { server, again } = await startDurable(t);
  const id = randomBytes(6).toString("hex");
  const body = { event: "note", data: id, id };
  const first = await call(server, "POST", "/rooms/demo:1/events", { as: PEOPLE.ann, body });
  await server.stop();
  const second = await call(await again(), "POST", "/rooms/demo:1/events", { as: PEOPLE.ann, body });
  assert.deepEqual([first.body, second.body], [{ offset: 1, duplicate: false }, { offset: 1, duplicate: true }]);
});
