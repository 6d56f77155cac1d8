// What goes wrong around the server (DESIGN §8, Chaos): kill -9 under mixed traffic through a bad network, a disk that is full,
// readers that do not read. Nothing that was accepted is lost, nobody hears anything twice, the others go on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { crowd, Traffic } from "../soak/traffic.mjs";
import { Proxy, random } from "../soak/proxy.mjs";
import { crash, eventually, freePort, history, persistDir, received, serve, sleep } from "./harness.mjs";

const LINE = "+15550100077";

/** Chance, from a seed that is printed, or that `CHAOS_SEED` names. */
function chanceOf(t) {
  const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`CHAOS_SEED=${seed}`);
  return random(seed);
}

test("twenty kills under mixed traffic through a network that cuts: what was accepted is there once, and each hears it once and in order", { timeout: 400_000 }, async (t) => {
  const KILLS = 20;
  const chance = chanceOf(t);
  const [persist, port] = [persistDir(), await freePort()];
  const vars = { LOBBIES: "2", PING_INTERVAL_MS: "10000", PING_TIMEOUT_MS: "4000" };
  const start = () => serve(t, { persist, port, vars });
  let server = await start();
  const proxy = await Proxy.start(port, { chance, meanMs: 6_000 });
  t.after(() => proxy.close());
  const traffic = new Traffic(proxy, { everyMs: 150 });
  t.after(() => traffic.close());
  await traffic.start(crowd(traffic, { count: 30, rooms: 2, line: LINE }));

  for (let kill = 1; kill <= KILLS; kill++) {
    // At any moment of a server that is in use: how long it takes to be so again depends on the machine.
    const enough = traffic.accepted + 1 + chance() * 60;
    await eventually("messages that are accepted", () => traffic.accepted >= enough, 30_000);
    await sleep(chance() * 200);
    await crash(server);
    server = await start();
  }
  proxy.calm();
  await traffic.finish();
  const { messages, wrong } = await traffic.check(server);
  t.diagnostic(`${KILLS} kills, ${JSON.stringify(proxy.done)}: ${traffic.accepted} accepted, ${messages} in the histories, ${traffic.heard} heard; refused meanwhile: ${JSON.stringify([...traffic.refusals])}`);
  assert.deepEqual(wrong, []);
  assert.ok(traffic.accepted > 300, `${traffic.accepted} accepted`);
  for (const person of traffic.people) assert.ok(person.accepted.size > 0, `${person.name} said nothing`);

  // The texts are on the line, too, each once.
  const texts = traffic.people.filter(({ contact }) => contact);
  const sids = (await Promise.all(texts.map(({ room }) => received(server, room)))).flat().map(({ messageSid }) => messageSid);
  const line = await eventually("all texts on the line", async () => {
    const there = await received(server, `line:${LINE}`);
    return there.length >= sids.length && there;
  }, 60_000);
  assert.deepEqual(line.map(({ messageSid }) => messageSid).sort(), sids.sort());
  const { messages: onLine } = await history(server, `line:${LINE}`);
  assert.deepEqual(onLine.map(({ offset }) => offset), onLine.map((_, n) => n + 1));
});
