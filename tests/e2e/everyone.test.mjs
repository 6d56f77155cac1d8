// What an emit to everyone costs (CONTRACT `POST /api/emit`): a request a lobby, never one a user.

import assert from "node:assert/strict";
import { test } from "node:test";
import { call, emitted, eventually, io, serve, SERVICE } from "./harness.mjs";

const CLIENTS = 1_000;
const LOBBIES = 4;
/** What may happen besides: asking the object that knows of everyone, and the ticket's room. */
const FEW = 4;

/** How many requests from object to object there were so far. */
async function hops(server) {
  const { body } = await call(server, "GET", "/metrics", { as: SERVICE });
  return Number(body.match(/^dialtone_hops_total (\d+)$/m)[1]);
}

test("1,000 stock clients on 4 lobbies: an emit to everyone reaches each exactly once, for about one request a lobby", { timeout: 240_000 }, async (t) => {
  const server = await serve(t, { vars: { LOBBIES } });
  const clients = [];
  while (clients.length < CLIENTS) {
    const batch = Array.from({ length: 50 }, (_, n) => io(t, server, { sub: `u${clients.length + n}` }));
    clients.push(...(await Promise.all(batch.map((client) => client.connected()))));
  }
  const homes = Map.groupBy(clients, ({ home }) => home);
  assert.deepEqual([...homes.keys()].sort(), ["lobby:0", "lobby:1", "lobby:2", "lobby:3"]);
  await eventually("everyone is greeted", () => clients.every((client) => client.all("connected").length === 1), 30_000);

  for (const [what, item, limit] of [
    ["everyone", { event: "ticket:created", data: { id: 7 } }, LOBBIES + FEW],
    ["everyone, a ticket's room too", { rooms: ["*", "ticket:7"], event: "ticket:updated", data: { id: 7, status: "open" } }, LOBBIES + FEW],
    ["everyone, volatile", { event: "news", data: { n: 1 }, volatile: true }, LOBBIES + FEW],
  ]) {
    const before = await hops(server);
    await emitted(server, item);
    await eventually(`${what}: all have it`, () => clients.every((client) => client.all(item.event).length > 0), 60_000);
    const cost = (await hops(server)) - before;
    t.diagnostic(`${what}: ${CLIENTS} clients on ${LOBBIES} lobbies, ${cost} requests between objects`);
    assert.ok(cost >= LOBBIES && cost <= limit, `${what}: ${cost} requests`);
  }

  await emitted(server, { event: "fence" });
  await eventually("all have the fence", () => clients.every((client) => client.all("fence").length > 0), 60_000);
  for (const event of ["ticket:created", "ticket:updated", "news", "fence"]) {
    assert.deepEqual(clients.filter((client) => client.all(event).length !== 1).map(({ home }) => home), [], `${event}: exactly once`);
  }
  assert.deepEqual([...homes].filter(([, list]) => list.some(({ socket }) => !socket.connected)), []);
});
