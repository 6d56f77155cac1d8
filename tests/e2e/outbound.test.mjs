// Messages out (CONTRACT "HTTP API"): accepted once, told at once, sent through Twilio in order, at a bounded rate, and never twice.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { SegmentedMessage } from "sms-segments-calculator";
import { cuts, fails, hangs, isBusy, refuses, says } from "../tools/twilio-api.mjs";
import { accepted, ACCOUNT_SID, ADMIN, assign, AUTH_TOKEN, call, caughtUp, conversationUrl, eventually, freePort, heardOf, history, ioConnected, join, messageOf, newNumber, receive, refused, send, serve, serveWithTwilio, statusesOf, thread } from "./harness.mjs";

/** For the tests that need no other configuration; each has lines of its own. */
let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars: { LINE_MESSAGES_PER_SECOND: 1000, LOBBIES: 2 } }));
});
after(() => Promise.all(ends.map((end) => end())));

const told = async (line, contact, id, where = server) => (await statusesOf(where, `sms:${line}:${contact}`, id)).map(({ status }) => status);
const updates = async (room, where = server) => (await history(where, room)).messages.filter(({ event }) => event === "message_updated");
const named = ({ messageSid }) => messageSid !== undefined;
const bodies = (requests) => requests.map(({ form }) => form.Body);

describe("a message is accepted", { concurrency: 6, timeout: 120_000 }, () => {
  test("by its 202 it is in the conversation's, the line's and its people's own rooms; Twilio gets it once, as its API wants it", async () => {
    const [line, contact, body] = [newNumber(), newNumber(), "Grüße & <b>1+1=2</b> 👍\nline two"];
    const [ann, bob] = [`ann${line}`, `bob${line}`];
    await assign(server, line, ann, bob);
    const began = Date.now();
    const answer = await send(server, line, contact, { id: "m 1/ä", body, unknown: ["field"] }, { as: { sub: ann } });
    const answered = Date.now();
    const found = await Promise.all([`sms:${line}:${contact}`, `line:${line}`, `user:${ann}`, `user:${bob}`].map((room) => updates(room)));
    assert.deepEqual([answer.status, answer.body], [202, { id: "m 1/ä", status: "queued", segments: 1 }]);
    const [[message]] = found;
    const { timestamp } = message.data;
    const data = { id: "m 1/ä", phoneNumberId: line, from: line, to: contact, body, media: [], direction: "outbound", status: "queued", segments: 1, channel: "sms", timestamp, userId: ann };
    for (const messages of found) assert.deepEqual(messages.map((one) => one.data), [data]);
    assert.equal(message.sender, ann);
    assert.ok(Date.parse(timestamp) >= began - 1_000 && Date.parse(timestamp) <= answered + 1_000 && timestamp.endsWith("Z"), timestamp);

    const { messageSid } = await messageOf(server, line, contact, "m 1/ä", named);
    const [post, ...more] = api.posts(line);
    assert.deepEqual([more, api.taken(line).map(({ sid }) => sid)], [[], [messageSid]]);
    const { StatusCallback, ...form } = post.form;
    assert.deepEqual(form, { From: line, To: contact, Body: body });
    const callback = new URL(StatusCallback);
    assert.deepEqual([callback.origin + callback.pathname, Object.fromEntries(callback.searchParams)], [`${server.url}/webhooks/twilio/status`, { room: `sms:${line}:${contact}`, id: "m 1/ä" }]);
    assert.deepEqual(await statusesOf(server, `line:${line}`, "m 1/ä"), [{ id: "m 1/ä", messageSid, status: "queued", phoneNumberId: line, to: contact }]);
  });

  test("WhatsApp and pictures go out as such: with the prefix to Twilio and without it to people, each picture by its URL", async () => {
    const number = newNumber();
    const media = ["https://example.com/a.png?x=1&y=2", "https://example.com/b.mp4"];
    for (const [what, { line, contact, path = contact, ...message }, form, data] of [
      ["a picture", { line: number, contact: newNumber(), media }, { MediaUrl: media }, { body: "", media: media.map((url) => ({ url })), segments: 1, channel: "sms" }],
      ["a text and a picture", { line: number, contact: newNumber(), media: [media[0]], body: "look" }, { Body: "look", MediaUrl: [media[0]] }, { body: "look", media: [{ url: media[0] }], segments: 1, channel: "sms" }],
      ["a short code", { line: number, contact: "12345", body: "BALANCE" }, { Body: "BALANCE" }, { body: "BALANCE", media: [], segments: 1, channel: "sms" }],
      ["WhatsApp", { line: `whatsapp:${number}`, contact: `whatsapp:${newNumber()}`, body: "x".repeat(1_000) }, { Body: "x".repeat(1_000) }, { body: "x".repeat(1_000), media: [], segments: 1, channel: "whatsapp" }],
      ["WhatsApp, the contact without its channel", { line: `whatsapp:${number}`, contact: "whatsapp:+15559876543", path: "+15559876543", body: "x" }, { Body: "x" }, { body: "x", media: [], segments: 1, channel: "whatsapp" }],
      ["a WhatsApp user without a number", { line: `whatsapp:${number}`, contact: "whatsapp:US.ABC123XYZ", body: "x" }, { Body: "x" }, { body: "x", media: [], segments: 1, channel: "whatsapp" }],
    ]) {
      await accepted(server, line, path, { id: "m-1", ...message });
      const [{ data: found }] = await updates(`sms:${line}:${contact}`);
      const bare = (address) => address.replace(/^whatsapp:/, "");
      assert.deepEqual(found, { id: "m-1", phoneNumberId: line, from: bare(line), to: bare(contact), direction: "outbound", status: "queued", timestamp: found.timestamp, userId: "root", ...data }, what);
      const post = await eventually(what, () => api.posts(line).find((one) => one.form.To === contact));
      const { StatusCallback, ...rest } = post.form;
      assert.deepEqual(rest, { From: line, To: contact, ...form }, what);
      assert.equal(new URL(StatusCallback).searchParams.get("room"), `sms:${line}:${contact}`, what);
    }
  });

  test("each window of its sender and of the line's assignees hears message_updated exactly once, whatever rooms it is in; strangers hear nothing", async (t) => {
    const [line, contact] = [newNumber(), newNumber()];
    const [conversation, lineRoom] = [`sms:${line}:${contact}`, `line:${line}`];
    const [ann, bob, root] = [{ sub: `ann${line}` }, { sub: `bob${line}` }, { sub: `root${line}`, role: "admin" }];
    await assign(server, line, ann.sub, bob.sub);
    const open = async (claims, rooms = [], options = {}) => {
      const client = await ioConnected(t, server, claims, options);
      for (const room of rooms) assert.equal((await client.ask("join", { room })).ok, true, room);
      return { client, rooms, own: `user:${claims.sub}` };
    };
    const hear = [
      await open(ann),
      await open(ann, [], { transports: ["polling"] }),
      await open(ann, [], { version: "4.4" }),
      await open(ann, [conversation]),
      await open(ann, [conversation, lineRoom]),
      await open(bob),
      await open(bob, [lineRoom]),
      await open(bob, [lineRoom, conversation], { query: { room: lineRoom } }),
      await open(root, [conversation]),
      await open(root, [lineRoom, conversation], { query: { room: conversation } }),
      await open({ sub: `granted${line}`, rooms_read: [lineRoom] }, [lineRoom]),
      { client: await join(t, server, `user:${ann.sub}`, ann), rooms: [], own: `user:${ann.sub}` },
      { client: await join(t, server, lineRoom, bob), rooms: [lineRoom] },
      { client: await join(t, server, conversation, bob), rooms: [conversation] },
    ];
    const deaf = [await open({ sub: `eve${line}`, rooms: [`line:${newNumber()}`] }), await open({ sub: `granted${line}`, rooms: [lineRoom] }), await open({ ...root, sub: `other${line}` })];
    await accepted(server, line, contact, { id: "m-1", body: "one" }, { as: ann });
    await accepted(server, line, contact, { id: "m-1", body: "one" }, { as: ann }); // a duplicate is told nobody
    await accepted(server, line, contact, { id: "m-2", body: "two" }, { as: root });
    await eventually("both are at Twilio", async () => (await statusesOf(server, lineRoom, "m-2")).length === 1);
    const clients = [...hear, ...deaf];
    const rooms = [conversation, lineRoom, ...new Set(clients.map(({ own }) => own).filter(Boolean))];
    const inside = (room) => clients.filter((one) => one.own === room || one.rooms.includes(room)).map(({ client }) => client);
    await caughtUp(server, Object.fromEntries(rooms.map((room) => [room, inside(room)])));
    for (const [at, { client, rooms, own }] of hear.entries()) {
      const what = `client ${at}, of ${own ?? "a plain socket"}, in ${rooms}`;
      assert.deepEqual(heardOf(client, "message_updated").map(({ id }) => id), ["m-1", "m-2"], what);
      const statuses = heardOf(client, "message_status").map(({ id, status }) => `${id} ${status}`);
      assert.deepEqual(statuses, rooms.length > 0 ? ["m-1 queued", "m-2 queued"] : [], `${what}: message_status is for those in the conversation or on the line`);
    }
    for (const { client, own } of deaf) assert.deepEqual([heardOf(client, "message_updated"), heardOf(client, "message_status")], [[], []], own);
  });

  test("an id is accepted once in a conversation: again it is a duplicate, ten at once too; otherwise it is a conflict", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    await assign(server, line, "ann", "bob");
    const ann = { as: { sub: "ann" } };
    const message = { id: "m-1", body: "hello", media: ["https://example.com/a.png"] };
    const answers = await Promise.all(Array.from({ length: 10 }, () => send(server, line, contact, message, ann)));
    assert.deepEqual(answers.map(({ status, body }) => [status, body.id, body.segments]), Array(10).fill([202, "m-1", 1]));
    assert.equal(answers.filter(({ body }) => body.duplicate !== true).length, 1);
    const { sid } = await eventually("Twilio has it", () => api.taken(line)[0]);
    await messageOf(server, line, contact, "m-1", ({ messageSid }) => messageSid === sid);
    assert.equal(await api.callback(api.taken(line)[0], "delivered"), 204);
    assert.deepEqual(await accepted(server, line, contact, message, ann), { id: "m-1", status: "delivered", segments: 1, duplicate: true });
    for (const [what, other, as = ann] of [
      ["another text", { ...message, body: "Hello" }],
      ["no text", { ...message, body: undefined }],
      ["another picture", { ...message, media: ["https://example.com/b.png"] }],
      ["no picture", { ...message, media: undefined }],
      ["another user", message, { as: { sub: "bob" } }],
    ]) {
      refused(await send(server, line, contact, other, as), 409, "conflict", undefined, what);
    }
    const elsewhere = newNumber();
    assert.equal((await accepted(server, line, elsewhere, message, ann)).duplicate, undefined, "another conversation");
    const { id, ...rest } = message;
    const keyed = (key) => send(server, line, contact, rest, { ...ann, headers: { "idempotency-key": key } });
    assert.deepEqual((await keyed(id)).body.duplicate, true, "the id may be the header Idempotency-Key");
    assert.deepEqual([(await keyed("m-2")).body, (await keyed("m-2")).body.duplicate], [{ id: "m-2", status: "queued", segments: 1 }, true]);
    await eventually("three at Twilio", () => api.posts(line).length === 3);
    assert.deepEqual((await updates(`sms:${line}:${contact}`)).map(({ data }) => data.id), ["m-1", "m-2"]);
    assert.deepEqual((await updates(`line:${line}`)).map(({ data }) => [data.id, data.to]), [["m-1", contact], ["m-1", elsewhere], ["m-2", contact]]);
    assert.deepEqual(api.posts(line).map(({ form }) => form.To), [contact, elsewhere, contact]);
  });

  test("segments are what npm sms-segments-calculator counts, for a table of texts and for random ones", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    const table = [
      ["x".repeat(160), 1],
      ["x".repeat(161), 2],
      ["x".repeat(306), 2],
      ["x".repeat(307), 3],
      ["€".repeat(80), 1],
      ["€".repeat(81), 2],
      ["[]{}^~|\\".repeat(10), 1],
      [`${"x".repeat(152)}€${"x".repeat(152)}`, 3],
      ["ç", 1],
      ["ç".repeat(70), 1],
      ["ç".repeat(71), 2],
      ["àèéùìòÇØøÅåÆæßÉÄÖÑÜ§¿äöñü@£$¥ΔΦΓΛΩΠΨΣΘΞ¤¡", 1],
      ["👍".repeat(35), 1],
      ["👍".repeat(36), 2],
      [`${"x".repeat(66)}👍👍`, 1],
      [`${"é".repeat(133)}ł👍${"x".repeat(70)}`, undefined],
      ["👩‍👩‍👧‍👦".repeat(10), undefined],
      ["‘quotes’ – dashes…", 1],
      ["one\ntwo\r\nthree", 1],
      ["x".repeat(1_600), 11],
      ["👍".repeat(1_600), undefined],
    ];
    // Emoji are whole: of a skin tone or a joiner after no emoji the calculator's Unicode, 10.0, has its own opinion.
    const emoji = ["a", "é", "ł", "👍", "👍🏽", "👩‍👧", "👩‍👩‍👧‍👦", "❤️"];
    const alphabets = ["abc XYZ019@£_\n", "a€[]{}^~|\\", "aéçł—", "日本語テキスト", "e\u0301a\u0308ж", emoji].map((letters) => [...letters]);
    const random = (list) => list[Math.floor(Math.random() * list.length)];
    const made = Array.from({ length: 150 }, () => {
      const [letters, most] = [random(alphabets), random([70, 165, 310, 800])];
      return Array.from({ length: 1 + Math.floor(Math.random() * most) }, () => random(letters)).join("");
    });
    const texts = [...table, ...made.filter((text) => text.trim() && [...text].length <= 1_600).map((text) => [text, undefined])];
    for (const [at, [body, expected]] of texts.entries()) {
      const oracle = new SegmentedMessage(body, "auto").segmentsCount;
      if (expected !== undefined) assert.equal(oracle, expected, `the table's ${JSON.stringify(body.slice(0, 40))}`);
      const { segments } = await accepted(server, line, contact, { id: `m-${at}`, body });
      assert.equal(segments, oracle, JSON.stringify(body));
    }
  });
});

describe("a line sends", { concurrency: 6, timeout: 120_000 }, () => {
  test("what it is given in that order, one at a time, however slow Twilio is and whichever the contact; other lines do not wait", async () => {
    const [line, other, contacts] = [newNumber(), newNumber(), Array.from({ length: 3 }, newNumber)];
    let release;
    api.next(line, { until: new Promise((done) => (release = done)) });
    const expected = Array.from({ length: 12 }, (_, n) => `number ${n}`);
    for (const [n, body] of expected.entries()) await accepted(server, line, contacts[n % 3], { id: `m-${n}`, body });
    await accepted(server, other, contacts[0], { id: "m-1", body: "elsewhere" });
    await eventually("the other line's is taken", () => api.taken(other).length === 1);
    assert.deepEqual(bodies(api.posts(line)), expected.slice(0, 1));
    release();
    await eventually("all are taken", () => api.taken(line).length === expected.length);
    const posts = api.posts(line);
    assert.deepEqual(bodies(posts), expected);
    for (const [n, { at }] of posts.entries()) assert.ok(n === 0 || at >= posts[n - 1].endedAt, `POST ${n} began before the one before it was answered`);
  });

  test("at most LINE_MESSAGES_PER_SECOND messages a second, in order: at five a second ten take 1.8 seconds", async (t) => {
    const slow = await serveWithTwilio(t, { vars: { LINE_MESSAGES_PER_SECOND: 5 } });
    const [line, contact] = [newNumber(), newNumber()];
    const expected = Array.from({ length: 10 }, (_, n) => `number ${n}`);
    for (const body of expected) await accepted(slow.server, line, contact, { id: body, body });
    await eventually("all ten", () => slow.api.taken(line).length === 10, 20_000);
    const posts = slow.api.posts(line);
    assert.deepEqual(bodies(posts), expected);
    assert.ok(posts.at(-1).at - posts[0].at >= 1_700, `within ${posts.at(-1).at - posts[0].at} ms`);
  });

  test("again what Twilio was too busy for, when Twilio says or a second later, then two; those behind it wait, and nobody is told", async () => {
    for (const [retryAfter, waits] of [[undefined, [450, 900]], [2, [1_950, 1_950]]]) {
      const [line, contact] = [newNumber(), newNumber()];
      api.next(line, isBusy(retryAfter), isBusy(retryAfter));
      await accepted(server, line, contact, { id: "m-1", body: "one" });
      await accepted(server, line, contact, { id: "m-2", body: "two" });
      await eventually("both are taken", () => api.taken(line).length === 2, 30_000);
      const posts = api.posts(line);
      assert.deepEqual(bodies(posts), ["one", "one", "one", "two"]);
      for (const [n, wait] of waits.entries()) assert.ok(posts[n + 1].at - posts[n].at >= wait, `Retry-After ${retryAfter}, try ${n + 2}: after ${posts[n + 1].at - posts[n].at} ms`);
      await messageOf(server, line, contact, "m-2", named);
      assert.deepEqual([await told(line, contact, "m-1"), await told(line, contact, "m-2")], [["queued"], ["queued"]]);
    }
  });

  test("nothing again that Twilio refuses: it is failed, with Twilio's code and a sentence, on the line and in the conversation; the next one goes", async () => {
    for (const [code, answer] of [
      ...[21211, 21606, 21608, 21610, 21612, 21614, 63016, 99_999].map((code) => [code, refuses(code)]),
      [20003, refuses(20003, 401)],
      [20404, refuses(20404, 404)],
      [undefined, { take: false, status: 400, text: "<html>" }],
    ]) {
      const [line, contact] = [newNumber(), newNumber()];
      api.next(line, answer);
      await accepted(server, line, contact, { id: "m-1", body: "one" });
      const failed = await messageOf(server, line, contact, "m-1", "failed");
      assert.deepEqual([failed.errorCode, failed.messageSid], [code, undefined], `${code}`);
      assert.match(failed.errorMessage, /^[A-Z'].{10,}/, `${code}`);
      assert.doesNotMatch(failed.errorMessage, /https?:|undefined|null|\{/, `${code}`);
      for (const room of [`line:${line}`, `sms:${line}:${contact}`]) {
        const { errorMessage } = failed;
        const { errorCode, ...rest } = (await statusesOf(server, room, "m-1"))[0];
        assert.deepEqual([errorCode, rest], [code, { id: "m-1", status: "failed", errorMessage, phoneNumberId: line, to: contact }], `${code}`);
      }
      const another = newNumber();
      await accepted(server, line, another, { id: "m-2", body: "two" });
      await eventually(`${code}: the next is taken`, () => api.taken(line).length === 1);
      assert.deepEqual(bodies(api.posts(line)), ["one", "two"], `${code}`);
    }
  });

  describe("nothing again that Twilio may have", { concurrency: 12 }, () => {
    for (const [what, answer] of [
      ["a 500 before it was taken", fails(false)],
      ["a 500 after it was taken", fails(true)],
      ["a proxy's 503, before", { take: false, status: 503, text: "<html>" }],
      ["a proxy's 502, after", { status: 502, text: "<html>" }],
      ["no answer, before", hangs(false)],
      ["no answer, after", hangs(true)],
      ["a connection that ends, before", cuts(false)],
      ["a connection that ends, after", cuts(true)],
      ["a 201 without a sid", says("{}")],
      ["a 201 that is no JSON", says("<html>")],
      ["a 201 with a sid that is none", says('{"sid":"SM1","status":"queued"}')],
    ]) {
      test(`${what}: the message is unknown, is never posted again, and is settled if Twilio, when asked, has it; the next one goes`, async () => {
        const [line, contact] = [newNumber(), newNumber()];
        api.next(line, answer);
        await accepted(server, line, contact, { id: "m-1", body: "the one" });
        await accepted(server, line, contact, { id: "m-2", body: "the next" });
        await eventually("it is unknown", async () => (await told(line, contact, "m-1"))[0] === "unknown", 20_000);
        await eventually("the next is taken", () => api.taken(line).some(({ body }) => body === "the next"));
        if (answer.take === false) {
          await eventually("Twilio was asked twice", () => api.lists(line).length >= 2, 30_000);
          assert.equal((await messageOf(server, line, contact, "m-1")).status, "unknown");
          assert.deepEqual(await told(line, contact, "m-1"), ["unknown"]);
        } else {
          const settled = await messageOf(server, line, contact, "m-1", "queued", 30_000);
          assert.equal(settled.messageSid, api.taken(line)[0].sid);
          assert.deepEqual(await told(line, contact, "m-1"), ["unknown", "queued"]);
        }
        for (const { query } of api.lists(line)) assert.deepEqual(query, { To: contact, From: line, PageSize: "50" });
        assert.deepEqual(bodies(api.posts(line)), ["the one", "the next"]);
      });
    }

    test("a Twilio that cannot be reached: unknown, too", async (t) => {
      const alone = await serve(t, { vars: { TWILIO_API_BASE: `http://127.0.0.1:${await freePort()}` } });
      const [line, contact] = [newNumber(), newNumber()];
      await accepted(alone, line, contact, { id: "m-1", body: "one" });
      await messageOf(alone, line, contact, "m-1", "unknown", 20_000);
    });

    test("a redirect: unknown, and nobody else is shown the message or the credentials", async (t) => {
      const inside = createServer((request, response) => inside.requests.push(request.url) && response.end("{}")).listen(0, "127.0.0.1");
      inside.requests = [];
      await once(inside, "listening");
      t.after(() => inside.close());
      for (const status of [302, 307, 308]) {
        const [line, contact] = [newNumber(), newNumber()];
        api.next(line, { take: false, status, text: "", headers: { location: `http://127.0.0.1:${inside.address().port}/` } });
        await accepted(server, line, contact, { id: "m-1", body: "one" });
        await messageOf(server, line, contact, "m-1", "unknown", 20_000);
      }
      assert.deepEqual(inside.requests, []);
    });

    test("asked, Twilio's list settles only what is surely it: not another's, an older one, one to us, one with a picture more, another text", async () => {
      const [line, contact] = [newNumber(), newNumber()];
      const date = new Date(Date.now() - 7_200_000).toUTCString().replace("GMT", "+0000");
      const like = { from: line, to: contact, body: "the same" };
      api.add({ ...like, date_created: date, date_updated: date });
      api.add({ ...like, direction: "inbound" });
      api.add({ ...like, media: ["https://example.com/a.png"] });
      api.add({ ...like, body: "the Same" });
      await accepted(server, line, contact, { id: "m-1", body: "the same" });
      await messageOf(server, line, contact, "m-1", named);
      api.next(line, cuts(false));
      await accepted(server, line, contact, { id: "m-2", body: "the same" });
      await messageOf(server, line, contact, "m-2", "unknown");
      await eventually("Twilio was asked twice", () => api.lists(line).length >= 2, 30_000);
      const { status, messageSid } = await messageOf(server, line, contact, "m-2");
      assert.deepEqual([status, messageSid], ["unknown", undefined]);
    });

    test("two of the same text that are both unknown are settled with a name each", async () => {
      const [line, contact] = [newNumber(), newNumber()];
      api.next(line, cuts(true), cuts(true));
      for (const id of ["m-1", "m-2"]) await accepted(server, line, contact, { id, body: "the same" });
      const found = [];
      for (const id of ["m-1", "m-2"]) found.push((await messageOf(server, line, contact, id, "queued", 30_000)).messageSid);
      assert.deepEqual(found.toSorted(), api.taken(line).map(({ sid }) => sid).sort());
    });

    test("a list that Twilio cannot give settles nothing and is asked for again", async () => {
      const [line, contact] = [newNumber(), newNumber()];
      api.next(line, cuts(true));
      api.nextList(line, fails());
      await accepted(server, line, contact, { id: "m-1", body: "one" });
      // It is `queued` from the start, too.
      await eventually("Twilio is asked again", async () => api.lists(line).length >= 2, 30_000);
      await messageOf(server, line, contact, "m-1", "queued", 30_000);
      assert.equal(api.posts(line).length, 1);
    });
  });
});

// ── Bad input ────────────────────────────────────────────────────────────────────────────────────

const picture = "https://example.com/a.png";
const message = (fields) => ({ id: "m-1", body: "hello", ...fields });
const INSIDE = [
  ...["http://localhost/a", "http://LOCALHOST:8080/a", "http://a.localhost/a", "https://printer.local/a", "https://vault.internal/a", "https://intranet/a", "https://localhost./a"],
  ...["http://127.0.0.1/a", "http://127.1/a", "http://2130706433/a", "http://0x7f.1/a", "http://0/a", "http://10.1.2.3/a", "http://172.16.0.1/a", "http://172.31.255.255/a"],
  ...["http://192.168.1.1/a", "http://169.254.169.254/latest/meta-data", "http://100.64.0.1/a", "http://224.0.0.1/a", "http://255.255.255.255/a"],
  ...["http://[::1]/a", "http://[::]/a", "http://[fe80::1]/a", "http://[fd00::1]/a", "http://[ff02::1]/a", "http://[::ffff:127.0.0.1]/a", "http://[::ffff:10.0.0.1]/a"],
];
const NO_URL = ["", "a.png", "/a.png", "//example.com/a.png", "ftp://example.com/a", "file:///etc/passwd", "javascript:alert(1)", "data:image/png;base64,AA==", "https://", "https://user@example.com/a", "https://user:secret@example.com/a"];

/** What is wrong, the body, and the field that the 422 names. */
const WRONG = [
  ["nothing to say", message({ body: undefined }), "body"],
  ["an empty text", message({ body: "" }), "body"],
  ["only white space", message({ body: " \n\t " }), "body"],
  ["only white space and no picture", message({ body: " ", media: [] }), "body"],
  ["a text that is none", message({ body: 5 }), "body"],
  ["1,601 characters", message({ body: "x".repeat(1_601) }), "body"],
  ["1,601 emoji", message({ body: "👍".repeat(1_601) }), "body"],
  ["no id", message({ id: undefined }), "id"],
  ["an empty id", message({ id: "" }), "id"],
  ["an id that is no text", message({ id: 7 }), "id"],
  ["an id of 65 bytes", message({ id: `${"x".repeat(63)}é` }), "id"],
  ["pictures that are no list", message({ media: picture }), "media"],
  ["a picture that is no text", message({ media: [{ url: picture }] }), "media"],
  ["11 pictures", message({ media: Array(11).fill(picture) }), "media"],
  ...NO_URL.map((url) => [`the picture ${url}`, message({ media: [picture, url] }), "media"]),
  ...INSIDE.map((url) => [`the picture ${url}`, message({ media: [url] }), "media"]),
];

describe("a bad message", { concurrency: 6, timeout: 60_000 }, () => {
  test("is a 422 that names its field, and the best of the good ones is accepted", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    for (const [what, body, field] of WRONG) refused(await send(server, line, contact, body), 422, "invalid_payload", field, what);
    assert.deepEqual([(await history(server, `sms:${line}:${contact}`)).messages, (await history(server, `line:${line}`)).messages, api.posts(line)], [[], [], []]);
    for (const [what, body] of [
      ["1,600 characters", { body: "x".repeat(1_600) }],
      ["1,600 emoji", { body: "👍".repeat(1_600) }],
      ["10 pictures", { media: Array(10).fill(picture) }],
      ["pictures at a public address", { media: ["http://93.184.215.14/a", "http://[2606:4700::1111]/a", "https://example.com:8443/a?b#c"] }],
      ["white space with a picture", { body: " ", media: [picture] }],
    ]) {
      await accepted(server, line, contact, { id: what, ...body });
    }
    await accepted(server, line, contact, message({ id: `${"x".repeat(62)}é` }));
    await eventually("they are at Twilio", () => api.taken(line).length === 6);
  });

  test("is refused by its own code: what is no JSON, a form, another shape, no token, a reader, a stranger, another line's agent, another method", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    await assign(server, line, "ann");
    const ann = { as: { sub: "ann" } };
    const path = conversationUrl(line, contact, "/messages");
    const form = { headers: { "content-type": "application/x-www-form-urlencoded" }, ...ann };
    for (const [what, answer, status, code] of [
      ["no JSON", await send(server, line, contact, "{", ann), 400, "bad_request"],
      ["a form", await send(server, line, contact, "id=m-1&body=hello", form), 415, "unsupported_media_type"],
      ["an array", await send(server, line, contact, [message()], ann), 422, "invalid_payload"],
      ["no token", await call(server, "POST", path, { body: message() }), 401, "unauthorized"],
      ["who may only read", await send(server, line, contact, message(), { as: { sub: "eve", rooms_read: [`line:${line}`, `sms:${line}:*`] } }), 403, "forbidden"],
      ["a stranger", await send(server, line, contact, message(), { as: { sub: "eve" } }), 403, "forbidden"],
      ["another line's agent", await send(server, newNumber(), contact, message(), ann), 403, "forbidden"],
      ["the same number's WhatsApp", await send(server, `whatsapp:${line}`, contact, message(), ann), 403, "forbidden"],
      ["another method", await call(server, "DELETE", path, ann), 405, "method_not_allowed"],
      ["another path", await call(server, "GET", conversationUrl(line, contact, "/pictures"), ann), 404, "not_found"],
    ]) {
      refused(answer, status, code, undefined, what);
    }
    assert.deepEqual([(await history(server, `sms:${line}:${contact}`)).messages, api.posts(line)], [[], []]);
    await accepted(server, line, contact, message({ id: "granted" }), { as: { sub: "gus", rooms: [`line:${line}`] } });
  });

  test("a contact or a line that is no address is a 400, one of another channel a 422", async () => {
    const [line, whatsapp] = [newNumber(), `whatsapp:${newNumber()}`];
    const none = ["+", "+0155512345", "+1555abc", "15550100001", "+1234567890123456", "12", "123456789", "ACME", "hello world", "a\u0000b", "x".repeat(61), "+1555 0100", "＋15550100001"];
    for (const contact of none) refused(await send(server, line, contact, message()), 400, "bad_request", undefined, `SMS to ${contact}`);
    for (const contact of ["12345", "whatsapp:", "whatsapp:12345", "whatsapp:us.abc", "whatsapp:+0155512345"]) refused(await send(server, whatsapp, contact, message()), 400, "bad_request", undefined, `WhatsApp to ${contact}`);
    for (const bad of [" ", "a\u0007b", "x".repeat(61)]) refused(await send(server, bad, newNumber(), message()), 400, "bad_request", undefined, `from ${bad}`);
    refused(await send(server, line, `whatsapp:${newNumber()}`, message()), 422, "invalid_payload", undefined, "WhatsApp from an SMS line");
    refused(await send(server, whatsapp, `messenger:${newNumber()}`, message()), 422, "invalid_payload", undefined, "Messenger from a WhatsApp line");
  });

  test("control characters are dropped from a text, but for its lines and tabs", async () => {
    const [line, contact] = [newNumber(), newNumber()];
    await accepted(server, line, contact, { id: "m-1", body: "a\u0000b\u0007c\td\r\ne\u001bf" });
    const post = await eventually("it is at Twilio", () => api.posts(line)[0]);
    assert.deepEqual([post.form.Body, (await messageOf(server, line, contact, "m-1")).body], ["abc\td\r\nef", "abc\td\r\nef"]);
    refused(await send(server, line, contact, { id: "m-2", body: "\u0000\u0007" }), 422, "invalid_payload", "body");
  });
});

describe("the configuration", { concurrency: 3, timeout: 60_000 }, () => {
  test("without Twilio's account or token nothing is accepted, 503, and the rest works", async (t) => {
    for (const name of ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]) {
      const bare = await serve(t, { vars: { [name]: undefined } });
      const [line, contact] = [newNumber(), newNumber()];
      refused(await send(bare, line, contact, message()), 503, "not_configured", undefined, name);
      assert.deepEqual(await thread(bare, line, contact), []);
    }
  });

  test("Twilio calls back at PUBLIC_BASE_URL", async (t) => {
    const behind = await serveWithTwilio(t, { vars: { PUBLIC_BASE_URL: "https://hooks.dialtone.example/" } });
    const [line, contact] = [newNumber(), newNumber()];
    await accepted(behind.server, line, contact, message());
    const { callback } = await eventually("it is at Twilio", () => behind.api.taken(line)[0]);
    assert.equal(new URL(callback).origin + new URL(callback).pathname, "https://hooks.dialtone.example/webhooks/twilio/status");
    assert.equal(await behind.api.callback(behind.api.taken(line)[0], "delivered", { via: behind.server.url }), 204);
    await messageOf(behind.server, line, contact, "m-1", "delivered");
  });

  test("a bad LINE_MESSAGES_PER_SECOND or TWILIO_API_BASE is a 503 that names it and not its value", async (t) => {
    for (const [name, value] of [["LINE_MESSAGES_PER_SECOND", "0"], ["LINE_MESSAGES_PER_SECOND", "1001"], ["LINE_MESSAGES_PER_SECOND", "often"], ["TWILIO_API_BASE", "ftp://twilio.example"], ["TWILIO_API_BASE", "nonsense"]]) {
      const bad = await serve(t, { vars: { [name]: value } });
      const { status, body } = await call(bad, "GET", "/health");
      assert.deepEqual([status, JSON.stringify(body).includes(name)], [503, true], `${name}=${value}`);
      if (value.length > 4) assert.ok(!JSON.stringify(body).includes(value), `${name}=${value}`);
    }
  });

  test("no log says a text, a number, the token or what is derived from it", async (t) => {
    const quiet = await serveWithTwilio(t, {});
    const [line, contact, text] = [newNumber(), newNumber(), "the-words-of-an-agent"];
    quiet.api.next(line, fails(false), refuses(20003, 401), refuses(21211), {});
    for (const id of ["m-1", "m-2", "m-3", "m-4"]) await accepted(quiet.server, line, contact, { id, body: `${text} ${id}`, media: ["https://example.com/a-secret-picture.png"] });
    const { sid } = await eventually("the last is taken", () => quiet.api.taken(line)[0]);
    await receive(quiet.server, line, contact, "the-words-of-a-customer");
    await quiet.api.callback(quiet.api.messages[0], "failed", { errorCode: 30003 });
    await quiet.api.callback(quiet.api.messages[0], "sent", { authToken: "guessed" });
    refused(await send(quiet.server, line, contact, { id: "m-5", body: text.repeat(100) }), 422, "invalid_payload", "body");
    await messageOf(quiet.server, line, contact, "m-4", "failed");
    await eventually("the log says something", () => quiet.server.logs.join("").length > 0);
    const logs = quiet.server.logs.join("");
    const basic = Buffer.from(`${ACCOUNT_SID}:${AUTH_TOKEN}`).toString("base64");
    for (const secret of [text, "the-words", "a-secret-picture", contact, AUTH_TOKEN, basic]) assert.ok(!logs.includes(secret), `the log says ${secret}:\n${logs.slice(0, 2_000)}`);
    assert.ok(sid);
  });
});
