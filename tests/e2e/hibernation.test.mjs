// A room with open and idle sockets is put to sleep by workerd after about ten seconds, and nobody notices (DESIGN §3.7).

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ADMIN, call, closedByServer, eventually, join, serve, SERVICE, sleep } from "./harness.mjs";

/** workerd evicts an idle object after 10 s. */
const IDLE_MS = 13_500;

/** `{constructor, fetch, message, close, error, alarm, timer}`: why code of a Room has run so far. */
async function wakes(server) {
  const { body } = await call(server, "GET", "/metrics", { as: ADMIN });
  return Object.fromEntries([...body.matchAll(/^dialtone_wakes_total\{cause="(\w+)"\} (\d+)$/gm)].map(([, cause, count]) => [cause, Number(count)]));
}

/** Lets everybody idle; nothing may run meanwhile. Gives the counters. */
async function hibernate(server) {
  const before = await wakes(server);
  await sleep(IDLE_MS);
  assert.deepEqual(await wakes(server), before, "something ran in an idle room");
  return before;
}

const grant = (sub) => ({ sub, rooms: ["demo:1"] });
const userIds = (users) => users.map(({ userId }) => userId).sort();
const allOpen = (sockets) => sockets.every(({ socket }) => socket.readyState === 1);

describe("a room that hibernates with its sockets open", { concurrency: true }, () => {
  it("wakes once for the next message, which reaches everyone, with offsets, presence and access as they were", async (t) => {
    const server = await serve(t);
    await call(server, "PUT", "/rooms/demo:1/members/guest", { as: SERVICE });
    const sockets = [];
    for (let n = 0; n < 20; n++) sockets.push(await join(t, server, "demo:1", grant(`u${n}`)));
    const guest = await join(t, server, "demo:1", { sub: "guest" });
    const reader = await join(t, server, "demo:1", { sub: "reader", rooms_read: ["demo:1"] });
    const batch = await join(t, server, "demo:1", { ...grant("u0"), name: "Zoë" }, { query: { batch: "1" } });
    const all = [...sockets, guest, reader, batch];
    for (let n = 1; n <= 3; n++) await sockets[0].ask("note", n);
    await Promise.all(all.slice(1).map((client) => client.frame((frame) => frame.offset === 3)));
    const present = async () => (await call(server, "GET", "/rooms/demo:1/presence", { as: grant("u1") })).body.users;
    const before = await present();
    const epoch = (await sockets[0].event("connected")).data.epoch;

    const asleep = await hibernate(server);
    assert.ok(allOpen(all), "the sockets are open");
    const posted = await call(server, "POST", "/rooms/demo:1/events", { as: grant("backend"), body: { event: "note", data: 4 } });
    assert.deepEqual([posted.status, posted.body.offset], [200, 4]);
    for (const client of all) assert.equal((await client.frame((frame) => frame.offset === 4)).data, 4);
    const awake = await wakes(server);
    assert.deepEqual(awake, { ...asleep, constructor: asleep.constructor + 1, fetch: asleep.fetch + 1 });

    assert.deepEqual(await present(), before, "presence, with names and since when");
    assert.equal((await call(server, "GET", "/rooms/demo:1/history", { as: ADMIN })).body.epoch, epoch);
    assert.equal((await reader.ask("note", 5)).error.code, "forbidden", "a reader still only reads");
    assert.equal((await guest.ask("note", 5)).offset, 5, "a member still writes");
    await call(server, "DELETE", "/rooms/demo:1/members/guest", { as: SERVICE });
    assert.equal((await closedByServer(guest)).code, 4503, "the room still knows that the guest was in as a member");
    assert.ok(allOpen([...sockets, reader, batch]));
    assert.equal((await wakes(server)).constructor, awake.constructor);
    // No frame was lost, doubled or made up on the way.
    for (const client of [...sockets.slice(1), reader, batch]) {
      await client.frame((frame) => frame.offset === 5);
      assert.deepEqual(client.frames.filter(({ offset, event }) => offset && event).map(({ offset }) => offset), [1, 2, 3, 4, 5]);
    }
  });

  it("answers pings asleep, and knows who sends when a socket is what wakes it", async (t) => {
    const server = await serve(t);
    const ann = await join(t, server, "demo:1", { ...grant("ann"), name: "Ann" });
    const bob = await join(t, server, "demo:1", grant(7));
    await ann.ask("note", 1, "a-1");

    const asleep = await hibernate(server);
    for (const client of [ann, bob]) {
      client.send("ping");
      await client.frame((frame) => frame === "pong");
    }
    assert.deepEqual(await wakes(server), asleep, "a ping wakes nothing");
    bob.send({ event: "typing", data: { isTyping: true } });
    assert.deepEqual((await ann.event("user_typing")).data, { userId: 7, room: "demo:1", isTyping: true });
    const awake = await wakes(server);
    assert.deepEqual(awake, { ...asleep, constructor: asleep.constructor + 1, message: asleep.message + 1 });
    assert.deepEqual(await bob.ask("note", 2, "a-1"), { ack: "a-1", offset: 2, duplicate: false });
    ann.send({ event: "note", data: 1, id: "a-1" });
    assert.equal((await ann.frame((frame) => frame.ack === "a-1" && frame.duplicate)).offset, 1);
    const heard = await ann.frame((frame) => frame.offset === 2 && frame.event);
    assert.deepEqual([heard.event, heard.data, heard.sender], ["note", 2, 7]);
    // Typing is over by itself, also for someone who began it in the turn of a wake.
    await ann.frame((frame) => frame.event === "user_typing" && frame.data.isTyping === false);
  });

  it("notices that a socket closes, and after the grace tells the others", async (t) => {
    const server = await serve(t);
    const ann = await join(t, server, "demo:1", grant("ann"));
    const bob = await join(t, server, "demo:1", grant("bob"));
    const cid = await join(t, server, "demo:1", grant("cid"));
    const asleep = await hibernate(server);
    const { code } = await bob.close(1000);
    cid.socket.terminate();
    assert.equal(code, 1000, "the close handshake is answered");
    await eventually("a presence_diff", () => {
      const left = ann.frames.filter((frame) => frame.event === "presence_diff").flatMap((frame) => userIds(frame.data.leaves));
      return left.sort().join() === "bob,cid";
    });
    const { body } = await call(server, "GET", "/rooms/demo:1/presence", { as: grant("ann") });
    assert.deepEqual(userIds(body.users), ["ann"]);
    const awake = await wakes(server);
    assert.deepEqual([awake.constructor - asleep.constructor, awake.close - asleep.close], [1, 2]);
  });

  it("closes a socket whose token runs out while it sleeps, and no other", async (t) => {
    const server = await serve(t);
    const exp = Math.ceil(Date.now() / 1000) + 16;
    const ann = await join(t, server, "demo:1", grant("ann"));
    const bob = await join(t, server, "demo:1", { ...grant("bob"), exp });
    const asleep = await hibernate(server);
    assert.equal((await closedByServer(bob, 20_000)).code, 4001);
    assert.ok(Date.now() >= exp * 1000, "not before its time");
    const awake = await wakes(server);
    assert.deepEqual([awake.alarm - asleep.alarm, awake.constructor - asleep.constructor], [1, 1]);
    assert.equal((await ann.ask("note", 1)).offset, 1);
  });
});
