// Socket.IO's heartbeats and hibernation (DESIGN §5): idle stock clients at the default interval cost an alarm each
// interval for all of them together, and nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMIN, call, ioConnected, serve, sleep } from "./harness.mjs";

const CLIENTS = 50;
const IDLE_MS = 120_000;
const PING_INTERVAL_MS = 25_000;

/** `{constructor, fetch, message, close, error, alarm, timer}`: why code of a Room has run so far. */
async function wakes(server) {
  const { body } = await call(server, "GET", "/metrics", { as: ADMIN });
  return Object.fromEntries([...body.matchAll(/^dialtone_wakes_total\{cause="(\w+)"\} (\d+)$/gm)].map(([, cause, count]) => [cause, Number(count)]));
}

test("fifty idle stock clients over two minutes: our code runs for alarms alone, none disconnects, and then all hear", { timeout: 240_000 }, async (t) => {
  const server = await serve(t);
  const clients = [];
  for (let n = 0; n < CLIENTS; n++) {
    const client = await ioConnected(t, server, { sub: `u${n}`, rooms: ["demo:*"] }, { transports: n % 5 ? ["websocket"] : ["polling", "websocket"] });
    assert.equal((await client.ask("join", "demo:1")).ok, true);
    clients.push(client);
  }
  const gone = [];
  let pings = 0;
  for (const { socket } of clients) {
    socket.on("disconnect", (reason) => gone.push(reason));
    socket.io.on("ping", () => pings++);
  }
  await sleep(15_000); // workerd evicts an idle object after 10 s

  const before = await wakes(server);
  for (let minute = 1; minute <= 2; minute++) {
    await sleep(IDLE_MS / 2);
    t.diagnostic(`${(minute * IDLE_MS) / 2000} s: ${pings} pings, ${gone.length} disconnected`);
  }
  const now = await wakes(server);
  const ran = Object.fromEntries(Object.entries(now).map(([cause, count]) => [cause, count - (before[cause] ?? 0)]).filter(([, count]) => count > 0));
  t.diagnostic(`ran meanwhile: ${JSON.stringify(ran)}`);
  assert.deepEqual(gone, []);
  // Every object inherits a `constructor`.
  const { alarm = 0, constructor: woken = 0, ...rest } = Object.assign(Object.create(null), ran);
  assert.deepEqual(rest, {}, "what ran besides alarms");
  // An alarm for each interval, for the lobby; the room has at most its lease to renew.
  const intervals = IDLE_MS / PING_INTERVAL_MS;
  assert.ok(alarm >= Math.floor(intervals) && alarm <= 3 * Math.ceil(intervals), `${alarm} alarms`);
  assert.ok(woken <= alarm, `${woken} wakes for ${alarm} alarms`);
  assert.ok(pings >= CLIENTS * Math.floor(intervals), `${pings} pings`);

  const posted = await call(server, "POST", "/rooms/demo:1/events", { as: { sub: "backend", rooms: ["*"] }, body: { event: "note", data: "awake" } });
  assert.equal(posted.status, 200);
  for (const client of clients) assert.equal(await client.event("note"), "awake");
  assert.equal((await clients[0].ask("send", { room: "demo:1", event: "note", data: "from a client" })).ok, true);
  for (const client of clients.slice(1)) await client.event("note", (data) => data === "from a client");
  assert.deepEqual(gone, []);
  for (const client of clients) assert.deepEqual(client.all("presence_diff").flatMap(({ leaves }) => leaves), [], "nobody was away");
});
