// The parts of the page that know neither a document nor a network (public/text.js, store.js, outbox.js), in Node.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { SegmentedMessage } from "sms-segments-calculator";
import { createOutbox } from "../../public/outbox.js";
import { createStore, messageOf, placeOf } from "../../public/store.js";
import { countSegments, dayName, duration, linkParts, shortTime, webAddress } from "../../public/text.js";
import { ROOT } from "../tools/tools.mjs";

/** mulberry32: the same each time. */
function random(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const shuffled = (list, pick) => {
  const left = [...list];
  return list.map(() => left.splice(pick(left.length), 1)[0]);
};

describe("text", () => {
  test("segments are what the server counts, for each of its vectors, and what npm sms-segments-calculator does for random texts", () => {
    const vectors = JSON.parse(readFileSync(join(ROOT, "tests/vectors/segments.json"), "utf8"));
    const textOf = (parts) => parts.map(([part, times]) => part.repeat(times)).join("");
    const wrong = vectors.filter(([segments, parts]) => countSegments(textOf(parts)).segments !== segments);
    assert.ok(vectors.length > 900, `${vectors.length} vectors`);
    assert.deepEqual(wrong, []);
    const pick = random(6);
    const alphabets = ["abc XYZ019@£_\n", "a€[]{}^~|\\", "aéçł—", "日本語テキスト", "a👍🏽👩‍👧é", "e\u0301a\u0308"].map((letters) => [...letters]);
    for (let n = 0; n < 500; n++) {
      const letters = alphabets[pick(alphabets.length)];
      const text = Array.from({ length: 1 + pick([70, 165, 310, 800][pick(4)]) }, () => letters[pick(letters.length)]).join("");
      const calculated = new SegmentedMessage(text);
      const { segments, encoding } = countSegments(text);
      assert.deepEqual([segments, encoding], [calculated.segmentsCount, calculated.encodingName], JSON.stringify(text));
    }
  });

  test("only http and https become links, without the sentence's punctuation, and nothing of the text is lost", () => {
    for (const [text, links] of [
      ["no link", []],
      ["https://example.com", ["https://example.com/"]],
      ["See https://example.com/a?b=1&c=2#d, or (http://example.org/x_(y)).", ["https://example.com/a?b=1&c=2#d", "http://example.org/x_(y)"]],
      ["HTTPS://EXAMPLE.COM!", ["https://example.com/"]],
      ["javascript:alert(1)", []],
      ["javascript://example.com/%0aalert(1)", []],
      ["data:text/html,<script>alert(1)</script> vbscript:x file:///etc/passwd ftp://example.com", []],
      ["https://", []],
      ["http://[", []],
      ["xhttps://example.com", []],
      ['<a href="https://example.com">x</a>', ["https://example.com/"]],
      ["https://a.example\nhttps://b.example", ["https://a.example/", "https://b.example/"]],
      ["https://münchen.example/ö", ["https://xn--mnchen-3ya.example/%C3%B6"]],
    ]) {
      const parts = linkParts(text);
      assert.deepEqual(parts.filter(({ href }) => href).map(({ href }) => href), links, text);
      assert.equal(parts.map((part) => part.text).join(""), text, "all of it, in order");
    }
    for (const address of ["javascript:alert(1)", " java\nscript:alert(1)", "\u0001javascript:alert(1)", "blob:https://example.com/x", "//example.com", "", null, undefined, 5, {}]) assert.equal(webAddress(address), null, String(address));
    assert.deepEqual(linkParts(""), []);
    const long = `${"https://a.example/".repeat(5_000)}${"(".repeat(5_000)}${")".repeat(5_000)}`;
    const start = performance.now();
    assert.equal(linkParts(long).map((part) => part.text).join(""), long);
    assert.ok(performance.now() - start < 2_000, "no text makes it slow");
  });

  test("times are said as people do", () => {
    const at = (year, month, day, hour = 12) => new Date(year, month - 1, day, hour).getTime();
    const now = at(2026, 3, 30, 9);
    for (const [then, name] of [[at(2026, 3, 30, 0), "Today"], [at(2026, 3, 29, 23), "Yesterday"], [at(2026, 3, 29, 0), "Yesterday"]]) assert.equal(dayName(then, now), name);
    for (const then of [at(2026, 3, 28), at(2025, 3, 30), at(2026, 3, 31)]) assert.doesNotMatch(dayName(then, now), /day$/, new Date(then).toString());
    assert.match(dayName(at(2025, 3, 30), now), /2025/);
    assert.doesNotMatch(dayName(at(2026, 1, 5), now), /2026/);
    assert.equal(new Set([at(2026, 3, 30, 8), at(2026, 3, 27), at(2026, 1, 5), at(2025, 1, 5)].map((then) => shortTime(then, now))).size, 4);
    assert.match(shortTime(at(2026, 3, 30, 8), now), /8[:.]00/);
    for (const [ms, words] of [[-5, "0 s"], [0, "0 s"], [12_400, "12 s"], [180_000, "3 min"], [7_200_000, "2 h"]]) assert.equal(duration(ms), words);
  });
});

describe("rooms", () => {
  test("a room's name says what it is, and what is no room's is none", () => {
    for (const [room, kind, line, contact] of [
      ["sms:+15550001:+15550002", "sms", "+15550001", "+15550002"],
      ["sms:whatsapp:+15550001:whatsapp:+15550002", "sms", "whatsapp:+15550001", "whatsapp:+15550002"],
      ["line:whatsapp:+15550001", "line", "whatsapp:+15550001"],
      ["chat:42", "chat"],
      ["ticket:7", "ticket"],
      ["job:7", "job"],
      ["demo:lobby", "relay"],
    ]) {
      const place = placeOf(room);
      assert.deepEqual([place.kind, place.line, place.contact, place.room], [kind, line, contact, room]);
    }
    for (const room of ["", "lobby", ":", "a:", ":b", "a b:c", "<img>:x", "A:b", "a:b c"]) assert.equal(placeOf(room), null, room);
  });
});

const ROOM = "sms:+15550001:+15550002";
const PLACE = placeOf(ROOM);
const AT = Date.parse("2026-01-05T10:00:00.000Z");
const time = (n) => new Date(AT + n * 1000).toISOString();
/** The n-th publication of a conversation, from 1: in and out in turn. */
const frameOf = (n, fields) => {
  const isIn = n % 2 === 1;
  const data = isIn ? { phoneNumberId: PLACE.line, from: PLACE.contact, to: PLACE.line, body: `m${n}`, direction: "inbound", messageSid: `SM${n}`, media: [], timestamp: time(n) } : { phoneNumberId: PLACE.line, to: PLACE.contact, body: `m${n}`, direction: "outbound", id: `c-${n}`, userId: "ann", status: "queued", timestamp: time(n) };
  return { event: isIn ? "new_message" : "message_updated", offset: n, at: time(n), sender: isIn ? null : "ann", data: { ...data, ...fields } };
};
const page = (from, to, epoch = "e1") => ({ epoch, offset: to, messages: Array.from({ length: to - from + 1 }, (_, n) => frameOf(from + n)) });
const shown = (store, room = ROOM) => store.thread(room).messages.map(({ body }) => body);
const texts = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => `m${from + n}`);
const newStore = () => {
  const store = createStore(() => {});
  store.set({ me: { id: "ann", name: "Ann" } });
  store.openRoom(ROOM);
  store.thread(ROOM);
  return store;
};

describe("a thread", () => {
  test("whichever way its messages come, twice too, and in whatever order, each is shown once, in the room's order", () => {
    const pick = random(7);
    for (let round = 0; round < 200; round++) {
      const total = 5 + pick(30);
      const middle = 1 + pick(total - 2);
      const store = newStore();
      const deliveries = [];
      for (let n = middle + 1; n <= total; n++) {
        const { event, data } = frameOf(n);
        deliveries.push(() => store.heardSms(event, data), () => store.heardSms(event, data));
      }
      for (let n = 2; n <= total; n += 2) deliveries.push(() => store.heardStatus({ id: `c-${n}`, status: "delivered", phoneNumberId: PLACE.line, to: PLACE.contact }));
      store.putPage(ROOM, page(Math.max(1, middle - 3), middle), "newest");
      for (const deliver of shuffled(deliveries, pick)) deliver();
      store.putPage(ROOM, page(1, Math.max(1, middle - 4)), "older");
      store.putPage(ROOM, page(middle, total), "newer");
      assert.deepEqual(shown(store), texts(1, total), `round ${round}`);
      assert.equal(new Set(store.thread(ROOM).messages.map(({ key }) => key)).size, total);
      assert.deepEqual([store.thread(ROOM).first, store.thread(ROOM).last, store.thread(ROOM).hasMore], [1, total, false]);
    }
  });

  test("one's own message is there once, whatever comes first: the answer, the event, or a page", () => {
    const item = { id: "c-2", room: ROOM, body: "m2", at: AT };
    const { event, data } = frameOf(2);
    const ways = [(store) => store.accepted(item, { status: "queued" }), (store) => store.heardSms(event, data), (store) => store.putPage(ROOM, page(1, 2), "newer")];
    const pick = random(8);
    for (let round = 0; round < 50; round++) {
      const store = newStore();
      store.putPage(ROOM, page(1, 1), "newest");
      for (const way of shuffled([...ways, ...ways], pick)) way(store);
      assert.deepEqual(shown(store), ["m1", "m2"]);
    }
  });

  test("a status never moves back, in whatever order it is told and whatever an older page says", () => {
    const steps = ["queued", "sent", "delivered", "read"];
    const pick = random(9);
    for (let round = 0; round < 100; round++) {
      const store = newStore();
      store.putPage(ROOM, page(1, 2), "newest");
      const told = shuffled(steps, pick);
      let furthest = 0;
      for (const status of told) {
        store.heardStatus({ id: "c-2", status, phoneNumberId: PLACE.line, to: PLACE.contact, messageSid: "SM2" });
        furthest = Math.max(furthest, steps.indexOf(status));
        if (pick(2)) store.putPage(ROOM, page(1, 2), "newer");
        assert.equal(store.thread(ROOM).messages[1].status, steps[furthest], `${told} at ${status}`);
      }
    }
  });

  test("a room that has begun anew, with another epoch, is read anew; an old page of it is not taken for a new one", () => {
    const store = newStore();
    store.putPage(ROOM, page(5, 8), "newest");
    assert.deepEqual([shown(store), store.thread(ROOM).hasMore], [texts(5, 8), true]);
    store.putPage(ROOM, page(1, 4, "e2"), "older");
    assert.deepEqual([shown(store), store.thread(ROOM).loaded], [[], false]);
    store.putPage(ROOM, page(1, 2, "e2"), "newest");
    assert.deepEqual([shown(store), store.thread(ROOM).loaded, store.thread(ROOM).hasMore], [["m1", "m2"], true, false]);
    store.putPage(ROOM, page(9, 9, "e3"), "newer");
    assert.deepEqual(shown(store), []);
  });

  test("what is no message of it, malformed or of another kind, is not shown and breaks nothing", () => {
    const store = newStore();
    for (const frame of [{ event: "new_message", offset: 1, data: null }, { event: "new_message", offset: 2, data: {} }, { event: "message_updated", offset: 3 }, { event: "typing", offset: 4, data: {} }, { event: "new_message", offset: 5, args: [1, 2] }]) {
      store.putPage(ROOM, { epoch: "e1", offset: frame.offset, messages: [{ at: time(1), sender: null, ...frame }] }, "newer");
    }
    for (const data of [null, {}, { phoneNumberId: 5 }, { phoneNumberId: "x y", from: "z" }]) store.heardSms("new_message", data);
    assert.deepEqual(shown(store), []);
    for (const room of ["chat:1", "ticket:1", "demo:1"]) for (const data of [null, undefined, 0, "text", [], {}, { message: 5 }, { author: {} }]) messageOf(placeOf(room), { event: "new_message", offset: 1, at: time(1), data });
  });
});

const conversation = (n, fields) => ({ line: "+15550001", contact: `+1555${1000 + n}`, channel: "sms", lastMessage: { body: `about ${n}`, direction: "inbound", timestamp: time(n), media: 0 }, unread: 0, optedOut: false, assignedTo: null, updatedAt: time(n), ...fields });

describe("the list", () => {
  const withLines = () => {
    const store = newStore();
    store.setLines([{ number: "+15550001", unread: 3 }, { number: "whatsapp:+15550001", unread: 0 }]);
    return store;
  };

  test("is newest first, whatever the order of its pages and events; what is older never replaces what is newer", () => {
    const pick = random(10);
    for (let round = 0; round < 50; round++) {
      const store = withLines();
      const deliveries = Array.from({ length: 20 }, (_, n) => () => store.putConversations("+15550001", [conversation(n)]));
      for (let n = 0; n < 20; n += 3) deliveries.push(() => store.putConversation(conversation(n, { updatedAt: time(100 + n), unread: 1, lastMessage: { ...conversation(n).lastMessage, body: "newer" } })));
      for (const deliver of shuffled(deliveries, pick)) deliver();
      const all = store.listConversations();
      assert.equal(all.length, 20);
      assert.deepEqual(all.map(({ at }) => at), all.map(({ at }) => at).sort((a, b) => b - a));
      assert.deepEqual(all.slice(0, 7).map(({ lastMessage, unread }) => [lastMessage.body, unread]), Array(7).fill(["newer", 1]));
    }
  });

  test("is searched by number, name and last words, all of the words, whatever their case", () => {
    const store = withLines();
    store.putConversations("+15550001", [conversation(1, { profileName: "Zoë Zimmer" }), conversation(2), conversation(3, { contact: "+4930999" })]);
    const found = (search) => (store.set({ search }), store.listConversations().map(({ contact }) => contact).sort());
    assert.deepEqual(found("zimmer"), ["+15551001"]);
    assert.deepEqual(found("ZOË about"), ["+15551001"]);
    assert.deepEqual(found("4930"), ["+4930999"]);
    assert.deepEqual(found("about 2"), ["+15551002"]);
    assert.deepEqual(found("nobody"), []);
    assert.equal(found("  ").length, 3);
  });

  test("counts what is unread: the server's number until all is here, then one's own sum, through reads and updates", () => {
    const store = withLines();
    assert.equal(store.unread("+15550001"), 3);
    store.putConversations("+15550001", [conversation(1, { unread: 2 }), conversation(2, { unread: 1 }), conversation(3)]);
    store.setLine("+15550001", { loaded: true });
    assert.equal(store.unread("+15550001"), 3);
    store.putConversation(conversation(3, { unread: 4, updatedAt: time(50) }));
    assert.equal(store.unread("+15550001"), 7);
    store.read("sms:+15550001:+15551001");
    assert.equal(store.unread(), 5);
    store.setLines([{ number: "whatsapp:+15550001", unread: 0 }]);
    assert.equal(store.unread(), 0, "a line that one is taken off is gone, with its conversations");
    assert.deepEqual(store.listConversations(), []);
  });

  test("of 10,000 conversations is made quickly enough to type in the search field", () => {
    const store = withLines();
    for (let n = 0; n < 10_000; n += 200) store.putConversations("+15550001", Array.from({ length: 200 }, (_, at) => conversation(n + at)));
    const start = performance.now();
    for (const search of ["a", "ab", "abo", "about", "about 9", "about 99"]) {
      store.set({ search });
      assert.ok(store.listConversations().length <= 10_000);
    }
    assert.ok(store.listConversations().length >= 111);
    assert.ok(performance.now() - start < 2_000, "a tenth of it is usual");
  });

  test("of another user shows nothing of the one before", () => {
    const store = withLines();
    store.putConversations("+15550001", [conversation(1)]);
    store.putPage(ROOM, page(1, 3), "newest");
    store.putTicket({ id: 1, title: "x" }, AT);
    store.putNotification({ id: "n", title: "x" });
    store.clear();
    const { me, open, lines, conversations, threads, tickets, jobs, chats, notifications } = store.state;
    assert.deepEqual([me, open, ...[lines, conversations, threads, tickets, jobs, chats].map(({ size }) => size), notifications.length], [null, null, 0, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(store.listConversations(), []);
  });
});

/** A tab's storage, which may be full. */
class Shelf {
  kept = new Map();
  getItem = (key) => this.kept.get(key) ?? null;
  setItem = (key, value) => {
    if (this.isFull) throw new Error("QuotaExceededError");
    this.kept.set(key, String(value));
  };
  removeItem = (key) => this.kept.delete(key);
}

/** An outbox whose tries end as `answers` says, by the text; `tries` are the ids that were tried. */
function outboxOf(answers = () => ({ accepted: true }), { storage = new Shelf(), user = "ann" } = {}) {
  const it = { tries: [], under: new Set(), storage, isUp: true };
  it.outbox = createOutbox({
    deliver: async (item) => {
      assert.ok(!it.under.has(item.room), "a room's messages go one after the other");
      it.under.add(item.room);
      it.tries.push(item.id);
      const answer = await answers(item, it.tries.length);
      it.under.delete(item.room);
      return answer;
    },
    mayDeliver: () => it.isUp,
    changed: () => {},
    storage,
    later: (run) => (it.later = run),
  });
  it.outbox.openFor(user);
  it.write = (id, room = ROOM) => it.outbox.add({ id, room, body: `text of ${id}` });
  return it;
}
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

describe("the outbox", () => {
  test("sends what was written once, in order within a room, without waiting for other rooms", async () => {
    let release;
    const first = new Promise((resolve) => (release = resolve));
    const it = outboxOf(async ({ id }) => (id === "a1" && (await first), { accepted: true }));
    for (const id of ["a1", "a2", "a3"]) it.write(id, "demo:a");
    for (const id of ["b1", "b2"]) it.write(id, "demo:b");
    it.outbox.flush();
    await settled();
    assert.deepEqual(it.tries, ["a1", "b1", "b2"]);
    release();
    await settled();
    assert.deepEqual(it.tries, ["a1", "b1", "b2", "a2", "a3"]);
    assert.deepEqual(it.outbox.items(), []);
    it.outbox.flush();
    await settled();
    assert.equal(it.tries.length, 5);
  });

  test("waits while there is no connection, and tries again under the same id until it is answered", async () => {
    const it = outboxOf((_, tries) => (tries < 3 ? { later: true } : { accepted: true }));
    it.isUp = false;
    it.write("a1");
    it.write("a2");
    await settled();
    assert.deepEqual([it.tries, it.outbox.items().length], [[], 2]);
    it.isUp = true;
    for (let n = 0; n < 4; n++) {
      it.outbox.flush();
      await settled();
    }
    assert.deepEqual(it.tries, ["a1", "a1", "a1", "a2"]);
    const busy = outboxOf((_, tries) => (tries === 1 ? { later: true, afterMs: 100 } : { accepted: true }));
    busy.write("b1");
    await settled();
    busy.later();
    await settled();
    assert.deepEqual([busy.tries, busy.outbox.items()], [["b1", "b1"], []], "who is told to come later does, by itself");
  });

  test("keeps what is refused, with the reason, lets the next go on, and tries it again when told to", async () => {
    const it = outboxOf(({ id }, tries) => (id === "a1" && tries === 1 ? { refused: "They have opted out." } : { accepted: true }));
    it.write("a1");
    it.write("a2");
    await settled();
    assert.deepEqual(it.outbox.items().map(({ id, problem }) => [id, problem]), [["a1", "They have opted out."]]);
    it.outbox.flush();
    await settled();
    assert.deepEqual(it.tries, ["a1", "a2"]);
    it.outbox.retry("a1");
    await settled();
    assert.deepEqual(it.outbox.items(), []);
  });

  test("survives a reload, for its user alone; what is kept that is no message is passed over; a full storage loses nothing in memory", async () => {
    const storage = new Shelf();
    const before = outboxOf(() => ({ later: true }), { storage });
    before.write("a1");
    before.write("a2", "chat:1");
    await settled();
    const other = outboxOf(undefined, { storage, user: "bob" });
    other.outbox.flush();
    await settled();
    assert.deepEqual(other.tries, [], "what Ann wrote is not sent as Bob");
    const again = outboxOf(undefined, { storage });
    again.outbox.flush();
    await settled();
    assert.deepEqual(again.tries, ["a1", "a2"]);
    const third = outboxOf(undefined, { storage });
    assert.deepEqual(third.outbox.items(), [], "once");

    for (const text of ["", "null", "{", "5", '[null, 5, {"id": 1}, {"id": "x"}]', "[[]]"]) {
      const shelf = new Shelf();
      outboxOf(() => ({ later: true }), { storage: shelf }).write("a1");
      for (const key of shelf.kept.keys()) shelf.kept.set(key, text);
      assert.deepEqual(outboxOf(undefined, { storage: shelf }).outbox.items(), [], text);
    }
    const full = new Shelf();
    full.isFull = true;
    const it = outboxOf(undefined, { storage: full });
    it.isUp = false;
    it.write("a1");
    it.isUp = true;
    it.outbox.flush();
    await settled();
    assert.deepEqual(it.tries, ["a1"]);
    for (const text of storage.kept.values()) assert.doesNotMatch(text, /token|eyJ/);
  });
});
