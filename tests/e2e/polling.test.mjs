// The guides' polling fallbacks (CONTRACT "HTTP API"): last job status, last analytics event, notifications, chat messages;
// each with an ETag, so that polling what has not changed costs no body.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, crash, emitted, freePort, ioConnected, join, persistDir, refused, serve, SERVICE, subscribe } from "./harness.mjs";

let server;
/** Opens jobs and brands to everyone. */
let open;
const ends = [];
let count = 0;

const fresh = (kind) => `${kind}-${++count}`;
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const get = (to, route, as, headers) => call(to, "GET", route, { as, headers });
const post = (to, route, body, headers) => call(to, "POST", route, { as: SERVICE, body, headers });

/** Posted, and taken. */
async function posted(to, route, body) {
  const answer = await post(to, route, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

const analytics = (progress, eventType = "analytics:sync-progress") => ({
  syncId: "s-1",
  eventType,
  data: { platform: "instagram", progress, recordsProcessed: progress * 10, totalRecords: 1_000, currentMetric: "reach", timestamp: "2026-01-05T10:00:00.000Z" },
});

before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  [server, open] = await Promise.all([serve(lifetime), serve(lifetime, { vars: { OPEN_KINDS: "job,brand" } })]);
});
after(() => Promise.all(ends.map((end) => end())));

describe("the polling fallbacks", { concurrency: 6, timeout: 60_000 }, () => {
  test("each of the five answers with an ETag that a second poll gets 304 for, with no body, until something changes", async () => {
    const [job, brand, sub, chatId] = ["job", "brand", "ann", "chat"].map(fresh);
    const claims = person(sub);
    const say = () => call(server, "POST", `/rooms/chat:${chatId}/events`, { as: claims, body: { event: "send_message", data: { message: "hi" } } });
    const notify = () => posted(server, `/api/users/${sub}/notifications`, { type: "alert", title: "T", message: "M", severity: "info" });
    let progress = 0;
    for (const [route, change] of [
      [`/api/jobs/${job}`, () => posted(server, `/api/jobs/${job}`, { status: "in_progress", progress: ++progress })],
      [`/api/analytics/${brand}`, () => posted(server, `/api/analytics/${brand}`, analytics(++progress))],
      ["/api/notifications?unread=1", notify],
      ["/api/notifications", async () => call(server, "POST", `/api/notifications/${(await notify()).id}/read`, { as: claims })],
      [`/chat/${chatId}/messages`, say],
    ]) {
      await change();
      const first = await get(server, route, claims);
      const etag = first.headers.get("etag");
      assert.equal(first.status, 200, `${route}: ${JSON.stringify(first.body)}`);
      assert.match(etag ?? "", /^(W\/)?"[\x21\x23-\x7e]+"$/, route);
      assert.deepEqual([first.headers.get("cache-control"), first.headers.get("content-type").split(";")[0]], ["private, no-cache", "application/json"], route);
      for (const value of [etag, `"another", ${etag}`, `W/${etag.replace(/^W\//, "")}`]) {
        const again = await get(server, route, claims, { "if-none-match": value });
        assert.deepEqual([again.status, again.body, again.headers.get("etag"), again.headers.get("cache-control")], [304, "", etag, "private, no-cache"], `${route} ${value}`);
      }
      assert.equal((await get(server, route, claims, { "if-none-match": '"another"' })).status, 200, route);
      await change();
      const changed = await get(server, route, claims, { "if-none-match": etag });
      assert.equal(changed.status, 200, route);
      assert.notEqual(changed.headers.get("etag"), etag, route);
      assert.notDeepEqual(changed.body, first.body, route);
    }
    refused(await get(server, `/api/jobs/${job}`, { sub: "eve" }, { "if-none-match": "*" }), 403, "forbidden", undefined, "an ETag is no key");
  });

  test("GET /api/jobs/{id} is the last JobStatusUpdate itself, whoever published it and however; 404 before there is one", async (t) => {
    const job = fresh("job");
    refused(await get(server, `/api/jobs/${job}`, person("ann")), 404, "not_found");
    const update = { jobId: job, status: "in_progress", progress: 50, currentPlatform: "instagram", details: { posts: [1, null] }, timestamp: "2026-01-05T10:00:00.000Z", ours: true };
    assert.deepEqual(await posted(server, `/api/jobs/${job}`, update), { room: `job:${job}`, offset: 1, duplicate: false });
    assert.deepEqual((await get(server, `/api/jobs/${job}`, person("ann"))).body, update);
    await emitted(server, { room: `job:${job}`, event: "job:status-changed", data: { status: "published", progress: 100 } });
    const { timestamp, ...rest } = (await get(server, `/api/jobs/${job}`, person("ann"))).body;
    assert.deepEqual([rest, new Date(timestamp).toISOString()], [{ jobId: job, status: "published", progress: 100 }, timestamp], "jobId and timestamp were filled in");
    await emitted(server, { room: `job:${job}`, event: "note", data: { status: "none of the statuses" } });
    assert.equal((await get(server, `/api/jobs/${job}`, person("ann"))).body.status, "published", "another event is no status");
    const watcher = await subscribe(t, server, "/jobs", job, person("ann"));
    assert.equal((await watcher.event("job:status-changed")).status, "published", "what polls and what subscribes see the same");
    for (const id of ["a b", "x".repeat(129)]) assert.ok([400, 422].includes((await get(server, `/api/jobs/${encodeURIComponent(id)}`, person("ann"))).status), id);
  });

  test("an Idempotency-Key publishes a job's update once, and each status and bound of progress is taken", async (t) => {
    const job = fresh("job");
    const watcher = await subscribe(t, server, "/jobs", job, person("ann"));
    const send = (body, key) => post(server, `/api/jobs/${job}`, body, key && { "idempotency-key": key });
    const first = await send({ status: "pending" }, "k-1");
    assert.deepEqual((await send({ status: "failed" }, "k-1")).body, { ...first.body, duplicate: true });
    for (const status of ["draft", "pending", "approved", "published", "failed", "in_progress"]) assert.equal((await send({ status, progress: 0 })).status, 200, status);
    assert.equal((await send({ status: "published", progress: 100 })).body.offset, 8);
    await watcher.event("job:status-changed", ({ progress }) => progress === 100);
    assert.deepEqual(watcher.all("job:status-changed").map(({ status }) => status), ["pending", "draft", "pending", "approved", "published", "failed", "in_progress", "published"]);
    for (const [body, field] of [[{ status: "done" }, "status"], [{ status: "pending", progress: 101 }, "progress"], [{ status: "pending", jobId: "another" }, "jobId"], [{}, "status"]]) refused(await send(body), 422, "invalid_payload", field, JSON.stringify(body));
    assert.ok([400, 422].includes((await send({ status: "pending" }, "k".repeat(65))).status), "a key of 65 bytes");
    refused(await send("{"), 400, "bad_request");
    refused(await send("[]"), 422, "invalid_payload");
    assert.equal((await get(server, `/api/jobs/${job}`, person("ann"))).body.progress, 100);
  });

  test("GET /api/analytics/{brandId} is the last event itself, of whichever type; 404 before there is one", async (t) => {
    const brand = fresh("brand");
    refused(await get(server, `/api/analytics/${brand}`, person("ann")), 404, "not_found");
    const watcher = await subscribe(t, server, "/analytics", brand, person("ann"));
    for (const [n, eventType] of ["analytics:sync-started", "analytics:sync-progress", "analytics:sync-completed", "analytics:insights-generated", "analytics:forecast-ready"].entries()) {
      const event = analytics(n * 25, eventType);
      const { room, offset, duplicate } = await posted(server, `/api/analytics/${brand}`, event);
      assert.deepEqual([room, offset, duplicate], [`brand:${brand}`, n + 1, false]);
      assert.deepEqual(await watcher.event(eventType), event);
      assert.deepEqual((await get(server, `/api/analytics/${brand}`, person("ann"))).body, event);
    }
    await emitted(server, { room: `brand:${brand}`, event: "analytics:sync-started", data: analytics(0, "analytics:sync-started") });
    assert.equal((await get(server, `/api/analytics/${brand}`, person("ann"))).body.eventType, "analytics:sync-started");
    for (const [body, field] of [[analytics(101), "progress"], [analytics(1, "analytics:party"), "eventType"], [{ ...analytics(1), data: undefined }, "data"], [{ ...analytics(1), syncId: 5 }, "syncId"]]) {
      refused(await post(server, `/api/analytics/${brand}`, body), 422, "invalid_payload", field, JSON.stringify(body));
    }
  });

  test("GET /chat/{chatId}/messages pages back by offset or by a message's id, exclusive; limit is 50 and at most 200; each page is ascending", async (t) => {
    const chatId = fresh("chat");
    const route = `/chat/${chatId}/messages`;
    assert.deepEqual((await get(server, route, person("ann"))).body, { messages: [] }, "a chat that nobody has used");
    const ann = await join(t, server, `chat:${chatId}`, person("ann"));
    // Other events take offsets, too: what is paged is messages.
    for (const n of numbers(1, 210)) {
      const { status } = await call(server, "POST", `/rooms/chat:${chatId}/events`, { as: person("ann"), body: { event: "send_message", data: { message: `m${n}` } } });
      assert.equal(status, 200);
      if (n % 70 === 0) await emitted(server, { room: `chat:${chatId}`, event: "note", data: n });
    }
    await ann.frame(({ data }) => data?.message === "m210");
    const frames = ann.frames.filter(({ event }) => event === "new_message");
    const [span, at] = [(from, to) => frames.slice(from - 1, to).map(({ data }) => data), (n) => frames[n - 1]];
    for (const [query, expected] of [
      ["", span(161, 210)],
      ["?limit=3", span(208, 210)],
      ["?limit=200", span(11, 210)],
      ["?limit=5000", span(11, 210)],
      [`?before=${at(4).offset}`, span(1, 3)],
      [`?before=${at(4).data.id}`, span(1, 3)],
      [`?before=${at(101).data.id}&limit=2`, span(99, 100)],
      [`?before=${at(71).offset}&limit=2`, span(69, 70)],
      [`?before=${at(1).data.id}`, []],
      ["?before=1", []],
      ["?before=99999&limit=1", span(210, 210)],
    ]) {
      const { status, body } = await get(server, route + query, person("ann"));
      assert.equal(status, 200, `${query}: ${JSON.stringify(body)}`);
      assert.deepEqual(body.messages, expected, query);
    }
    for (const key of [({ id }) => id, ({ id }) => frames.find(({ data }) => data.id === id).offset]) {
      const seen = [];
      for (let before = ""; ; before = `&before=${key(seen[0])}`) {
        const { messages } = (await get(server, `${route}?limit=40${before}`, person("ann"))).body;
        if (messages.length === 0) break;
        seen.unshift(...messages);
      }
      assert.deepEqual(seen, span(1, 210), "backwards to the end");
    }
    for (const query of ["?limit=0", "?limit=x", "?before=", "?before=-1", "?before=nonsense"]) assert.ok([400, 422].includes((await get(server, route + query, person("ann"))).status), query);
  });

  test("who may join may poll, by grant, membership or open kind; no token is 401, a stranger 403, publishing takes a service", async () => {
    const [job, brand, chatId] = ["job", "brand", "chat"].map(fresh);
    for (const [route, room, publish] of [
      [`/api/jobs/${job}`, `job:${job}`, { status: "pending" }],
      [`/api/analytics/${brand}`, `brand:${brand}`, analytics(1)],
      [`/chat/${chatId}/messages`, `chat:${chatId}`],
    ]) {
      const member = fresh("member");
      await call(server, "PUT", `/rooms/${encodeURIComponent(room)}/members/${member}`, { as: SERVICE });
      if (publish) for (const to of [server, open]) await posted(to, route, publish);
      for (const [as, status, code] of [
        [undefined, 401, "unauthorized"],
        [{ sub: "eve" }, 403, "forbidden"],
        [{ sub: "eve", rooms: [`${room}x`] }, 403, "forbidden"],
        [{ sub: "eve", rooms_read: [room] }, 200],
        [{ sub: "eve", rooms: [`${room.split(":")[0]}:*`] }, 200],
        [{ sub: member }, 200],
      ]) {
        const answer = await get(server, route, as);
        if (status === 200) assert.equal(answer.status, 200, `${route} ${JSON.stringify(as)} ${JSON.stringify(answer.body)}`);
        else refused(answer, status, code, undefined, `${route} ${JSON.stringify(as)}`);
      }
      if (!publish) continue;
      assert.equal((await get(open, route, { sub: "anybody" })).status, 200, "an open kind");
      for (const as of [{ sub: member }, person("c", { role: "customer" })]) refused(await call(server, "POST", route, { as, body: publish }), 403, "forbidden", undefined, route);
      refused(await call(server, "POST", route, { body: publish }), 401, "unauthorized", undefined, route);
      assert.equal((await call(server, "POST", route, { as: ADMIN, body: publish })).status, 200);
    }
    for (const as of [ADMIN, { sub: "l", role: "lsm" }]) assert.equal((await get(server, `/chat/${chatId}/messages`, as)).status, 200, "an admin reads any chat, and who may join does");
    refused(await call(server, "DELETE", `/api/jobs/${job}`, { as: SERVICE }), 405, "method_not_allowed");
    refused(await call(server, "POST", `/chat/${chatId}/messages`, { as: SERVICE, body: {} }), 405, "method_not_allowed");
  });

  test("after kill -9 the polls answer what they answered, with the same ETag", async (t) => {
    const options = { persist: persistDir(), port: await freePort() };
    const first = await serve(t, options);
    await posted(first, "/api/jobs/1", { status: "in_progress", progress: 40 });
    await posted(first, "/api/analytics/1", analytics(40));
    await posted(first, "/api/users/ann/notifications", { type: "alert", title: "T", message: "M", severity: "info" });
    const ann = await ioConnected(t, first, person("ann"), { namespace: "/chat" });
    await ann.ask("join_chat", { chatId: "1" });
    assert.equal((await ann.ask("send_message", { chatId: "1", message: "hi" })).ok, true);
    const routes = ["/api/jobs/1", "/api/analytics/1", "/api/notifications?unread=1", "/chat/1/messages"];
    const answers = (to) => Promise.all(routes.map(async (route) => {
      const { status, body, headers } = await get(to, route, person("ann"));
      return { route, status, body, etag: headers.get("etag") };
    }));
    const before = await answers(first);
    assert.ok(before.every(({ status }) => status === 200));
    await crash(first);
    assert.deepEqual(await answers(await serve(t, options)), before);
  });
});
