// The guide job-notifications: its three hooks and its direct use of the client, rewritten in small with its own options, and
// its server's broadcast functions, each one HTTP call now. What it promises: isolated namespaces, reconnection, the polling
// fallback, several updates in one message, several servers without Redis.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { becomes, call, crash, cutWhile, emitted, eventually, freePort, persistDir, serve, SERVICE, SocketIo, token } from "./harness.mjs";

const CORS_ORIGIN = "http://localhost:5173";

/** Two lobbies: the guide's "multiple server instances". */
let server;
const ends = [];
let count = 0;

const newId = (what) => `${what}-${++count}`;
const person = (sub) => ({ sub, rooms: ["job:*", "brand:*"] });

// ── The guide's server ───────────────────────────────────────────────────────────────────────────

const posted = async (to, route, body) => {
  const answer = await call(to, "POST", route, { as: SERVICE, body });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
};
const broadcastJobUpdate = (to, jobId, update) => posted(to, `/api/jobs/${jobId}`, update);
const sendNotificationToUser = (to, userId, notification) => posted(to, `/api/users/${userId}/notifications`, notification);
const broadcastAnalytics = (to, brandId, event) => posted(to, `/api/analytics/${brandId}`, event);

const jobUpdate = (jobId, progress, more) => ({ jobId, status: "in_progress", progress, currentPlatform: "instagram", timestamp: new Date().toISOString(), ...more });
const notification = (more) => ({ id: newId("n"), type: "job-completed", title: "Job Completed", message: "Your analytics sync job has completed", severity: "success", timestamp: new Date().toISOString(), ...more });
const syncEvent = (step, progress) => ({
  syncId: "sync-1",
  eventType: `analytics:${step}`,
  data: { platform: "instagram", progress, recordsProcessed: progress * 10, totalRecords: 1_000, timestamp: new Date().toISOString() },
});

// ── The guide's client ───────────────────────────────────────────────────────────────────────────

/** The guide's options. What it lacks is the token; `forceNew`, because several pages are one process here. */
const connect = (t, { url }, namespace, claims, options) => {
  const socket = io(`${url}${namespace}`, {
    transports: ["websocket", "polling"],
    reconnection: true,
    reconnectionDelay: 1000,
    reconnectionDelayMax: 5000,
    reconnectionAttempts: 5,
    auth: { token: token(claims) },
    forceNew: true,
    ...options,
  });
  t.after(() => socket.disconnect());
  return socket;
};

/**
 * The guide's hook pattern: subscribes whenever it connects, and polls `route` while it is not connected. `hook.body` is what a
 * poll that was not a 304 gave.
 */
function useRealtime(t, to, { namespace, subscribe, id, claims, route, fallbackPollingInterval = 100 }, options) {
  const socket = connect(t, to, namespace, claims, options);
  const hook = { socket, page: new SocketIo(socket), connected: false, isPolling: false, error: null, polls: [] };
  let interval;
  let etag;
  const poll = async () => {
    const { status, headers, body } = await call(to, "GET", route, { as: claims, headers: etag ? { "if-none-match": etag } : {} }).catch((error) => ({ error }));
    hook.polls.push(status);
    if (status !== 200) return;
    etag = headers.get("etag");
    hook.onPoll?.(body);
  };
  hook.stop = () => (clearInterval(interval), (hook.isPolling = false));
  t.after(hook.stop);
  socket.on("connect", () => {
    hook.connected = true;
    hook.stop();
    socket.emit(subscribe, id);
  });
  socket.on("disconnect", () => {
    hook.connected = false;
    hook.isPolling = true;
    interval = setInterval(poll, fallbackPollingInterval);
  });
  socket.on("error", (error) => (hook.error = error));
  return hook;
}

function useRealtimeJob(t, to, jobId, claims, options) {
  const hook = useRealtime(t, to, { namespace: "/jobs", subscribe: "subscribe-job", id: jobId, claims, route: `/api/jobs/${jobId}` }, options);
  hook.status = null;
  hook.socket.on("job:status-changed", (data) => (hook.status = data));
  hook.onPoll = (body) => (hook.status = body);
  hook.progress = () => hook.status?.progress;
  return hook;
}

function useRealtimeNotifications(t, to, claims, { maxNotifications = 50, ...options } = {}) {
  const hook = useRealtime(t, to, { namespace: "/notifications", subscribe: "subscribe-user", id: claims.sub, claims, route: "/api/notifications?unread=1" }, options);
  const { socket } = hook;
  hook.notifications = [];
  const add = (one) => {
    if (!hook.notifications.some(({ id }) => id === one.id)) hook.notifications = [one, ...hook.notifications].slice(0, maxNotifications);
  };
  const read = (id) => (hook.notifications = hook.notifications.map((one) => (one.id === id ? { ...one, read: true } : one)));
  socket.on("notification:received", add);
  socket.on("notification:read", ({ id }) => read(id));
  socket.on("notifications:cleared", () => (hook.notifications = []));
  hook.onPoll = ({ notifications }) => notifications.forEach(add);
  hook.markAsRead = (id) => (read(id), socket.emit("mark-read", { id }));
  hook.clearAll = () => ((hook.notifications = []), socket.emit("clear-all"));
  hook.unreadCount = () => hook.notifications.filter((one) => !one.read).length;
  hook.titles = () => hook.notifications.map(({ title }) => title);
  return hook;
}

function useRealtimeAnalytics(t, to, brandId, claims, options) {
  const hook = useRealtime(t, to, { namespace: "/analytics", subscribe: "subscribe-brand", id: brandId, claims, route: `/api/analytics/${brandId}` }, options);
  hook.events = [];
  for (const step of ["sync-started", "sync-progress", "sync-completed", "insights-generated", "forecast-ready"]) hook.socket.on(`analytics:${step}`, (event) => hook.events.push(event));
  hook.onPoll = (event) => hook.events.push(event);
  hook.currentProgress = () => hook.events.at(-1)?.data;
  return hook;
}

const subscribed = async (...hooks) => {
  for (const hook of hooks) await hook.page.event("subscribed");
};

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { ALLOWED_ORIGINS: CORS_ORIGIN, LOBBIES: 2 } });
});
after(() => Promise.all(ends.map((end) => end())));

describe("the guide job-notifications", { concurrency: 6, timeout: 60_000 }, () => {
  test("direct use: subscribe-job, job:status-changed as the server sent it, unsubscribe-job, and nothing more", async (t) => {
    const [jobId, other] = [newId("job"), newId("job")];
    const [one, two] = [connect(t, server, "/jobs", person("ann")), connect(t, server, "/jobs", person("bob"))];
    const [ann, bob] = [new SocketIo(one), new SocketIo(two)];
    for (const socket of [one, two]) socket.emit("subscribe-job", jobId);
    two.emit("subscribe-job", other);
    assert.deepEqual(await ann.event("subscribed"), { jobId });
    await bob.event("subscribed", (data) => data.jobId === other);
    const update = jobUpdate(jobId, 50);
    await broadcastJobUpdate(server, jobId, update);
    assert.deepEqual(await ann.event("job:status-changed"), update);
    await broadcastJobUpdate(server, other, jobUpdate(other, 1));
    assert.equal((await ann.ask("unsubscribe-job", jobId)).ok, true);
    await broadcastJobUpdate(server, jobId, jobUpdate(jobId, 60));
    await bob.event("job:status-changed", ({ progress }) => progress === 60);
    assert.deepEqual(ann.all("job:status-changed"), [update], "neither another job's nor what came after");
  });

  test("a job's monitor shows its progress to the end without a refresh, in two windows and on another device", async (t) => {
    const jobId = newId("job");
    const monitors = [useRealtimeJob(t, server, jobId, person("ann")), useRealtimeJob(t, server, jobId, person("ann"), { transports: ["polling"] }), useRealtimeJob(t, server, jobId, person("bob"))];
    await subscribed(...monitors);
    for (const progress of [0, 25, 50, 75]) await broadcastJobUpdate(server, jobId, jobUpdate(jobId, progress));
    await broadcastJobUpdate(server, jobId, jobUpdate(jobId, 100, { status: "published", details: { posts: 3 } }));
    for (const monitor of monitors) {
      await becomes(monitor.progress, 100);
      assert.deepEqual([monitor.status.status, monitor.status.details, monitor.connected, monitor.isPolling, monitor.error], ["published", { posts: 3 }, true, false, null]);
      assert.deepEqual(monitor.page.all("job:status-changed").map(({ progress }) => progress), [0, 25, 50, 75, 100]);
    }
  });

  test("a monitor that is opened when the job is under way shows its last status at once", async (t) => {
    const jobId = newId("job");
    for (const progress of [10, 20]) await broadcastJobUpdate(server, jobId, jobUpdate(jobId, progress));
    const monitor = useRealtimeJob(t, server, jobId, person("ann"));
    await becomes(monitor.progress, 20);
    const order = monitor.page.heard.map(({ event }) => event);
    assert.deepEqual(order, ["subscribed", "job:status-changed"]);
  });

  test("while the socket is down the monitor polls, sees the progress, and costs 304s where there is none; when it is back it stops", async (t) => {
    const jobId = newId("job");
    const monitor = useRealtimeJob(t, server, jobId, person("ann"));
    await subscribed(monitor);
    await broadcastJobUpdate(server, jobId, jobUpdate(jobId, 10));
    await becomes(monitor.progress, 10);
    await cutWhile(monitor.page, async () => {
      assert.deepEqual([monitor.connected, monitor.isPolling], [false, true]);
      for (const progress of [20, 30]) {
        await broadcastJobUpdate(server, jobId, jobUpdate(jobId, progress));
        await becomes(monitor.progress, progress);
        await eventually("a poll that finds nothing new", () => monitor.polls.at(-1) === 304);
      }
    });
    assert.deepEqual([monitor.connected, monitor.isPolling], [true, false]);
    await eventually("it has subscribed again", () => monitor.page.all("subscribed").length === 2);
    await broadcastJobUpdate(server, jobId, jobUpdate(jobId, 40));
    await becomes(monitor.progress, 40);
    // What was missed, then the last status once more, for it has subscribed once more; and then what is new.
    assert.deepEqual(monitor.page.all("job:status-changed").map(({ progress }) => progress), [10, 20, 30, 30, 40]);
    assert.deepEqual([...new Set(monitor.polls)].sort(), [200, 304]);
  });

  test("a restart, here kill -9, is a disconnect like any other: the monitor polls, comes back and goes on", async (t) => {
    const options = { persist: persistDir(), port: await freePort() };
    const first = await serve(t, options);
    const monitor = useRealtimeJob(t, first, "1", person("ann"));
    await subscribed(monitor);
    await broadcastJobUpdate(first, "1", jobUpdate("1", 10));
    await becomes(monitor.progress, 10);
    const back = monitor.page.reconnected();
    await crash(first);
    const next = await serve(t, options);
    await broadcastJobUpdate(next, "1", jobUpdate("1", 20));
    await back;
    await becomes(monitor.progress, 20);
    await broadcastJobUpdate(next, "1", jobUpdate("1", 30));
    await becomes(monitor.progress, 30);
  });

  test("the notification center counts, shows newest first, and what is read or cleared on one device is on the other", async (t) => {
    const claims = { sub: newId("ann") };
    const [laptop, phone] = [useRealtimeNotifications(t, server, claims), useRealtimeNotifications(t, server, claims)];
    await subscribed(laptop, phone);
    const sent = ["a", "b", "c"].map((title) => notification({ title }));
    for (const one of sent) await sendNotificationToUser(server, claims.sub, one);
    for (const center of [laptop, phone]) {
      await becomes(center.titles, ["c", "b", "a"]);
      assert.deepEqual(center.page.all("notification:received").map(({ read, ...one }) => one), sent);
      assert.equal(center.unreadCount(), 3);
    }
    laptop.markAsRead(sent[1].id);
    await becomes(phone.unreadCount, 2);
    assert.equal(phone.notifications.find(({ id }) => id === sent[1].id).read, true);
    phone.clearAll();
    await becomes(laptop.titles, []);
    await sendNotificationToUser(server, claims.sub, notification({ title: "new" }));
    for (const center of [laptop, phone]) await becomes(center.titles, ["new"]);
  });

  test("who was away finds the unread notifications, on any device, and who polls meanwhile sees them too, none twice", async (t) => {
    const claims = { sub: newId("ann") };
    for (const title of ["a", "b"]) await sendNotificationToUser(server, claims.sub, notification({ title }));
    const laptop = useRealtimeNotifications(t, server, claims);
    await becomes(laptop.titles, ["b", "a"]);
    await cutWhile(laptop.page, async () => {
      await sendNotificationToUser(server, claims.sub, notification({ title: "c" }));
      await becomes(laptop.titles, ["c", "b", "a"], "by polling");
    });
    laptop.markAsRead(laptop.notifications[0].id);
    await eventually("it is read", async () => (await call(server, "GET", "/api/notifications?unread=1", { as: claims })).body.unread === 2);
    const phone = useRealtimeNotifications(t, server, claims);
    await becomes(phone.titles, ["b", "a"]);
    assert.deepEqual(laptop.titles(), ["c", "b", "a"]);
    assert.equal(laptop.page.all("notification:received").length, 3, "each once, though it subscribed again");
  });

  test("nobody sees another user's notifications or another brand's sync, and is told so", async (t) => {
    const ann = { sub: newId("ann") };
    const spy = connect(t, server, "/notifications", { sub: "eve" });
    const spied = new SocketIo(spy);
    spy.emit("subscribe-user", ann.sub);
    assert.deepEqual([(await spied.event("error")).code, (await spied.event("error")).event], ["forbidden", "subscribe-user"]);
    const poor = useRealtimeAnalytics(t, server, "acme", { sub: "eve" });
    await eventually("an error", () => poor.error?.code === "forbidden");
    await sendNotificationToUser(server, ann.sub, notification());
    assert.deepEqual(spied.all("notification:received"), []);
    await assert.rejects(new SocketIo(connect(t, server, "/jobs", {}, { auth: {} })).connected(), /./, "no token");
  });

  test("the analytics monitor follows a sync from its start to its forecast, by each event's own name", async (t) => {
    const brandId = newId("brand");
    const monitor = useRealtimeAnalytics(t, server, brandId, person("ann"));
    await subscribed(monitor);
    assert.deepEqual(monitor.page.all("subscribed"), [{ brandId }]);
    const sync = [syncEvent("sync-started", 0), syncEvent("sync-progress", 50), syncEvent("sync-completed", 100), syncEvent("insights-generated", 100), syncEvent("forecast-ready", 100)];
    for (const event of sync) await broadcastAnalytics(server, brandId, event);
    await becomes(() => monitor.events, sync);
    assert.deepEqual(monitor.currentProgress(), sync.at(-1).data);
    const late = useRealtimeAnalytics(t, server, brandId, person("bob"));
    await becomes(() => late.events, [sync.at(-1)], "the last event, at once");
    await cutWhile(monitor.page, async () => {
      await broadcastAnalytics(server, brandId, syncEvent("sync-started", 5));
      await becomes(() => monitor.currentProgress().progress, 5, "by polling");
    });
    monitor.socket.emit("unsubscribe-brand", brandId);
  });

  test("one page's three hooks share one connection, and each namespace hears its own alone", async (t) => {
    const [claims, jobId, brandId] = [person(newId("ann")), newId("job"), newId("brand")];
    const shared = { forceNew: false };
    const hooks = [useRealtimeJob(t, server, jobId, claims, shared), useRealtimeNotifications(t, server, claims, shared), useRealtimeAnalytics(t, server, brandId, claims, shared)];
    await subscribed(...hooks);
    assert.equal(new Set(hooks.map(({ socket }) => socket.io)).size, 1);
    await broadcastJobUpdate(server, jobId, jobUpdate(jobId, 5));
    await sendNotificationToUser(server, claims.sub, notification({ title: "one" }));
    await broadcastAnalytics(server, brandId, syncEvent("sync-started", 0));
    const [job, notifications, analytics] = hooks;
    await becomes(job.progress, 5);
    await becomes(notifications.titles, ["one"]);
    await becomes(() => analytics.currentProgress()?.progress, 0);
    assert.deepEqual(hooks.map(({ page }) => page.heard.map(({ event }) => event)), [["subscribed", "job:status-changed"], ["subscribed", "notification:received"], ["subscribed", "analytics:sync-started"]]);
  });

  test("several updates go in one message, an update a second is `latest`, and the whole namespace is one emit", async (t) => {
    const own = await serve(t); // "the whole namespace" is the other tests', too
    const jobs = [newId("job"), newId("job")];
    const monitors = jobs.map((jobId) => useRealtimeJob(t, own, jobId, person("ann")));
    await subscribed(...monitors);
    await emitted(own, jobs.flatMap((jobId) => [10, 20, 30].map((progress) => ({ room: `job:${jobId}`, event: "job:status-changed", data: jobUpdate(jobId, progress), latest: true }))));
    for (const monitor of monitors) await becomes(monitor.progress, 30);
    const toAll = jobUpdate(jobs[0], 99);
    await emitted(own, { namespace: "/jobs", event: "job:status-changed", data: toAll });
    for (const monitor of monitors) await becomes(() => monitor.status, toAll);
  });

  test("the polling endpoints answer the page's origin with CORS headers, and no other", async () => {
    const jobId = newId("job");
    await broadcastJobUpdate(server, jobId, jobUpdate(jobId, 1));
    for (const route of [`/api/jobs/${jobId}`, "/api/notifications?unread=1", `/api/analytics/${jobId}`]) {
      const answer = await call(server, "GET", route, { as: person("ann"), headers: { origin: CORS_ORIGIN } });
      assert.equal(answer.headers.get("access-control-allow-origin"), CORS_ORIGIN, `${answer.status} ${route}`);
      const stranger = await call(server, "GET", route, { as: person("ann"), headers: { origin: "https://evil.example" } });
      assert.deepEqual([stranger.status, stranger.body.code], [403, "origin_not_allowed"]);
      const preflight = { origin: CORS_ORIGIN, "access-control-request-method": "GET", "access-control-request-headers": "authorization" };
      assert.equal((await call(server, "OPTIONS", route, { headers: preflight })).status, 204, route);
    }
  });
});
