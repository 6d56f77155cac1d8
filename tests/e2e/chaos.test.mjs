// What goes wrong around the server (DESIGN §8, Chaos): kill -9 under mixed traffic through a bad network, a disk that is full,
// readers that do not read. Nothing that was accepted is lost, nobody hears anything twice, the others go on.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { test } from "node:test";
import { residentBytes } from "../bench/measure.mjs";
import { Proxy, random } from "../soak/proxy.mjs";
import { crowd, Traffic } from "../soak/traffic.mjs";
import { call, closedByServer, crash, eventually, freePort, history, join, persistDir, rawConnect, received, serve, sleep, workerdOf } from "./harness.mjs";

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

const person = (sub) => ({ sub, rooms: ["*"] });

test("a disk that is full: what is not taken is refused, nothing accepted is lost, and with room again the same server goes on", { timeout: 240_000 }, async (t) => {
  const persist = persistDir();
  // A file system of its own, that no one but the server and its children see; it takes no special rights where Linux lets users have namespaces.
  const through = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=24m none "$0" && exec "$@"', persist];
  const { status, stderr } = spawnSync(through[0], [...through.slice(1), "true"], { encoding: "utf8" });
  if (status !== 0) return t.skip(`no small file system can be mounted here: ${stderr}`);
  const server = await serve(t, { persist, through, vars: { LOBBIES: "2" } });
  const fill = `/proc/${server.child.pid}/root${persist}/fill`;
  const traffic = new Traffic(server, { everyMs: 100 });
  t.after(() => traffic.close());
  await traffic.start(crowd(traffic, { count: 10, rooms: 1, line: LINE }));
  const everyone = (more) => traffic.people.every(({ accepted, before = 0 }) => accepted.size >= before + more);
  await eventually("everyone to be heard", () => everyone(2), 60_000);

  const file = openSync(fill, "w");
  for (let size = 1_000_000; size >= 1_000; ) {
    try {
      writeSync(file, Buffer.alloc(size));
    } catch (error) {
      assert.equal(error.code, "ENOSPC");
      size = Math.floor(size / 10);
    }
  }
  closeSync(file);
  const refusals = () => traffic.refusals.get("internal") ?? 0;
  await eventually("refusals", () => refusals() >= 10, 60_000);
  assert.equal((await call(server, "GET", "/health")).status, 200);
  // Log by log it becomes full: at last nothing is accepted any more.
  await eventually("that nobody is heard", async () => {
    const before = traffic.accepted;
    await sleep(2_000);
    return traffic.accepted === before;
  }, 60_000);
  const [refused, accepted] = [refusals(), traffic.accepted];

  rmSync(fill);
  for (const one of traffic.people) one.before = one.accepted.size;
  await eventually("everyone to be heard again", () => everyone(2), 60_000);
  await traffic.finish();
  const { messages, wrong } = await traffic.check();
  t.diagnostic(`${accepted} accepted before and ${traffic.accepted - accepted} after, ${refused} refused meanwhile, ${messages} in the histories, ${traffic.heard} heard`);
  assert.deepEqual(wrong, []);
  assert.equal(server.child.exitCode, null, "the server is the one that was started");
});

test("who does not read is closed with 4008, though it says that it lives; it comes back and misses nothing; the others do not notice", { timeout: 240_000 }, async (t) => {
  const server = await serve(t, { vars: { RATE_EVENTS_PER_SECOND: "100000", RATE_BURST: "1000000" } });
  const room = "demo:slow";
  const [bob, carol, plain] = await Promise.all(["bob", "carol", "plain"].map((sub) => join(t, server, room, person(sub))));
  const stock = await rawConnect(t, server, person("stock"));
  assert.equal((await stock.askRaw("join", room)).ok, true);
  const gone = new Set();
  carol.socket.on("message", (text) => {
    const { event, data } = JSON.parse(text);
    if (event === "presence_diff") for (const { userId } of data.leaves) gone.add(userId);
  });
  const alive = setInterval(() => stock.socket.readyState === 1 && (stock.send("3"), plain.send("ping")), 500);
  t.after(() => clearInterval(alive));
  for (const { socket } of [plain, stock]) socket.pause();

  const before = residentBytes(workerdOf(server)) / 1e6;
  const text = "x".repeat(100_000);
  let sent = 0;
  await eventually("both are out", async () => {
    const { error } = await bob.ask("note", { n: ++sent, text }, `n-${sent}`);
    assert.equal(error, undefined);
    return gone.has("plain") && gone.has("stock");
  }, 120_000);
  await carol.frame(({ data }) => data?.n === sent, 60_000);
  const heard = (client) => client.frames.filter(({ event }) => event === "note").map(({ data }) => data.n);
  const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
  assert.deepEqual(heard(carol), numbers(1, sent));
  const grown = residentBytes(workerdOf(server)) / 1e6 - before;
  t.diagnostic(`${sent} messages of 100 KB to each; workerd grew by ${Math.round(grown)} MB`);
  assert.ok(grown < 250, `${grown} MB`);

  for (const client of [plain, stock]) client.socket.resume();
  assert.equal((await closedByServer(plain, 30_000)).code, 4008);
  assert.equal((await closedByServer(stock, 30_000)).code, 4008);
  const had = heard(plain).length;
  assert.deepEqual(heard(plain), numbers(1, had));
  const { epoch } = plain.frames[0].data;
  const { offset } = plain.frames.findLast(({ event }) => event === "note");
  const back = await join(t, server, room, person("plain"), { query: { since: `${epoch}:${offset}` } });
  assert.equal(back.frames[0].data.recovered, true);
  assert.deepEqual(heard(back), numbers(had + 1, sent));
});
