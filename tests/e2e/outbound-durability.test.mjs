// kill -9 at every step between accept, send and callback: each message that was accepted is in its conversation once, and at Twilio at most
// once, or plainly `unknown`; and everyone who watches sees the same conversations after all that.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { cuts, fails, hangs, isBusy } from "../tools/twilio-api.mjs";
import { accepted, ADMIN, assign, becomes, call, conversations, conversationUrl, crash, eventually, freePort, history, inbound, io, messageOf, messageSid, newNumber, persistDir, send, serve, serveWithTwilio, sleep, statusesOf, thread } from "./harness.mjs";

/** A server on a folder of its own; `again()` starts the next one on the same folder and port, with the same Twilio. */
async function start(t, vars = {}) {
  const options = { persist: persistDir(), port: await freePort() };
  const { server, api } = await serveWithTwilio(t, { ...options, vars });
  return { server, api, again: () => serve(t, { ...options, vars: { TWILIO_API_BASE: api.url, ...vars } }) };
}

const ofMessage = ({ room, id }, callback) => {
  const query = new URL(callback).searchParams;
  return query.get("room") === room && query.get("id") === id;
};

/**
 * Each message `{line, contact, room, id}` is in its conversation and on its line once. Twilio had it at most once, and got it but once where
 * it was not too busy; what it took has its name, and what it did not take is unknown. Gives how many there are of each status.
 */
async function assertEachOnce(server, api, messages) {
  const logs = new Map();
  const shown = new Map();
  for (const { line, contact, room } of messages) {
    if (!shown.has(room)) shown.set(room, await wholeThread(server, line, contact));
    for (const name of [room, `line:${line}`]) if (!logs.has(name)) logs.set(name, (await history(server, name)).messages);
  }
  const counts = {};
  for (const one of messages) {
    const { line, room, id } = one;
    for (const name of [room, `line:${line}`]) {
      const found = logs.get(name).filter(({ event, data }) => event === "message_updated" && data.id === id);
      assert.equal(found.length, 1, `${id} in ${name}`);
    }
    const tries = api.posts(line).filter(({ form, status }) => status !== 429 && ofMessage(one, form.StatusCallback));
    const taken = api.taken(line).filter(({ callback }) => ofMessage(one, callback));
    assert.ok(tries.length <= 1 && taken.length <= 1, `${id}: ${tries.length} times at Twilio, which took it ${taken.length} times`);
    const { data } = shown.get(room).find((message) => message.data.id === id);
    const what = `${id}: ${JSON.stringify(data)}, ${tries.length} tries, ${JSON.stringify(taken)}`;
    if (taken.length === 1) assert.equal(data.messageSid, taken[0].sid, what);
    else assert.equal(data.status, "unknown", what);
    counts[data.status] = (counts[data.status] ?? 0) + 1;
  }
  return counts;
}

/** A conversation's messages, of all pages. */
async function wholeThread(server, line, contact) {
  const all = [];
  for (;;) {
    const page = await thread(server, line, contact, { query: `?limit=200&after=${all.at(-1)?.offset ?? 0}` });
    if (page.length === 0) return all;
    all.push(...page);
  }
}

describe("killed", { concurrency: 2, timeout: 120_000 }, () => {
  for (const [what, { plan = [], vars, when, before = () => {}, afterwards, status, told }] of [
    ["while Twilio is asked to take it, and has not", { plan: [hangs(false)], when: ({ api }) => api.posts().length === 1, status: "unknown", told: ["unknown"] }],
    ["while Twilio is asked to take it, and has", { plan: [hangs(true)], when: ({ api }) => api.taken().length === 1, status: "queued", told: ["unknown", "queued"] }],
    ["as Twilio answers", { when: ({ api }) => api.posts()[0]?.endedAt, status: "queued" }],
    ["once it has its name", { when: ({ server, line, contact }) => messageOf(server, line, contact, "m-1", ({ messageSid }) => messageSid), status: "queued", told: ["queued"] }],
    [
      "while Twilio is too busy",
      // Nothing shows that the answer was committed; before that the message would be unknown.
      { plan: [isBusy(2)], when: ({ api }) => api.posts()[0]?.endedAt, before: () => sleep(500), afterwards: ({ api }) => eventually("it is tried again", () => api.taken().length === 1, 20_000), status: "queued" },
    ],
    [
      "as it is called back",
      {
        when: ({ api }) => api.taken().length === 1,
        before: ({ api }) => void api.callback(api.taken()[0], "delivered").catch(() => {}),
        afterwards: async ({ api }) => assert.equal(await api.callback(api.taken()[0], "delivered"), 204),
        status: "delivered",
      },
    ],
    [
      "called back, while the answer is still to come",
      {
        plan: [hangs(true)],
        when: async ({ api }) => api.taken().length === 1 && (await api.callback(api.taken()[0], "sent")) === 204,
        status: "sent",
        told: ["sent"],
      },
    ],
  ]) {
    test(`${what}: the message is ${status}, and the next one goes`, async (t) => {
      const { server, api, again } = await start(t, vars);
      const [line, contact] = [newNumber(), newNumber()];
      const [room, scene] = [`sms:${line}:${contact}`, { server, api, line, contact }];
      api.next(line, ...plan);
      await accepted(server, line, contact, { id: "m-1", body: "one" });
      await eventually("the step", () => when(scene));
      await before(scene);
      await crash(server);
      const next = await again();
      await afterwards?.(scene);
      await messageOf(next, line, contact, "m-1", ({ messageSid, ...data }) => data.status === status && (status === "unknown" || messageSid), 40_000);
      await accepted(next, line, contact, { id: "m-2", body: "two" });
      await messageOf(next, line, contact, "m-2", ({ messageSid }) => messageSid !== undefined);
      await eventually("the line has both", async () => (await history(next, `line:${line}`)).messages.filter(({ event }) => event === "message_updated").length === 2);
      await assertEachOnce(next, api, ["m-1", "m-2"].map((id) => ({ line, contact, room, id })));
      const heard = (await statusesOf(next, room, "m-1")).map((report) => report.status);
      assert.equal(new Set(heard).size, heard.length, `${heard}: none is told twice`);
      if (told) assert.deepEqual(heard, told);
      if (status === "unknown") await eventually("Twilio was asked", () => api.lists(line).length >= 1, 30_000);
    });
  }

  test("before they are posted: they are, in order, once, though nobody asks for it", async (t) => {
    const { server, api, again } = await start(t, { LINE_MESSAGES_PER_SECOND: 2 });
    const [line, contacts] = [newNumber(), [newNumber(), newNumber()]];
    const messages = Array.from({ length: 6 }, (_, n) => ({ line, contact: contacts[n % 2], room: `sms:${line}:${contacts[n % 2]}`, id: `m-${n}` }));
    for (const { contact, id } of messages) await accepted(server, line, contact, { id, body: id });
    await crash(server);
    assert.ok(api.posts(line).length < messages.length, "some were still to be posted");
    const next = await again();
    await eventually("the last is at Twilio", () => api.posts(line).some(({ form }) => form.Body === "m-5"), 30_000);
    const posted = api.posts(line).map(({ form }) => form.Body);
    assert.deepEqual(posted, posted.toSorted(), "in order");
    for (const { contact, id } of messages) await messageOf(next, line, contact, id, ({ status, messageSid }) => messageSid || status === "unknown", 30_000);
    await eventually("what Twilio took has its name", async () => (await Promise.all(messages.map(({ contact, id }) => messageOf(next, line, contact, id)))).filter(({ messageSid }) => messageSid).length === api.taken(line).length, 30_000);
    await assertEachOnce(next, api, messages);
  });

  test("while it is accepted: who asks again with its id has it once", async (t) => {
    const { server, api, again } = await start(t);
    const [line, contact] = [newNumber(), newNumber()];
    const ids = Array.from({ length: 20 }, (_, n) => `m-${n}`);
    const first = ids.map((id) => send(server, line, contact, { id, body: id }).then(({ status }) => status, () => undefined));
    await Promise.race(first);
    await crash(server);
    const answers = await Promise.all(first);
    const next = await again();
    for (const [n, id] of ids.entries()) {
      const { duplicate } = await accepted(next, line, contact, { id, body: id });
      if (answers[n] === 202) assert.equal(duplicate, true, `${id} was accepted`);
    }
    for (const id of ids) await messageOf(next, line, contact, id, ({ status, messageSid }) => messageSid || status === "unknown", 30_000);
    await eventually("what Twilio took has its name", async () => (await wholeThread(next, line, contact)).filter(({ data }) => data.messageSid).length === api.taken(line).length, 30_000);
    await assertEachOnce(next, api, ids.map((id) => ({ line, contact, room: `sms:${line}:${contact}`, id })));
  });
});

// ── Fifty kills ──────────────────────────────────────────────────────────────────────────────────

/** An agent's screen: a stock client on its lines, whose list of conversations is what it read once and was told since. */
class Desk {
  /** By line and contact. */
  items = new Map();
  reads = 0;
  #whole = false;

  constructor(t, server, claims, lines, query) {
    Object.assign(this, { server, claims, lines });
    this.client = io(t, server, claims, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200, query });
    const { socket } = this.client;
    socket.on("connect", () => (socket.recovered && this.#whole) || this.#open(socket.id));
    socket.on("conversation_updated", ({ line, ...item }) => this.#fold(line, item));
    socket.on("conversation_assigned", ({ line, contact, userId }) => {
      const item = this.items.get(`${line} ${contact}`);
      if (item) item.assignedTo = userId;
    });
  }

  /** Joins first and reads then, so that nothing is missed in between; again with the next connection if this one ends. */
  async #open(id) {
    this.#whole = false;
    try {
      for (const line of this.lines) {
        const ack = await this.client.socket.timeout(5_000).emitWithAck("join", { room: `line:${line}` });
        assert.equal(ack.ok, true, JSON.stringify(ack));
        for (const item of await conversations(this.server, line, { as: this.claims })) this.#fold(line, item);
      }
      if (this.client.socket.id === id) [this.#whole, this.reads] = [true, this.reads + 1];
    } catch {
      if (this.client.socket.id === id) this.client.socket.disconnect().connect();
    }
  }

  #fold(line, item) {
    const key = `${line} ${item.contact}`;
    if (!(item.updatedAt < this.items.get(key)?.updatedAt)) this.items.set(key, { ...item });
  }

  list = (line) => [...this.items].filter(([key]) => key.startsWith(`${line} `)).map(([, item]) => item).sort(byContact);
}

const byContact = (a, b) => a.contact.localeCompare(b.contact);
const random = (list) => list[Math.floor(Math.random() * list.length)];
const RANK = { unknown: 0, queued: 1, sending: 2, sent: 3, delivered: 4, undelivered: 4 };

test("through fifty kills at random moments each message is sent at most once or is unknown, each is in the history once, and two agents and an admin see the same list", { timeout: 420_000 }, async (t) => {
  const { server, api, again } = await start(t, { LINE_MESSAGES_PER_SECOND: 100, RATE_EVENTS_PER_SECOND: 100_000, RATE_BURST: 100_000 });
  let current = server;
  const lines = [newNumber(), newNumber()];
  const contacts = Array.from({ length: 3 }, newNumber);
  const conversation = () => [random(lines), random(contacts)];
  for (const line of lines) await assign(server, line, "ann", "bob");
  const agents = [{ sub: "ann" }, { sub: "bob" }];
  // Bob's screen reads its lists anew after each kill; the others recover what they missed.
  const desks = [...agents, ADMIN].map((claims) => new Desk(t, server, claims, lines, claims.sub === "bob" ? { recovery: "0" } : {}));

  // Twilio: mostly well, and it calls back in any order until it is answered.
  const chances = [...Array(14).fill({}), fails(true), fails(false), cuts(true), cuts(false), hangs(true), hangs(false), isBusy()];
  api.otherwise = () => random(chances);
  let over = false;
  t.after(() => (over = true));
  const calls = [];
  const callBack = async (message, status) => {
    for (; !over; await sleep(20 + Math.random() * 200)) {
      const answered = await api.callback(message, status, status === "undelivered" ? { errorCode: 30003 } : {}).catch(() => undefined);
      if (answered !== undefined) return assert.equal(answered, 204);
    }
  };
  api.onTaken = (message) => {
    const statuses = random([[], ["sent", "delivered"], ["delivered", "sent"], ["delivered", "sending", "delivered", "sent"], ["sent", "undelivered"]]);
    calls.push(...statuses.map((status) => callBack(message, status)));
  };

  const messages = [];
  const texts = [];
  let running;
  let count = 0;
  /** Does one after the other, each until it is answered, through as many kills as that takes. */
  const persistent = (next, ask, answered) => {
    let pending;
    return async () => {
      while (running || pending) {
        pending ??= next();
        const answer = await ask(pending).catch(() => undefined);
        if (answer === undefined) return;
        answered(answer, pending);
        pending = undefined;
      }
    };
  };
  const sender = (as) =>
    persistent(
      () => {
        const [line, contact] = conversation();
        return { line, contact, room: `sms:${line}:${contact}`, id: `m-${++count}` };
      },
      ({ line, contact, id }) => send(current, line, contact, { id, body: `text of ${id}` }, { as }),
      ({ status, body }, message) => (assert.equal(status, 202, JSON.stringify(body)), messages.push(message)),
    );
  const customer = persistent(
    () => {
      const [line, contact] = conversation();
      return { line, contact, room: `sms:${line}:${contact}`, MessageSid: messageSid() };
    },
    ({ line, contact, MessageSid }) => inbound(current, { To: line, From: contact, MessageSid, Body: MessageSid }),
    ({ status, body }, text) => (assert.equal(status, 200, JSON.stringify(body)), texts.push(text)),
  );
  /** Reads, assigns: whatever comes of it, everyone is to see it. */
  const clerk = async (as) => {
    while (running) {
      const [line, contact] = conversation();
      const reads = call(current, "POST", `/rooms/${encodeURIComponent(`sms:${line}:${contact}`)}/events`, { as, body: { event: "mark_read", data: {} } });
      const assigns = call(current, "PUT", conversationUrl(line, contact, "/assignee"), { as, body: { userId: random(["ann", "bob", null]) } });
      if ((await Promise.allSettled([reads, assigns])).some(({ status }) => status === "rejected")) return;
      await sleep(Math.random() * 60);
    }
  };
  const people = [...agents.map(sender), customer, () => clerk(agents[0])];
  const traffic = () => people.map((act) => act());

  for (let kill = 1; kill <= 50; kill++) {
    running = true;
    const busy = traffic();
    const enough = messages.length + texts.length + Math.floor(Math.random() * 8);
    await eventually("some are answered", () => messages.length + texts.length >= enough);
    await sleep(Math.random() * 300);
    running = false;
    await crash(current);
    await Promise.all(busy);
    current = await again();
  }
  api.otherwise = () => ({}); // what is still to be sent is sent soon
  await Promise.all(traffic()); // what was not answered is asked for again, as its sender would
  /** Those that are neither at Twilio nor unknown, and those that Twilio has and nobody knows it. */
  let open;
  await eventually("every message is at Twilio, or unknown", async () => {
    const found = await Promise.all(lines.flatMap((line) => contacts.map((contact) => wholeThread(current, line, contact))));
    const sent = found.flat().filter(({ event }) => event === "message_updated").map(({ data }) => data);
    const waiting = sent.filter(({ status, messageSid: sid }) => !sid && status !== "unknown");
    const unnamed = api.messages.filter(({ sid }) => sent.every(({ messageSid: known }) => known !== sid));
    open = { waiting, unnamed: unnamed.map(({ body }) => [body, sent.find((data) => data.body === body)]) };
    return waiting.length + unnamed.length === 0;
  }, 90_000).catch((error) => assert.fail(`${error.message}: ${JSON.stringify(open)}`));
  await Promise.all(calls);

  const rooms = lines.map((line) => `line:${line}`);
  await eventually("the lines have everything", async () => {
    const logs = await Promise.all(rooms.map((room) => history(current, room)));
    return logs.flatMap((log) => log.messages).filter(({ event }) => event === "message_updated" || event === "new_message").length >= messages.length + texts.length;
  }, 30_000);
  const counts = await assertEachOnce(current, api, messages);
  for (const room of new Set(texts.map((text) => text.room))) {
    const wanted = texts.filter((text) => text.room === room).map(({ MessageSid }) => MessageSid).sort();
    const found = (await history(current, room)).messages.filter(({ event }) => event === "new_message");
    assert.deepEqual(found.map(({ data }) => data.messageSid).sort(), wanted, room);
  }
  for (const room of new Set([...messages.map((one) => one.room), ...rooms])) {
    const { messages: log } = await history(current, room);
    assert.deepEqual(log.map(({ offset }) => offset), log.map((_, at) => at + 1), `offsets of ${room}`);
    const reports = log.filter(({ event }) => event === "message_status").map(({ data }) => data);
    for (const [id, told] of Map.groupBy(reports, (report) => report.id)) {
      const ranks = told.map(({ status }) => RANK[status]);
      assert.ok(ranks.every((rank, at) => rank > (ranks[at - 1] ?? -1)), `${id} in ${room}: ${told.map(({ status }) => status)}`);
    }
  }
  for (const line of lines) {
    const expected = (await conversations(current, line)).sort(byContact);
    assert.equal(expected.length, contacts.length);
    for (const { claims, list } of desks) {
      assert.deepEqual((await conversations(current, line, { as: claims })).sort(byContact), expected, `${claims.sub} asks`);
      await becomes(() => list(line), expected, `${claims.sub}'s screen`);
    }
  }
  assert.ok(messages.length >= 50 && texts.length >= 50, `only ${messages.length} were sent and ${texts.length} received`);
  t.diagnostic(`${messages.length} sent (${JSON.stringify(counts)}), ${texts.length} received, ${api.posts().length} POSTs, lists read ${desks.map(({ reads }) => reads)} times`);
});
