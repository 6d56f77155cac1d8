// Objects that ask each other often do so on a WebSocket of their own, and only for as long as they do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ADMIN, call, enter, eventually, serve, sleep } from "./harness.mjs";

const ROOM = "demo:1";
const EVENTS = 60;

/** The counters, by name and cause. */
async function counters(server) {
  const { body } = await call(server, "GET", "/metrics", { as: ADMIN });
  return Object.fromEntries([...body.matchAll(/^dialtone_(\w+)_total(?:\{cause="(\w+)"\})? (\d+)$/gm)].map(([, name, cause, value]) => [cause ?? name, Number(value)]));
}

test("who asks a room often asks on a socket, each event once and in order; when it is quiet both objects sleep, and then go on", { timeout: 120_000 }, async (t) => {
  const server = await serve(t);
  const [ann, bob] = [await enter(t, server, ROOM, { sub: "ann", rooms: ["demo:*"] }), await enter(t, server, ROOM, { sub: "bob", rooms: ["demo:*"] })];
  const notes = () => bob.all("note");
  const send = async (n) => assert.equal((await ann.ask("send", { room: ROOM, event: "note", data: n })).ok, true);
  assert.equal((await counters(server)).peer_sockets_opened, 0, "what is rare goes by request");

  for (let n = 0; n < EVENTS; n++) await send(n);
  await eventually("bob has all", () => notes().length >= EVENTS);
  assert.deepEqual(notes(), Array.from({ length: EVENTS }, (_, n) => n));
  const busy = await counters(server);
  assert.equal(busy.peer_sockets_opened, 1, "one from the lobby to the room");
  assert.equal(busy.hop_failures, 0);

  await sleep(3_000); // a second and its like without events: the socket is closed
  const quiet = await counters(server);
  await sleep(12_000); // workerd evicts what has been idle for 10 s
  const asleep = await counters(server);
  for (const cause of ["timer", "message", "fetch", "close", "error"]) assert.equal(asleep[cause], quiet[cause], `${cause} while nothing happens`);

  for (let n = EVENTS; n < EVENTS + 30; n++) await send(n);
  await eventually("bob has all", () => notes().length >= EVENTS + 30);
  assert.deepEqual(notes(), Array.from({ length: EVENTS + 30 }, (_, n) => n));
  const again = await counters(server);
  assert.ok(again.constructor >= asleep.constructor + 2, "lobby and room had slept");
  assert.equal(again.peer_sockets_opened, 2);
});
