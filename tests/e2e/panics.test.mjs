// What becomes of everything else when code panics: the artefact as it is shipped, but with the cargo feature `panics`,
// which panics where it is asked to (core/src/panics.rs). A panic in WASM ends the instance that all objects share.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { build } from "../tools/build.mjs";
import { call, enter, eventually, ioConnected, join, persistDir, refused, serve, SERVICE, sleep } from "./harness.mjs";

const BUILD_DIR = "build-panics";
const BUILD_MS = 30 * 60_000;
const ANN = { sub: "ann", rooms: ["chat:*", "demo:*"] };
const BOB = { sub: "bob", rooms: ["chat:*", "demo:*"] };
const POISON = "panic in the turn";
const ASKED = "panic in who is asked";

const events = (logs, event) =>
  logs.join("").split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line)).filter((line) => line.event === event);

describe("panics", { timeout: BUILD_MS }, () => {
  before(() => build({ outDir: BUILD_DIR, cargoArgs: ["--features", "panics"], log: console.error }));

  const start = (t, options = {}) => serve(t, { buildDir: BUILD_DIR, ...options });
  const panics = async (server) => Number((await call(server, "GET", "/metrics", { as: SERVICE })).body.match(/dialtone_panics_total (\d+)/)[1]);
  const note = (n) => ({ room: "demo:1", event: "note", data: { n } });

  /** Sockets of every sort, each with what it must go on to do: nobody reconnects. */
  async function everyone(t, server) {
    const plain = { here: await join(t, server, "chat:1", ANN), elsewhere: await join(t, server, "chat:2", BOB) };
    const stock = {
      atHome: await enter(t, server, "demo:1", ANN, { query: { room: "demo:1" } }),
      inLobby: await enter(t, server, "demo:1", BOB),
      inChat: await ioConnected(t, server, BOB, { namespace: "/chat" }),
    };
    assert.equal((await stock.inChat.ask("join_chat", { chatId: "1" })).ok, true);
    const ids = Object.values(stock).map((client) => client.socket.id);
    const gone = [];
    for (const [name, client] of Object.entries(plain)) client.closed.then(() => gone.push(name));
    for (const [name, client] of Object.entries(stock)) client.socket.on("disconnect", () => gone.push(name));
    let n = 0;
    return {
      ...plain,
      ...stock,
      /** All of them still send, and hear each other. */
      async goOn() {
        n++;
        assert.ok((await plain.elsewhere.ask("send_message", { message: `e${n}` })).offset > 0);
        assert.ok((await plain.here.ask("send_message", { message: `p${n}` })).offset > 0);
        await stock.inChat.event("new_message", ({ message }) => message === `p${n}`);
        assert.equal((await stock.inChat.ask("send_message", { chatId: "1", message: `s${n}` })).ok, true);
        await plain.here.frame(({ event, data }) => event === "new_message" && data.message === `s${n}`);
        assert.equal((await stock.atHome.ask("send", note(`h${n}`))).ok, true);
        await stock.inLobby.event("note", (data) => data.n === `h${n}`);
        assert.equal((await stock.inLobby.ask("send", note(`l${n}`))).ok, true);
        await stock.atHome.event("note", (data) => data.n === `l${n}`);
        assert.deepEqual(gone, []);
        assert.deepEqual(Object.values(stock).map((client) => client.socket.id), ids);
      },
      /** What was acknowledged is there, once and in order. */
      async isKept(room, messages) {
        const { body } = await call(server, "GET", `/rooms/${room}/history?limit=1000`, { as: ANN });
        assert.deepEqual(body.messages.map(({ data }) => data.message), messages);
      },
    };
  }

  test("a frame that panics is refused and passed over: nobody is closed, nobody reconnects, in its room and in others", async (t) => {
    const server = await start(t);
    const all = await everyone(t, server);
    await all.goOn();
    const before = await panics(server);

    const refusedFrame = await all.here.ask("send_message", { message: POISON }, "poison");
    assert.equal(refusedFrame.error.code, "internal");
    await all.goOn();
    const ack = await all.inChat.ask("send_message", { chatId: "1", message: POISON });
    assert.deepEqual([ack.ok, ack.error.code], [false, "internal"]);
    await all.goOn();
    all.atHome.socket.emit("typing", { room: "demo:1", isTyping: POISON });
    const error = await all.atHome.event("error");
    assert.deepEqual([error.code, error.event], ["internal", "typing"]);
    await all.goOn();

    assert.equal((await panics(server)) - before, 3);
    assert.deepEqual(events(server.logs, "poisoned").map(({ room }) => room), ["chat:1", all.inChat.home, "demo:1"]);
    assert.equal(events(server.logs, "panic").length, 3);
    assert.ok(events(server.logs, "panic").every(({ at }) => at.startsWith("core/src/panics.rs:")));
    assert.ok(!server.logs.join("").includes(POISON), "what was sent is in no log");
    await all.isKept("chat:1", ["p1", "s1", "p2", "s2", "p3", "s3", "p4", "s4"]);
  });

  test("frames of the same turn are not lost with it: each is taken or refused, in order", async (t) => {
    const server = await start(t);
    const [ann, bob] = [await join(t, server, "chat:1", ANN), await join(t, server, "chat:1", BOB)];
    const messages = Array.from({ length: 60 }, (_, n) => (n % 30 === 7 ? `${n} ${POISON}` : String(n)));
    messages.forEach((message, n) => ann.send({ event: "send_message", data: { message }, id: `m-${n}` }));
    await ann.frame(({ ack }) => ack === "m-59", 30_000);
    const kept = messages.filter((message) => !message.includes(POISON));
    const acks = ann.frames.filter(({ ack }) => ack);
    assert.deepEqual(acks.map(({ ack }) => ack), messages.map((_, n) => `m-${n}`));
    assert.deepEqual(acks.filter(({ error }) => error?.code === "internal").map(({ ack }) => ack), ["m-7", "m-37"]);
    await bob.frame(({ data }) => data?.message === "59");
    const heard = bob.frames.filter(({ event }) => event === "new_message").map(({ data }) => data.message);
    assert.deepEqual(heard, kept);
  });

  test("who panics again and again is closed, as one that may come back; the others stay", async (t) => {
    const server = await start(t);
    const all = await everyone(t, server);
    const eve = await join(t, server, "chat:1", { sub: "eve", rooms: ["chat:1"] });
    for (const id of ["1", "2"]) assert.equal((await eve.ask("send_message", { message: POISON }, id)).error.code, "internal");
    eve.send({ event: "send_message", data: { message: POISON } });
    assert.equal((await eve.closed).code, 4010);
    await all.goOn();
  });

  test("a request that panics, in its object or in the Worker, is a 503, and so are those under way; sockets stay", async (t) => {
    const server = await start(t);
    const all = await everyone(t, server);
    const post = { as: ANN, body: { event: "send_message", data: { message: POISON } } };
    refused(await call(server, "POST", "/rooms/chat:1/events", post), 503, "unavailable");
    await all.goOn();
    refused(await call(server, "GET", "/panic-in-the-worker"), 503, "unavailable");
    await all.goOn();
    const poll = fetch(`${server.url}/socket.io/?EIO=4&transport=polling`).then(async (response) => JSON.parse((await response.text()).slice(1)));
    const { sid } = await poll;
    const waiting = fetch(`${server.url}/socket.io/?EIO=4&transport=polling&sid=${sid}`);
    await sleep(200);
    refused(await call(server, "GET", "/panic-in-the-worker"), 503, "unavailable");
    assert.equal((await waiting).status, 503);
    await all.goOn();
    assert.equal(await panics(server), 3);
  });

  test("a panic when all is committed loses nothing of it: who might have missed a frame comes back for it", async (t) => {
    const server = await start(t);
    const elsewhere = await join(t, server, "chat:2", BOB);
    const ann = await join(t, server, "chat:1", ANN);
    ann.send({ event: "send_message", data: { message: "panic in sending" }, id: "m" });
    assert.equal((await ann.closed).code, 4010);
    const { body } = await call(server, "GET", "/rooms/chat:1/history", { as: ANN });
    assert.deepEqual(body.messages.map(({ data }) => data.message), ["panic in sending"]);
    assert.ok((await elsewhere.ask("send_message", { message: "on" })).offset > 0);
  });

  test("what panics each time that the object is about it holds up that alone, not the object, and is not tried at once for ever", async (t) => {
    const server = await start(t);
    const all = await everyone(t, server);
    // A chat's members who are away are notified: an entry for their rooms.
    assert.equal((await call(server, "PUT", "/rooms/chat:1/members/cid", { as: SERVICE })).status, 200);
    await all.here.ask("send_message", { message: "panic in the outbox" });
    await eventually("its own turns panicked", async () => (await panics(server)) >= 2, 20_000);
    await all.goOn();
    const so_far = await panics(server);
    await sleep(3_000);
    await all.goOn();
    assert.ok((await panics(server)) - so_far <= 1, "it goes on panicking");
  });

  /** A stock client as it is: it comes back. */
  const returning = (t, server, claims) => enter(t, server, "demo:1", claims, { reconnection: true, reconnectionDelay: 100 });

  test("what a lobby's socket wants of a room that panics at it ends that socket, as one that may come back, and no other", async (t) => {
    const server = await start(t);
    const all = await everyone(t, server);
    const eve = await returning(t, server, { sub: "eve", rooms: ["demo:1"] });
    const left = new Promise((resolve) => eve.socket.once("disconnect", resolve));
    eve.socket.emit("send", note(ASKED), () => assert.fail("it has an answer"));
    assert.equal(await left, "transport close");
    await eventually("it comes back", () => eve.socket.connected, 10_000);
    await all.goOn();
    assert.equal(await panics(server), 1);
  });

  test("who waits for a room's answer while others panic gets it, or comes back; nobody waits for ever", async (t) => {
    const server = await start(t);
    const clients = [await returning(t, server, ANN), await returning(t, server, BOB), await returning(t, server, { ...ANN, sub: "cid" })];
    const [acked, unanswered] = [[], []];
    let isOver = false;
    const going = clients.map(async ({ socket }, k) => {
      for (let n = 0; !isOver; n++) {
        const said = `${k}-${n}`;
        // The stock client ends the waiting of whoever is cut, with an error.
        const ack = await socket.timeout(60_000).emitWithAck("send", { ...note(said), id: said }).catch((error) => error);
        assert.doesNotMatch(ack.message ?? "", /timed out/, "it would have waited for ever");
        (ack.ok ? acked : unanswered).push(said);
        if (!ack.ok) await eventually("it is back", () => socket.connected, 20_000);
      }
    });
    for (let n = 0; n < 60; n++) {
      const eve = await join(t, server, "chat:9", { sub: "eve", rooms: ["chat:9"] });
      assert.equal((await eve.ask("send_message", { message: POISON })).error.code, "internal");
      eve.close();
    }
    isOver = true;
    await Promise.all(going);
    const { body } = await call(server, "GET", "/rooms/demo:1/history?limit=1000", { as: ANN });
    const kept = body.messages.map(({ data }) => data.n);
    assert.deepEqual(acked.filter((said) => !kept.includes(said)), [], "what was acked is there");
    assert.deepEqual(kept.filter((said, n) => kept.indexOf(said) !== n), [], "once");
    assert.ok(unanswered.length > 0, "none was cut, so this showed nothing");
    t.diagnostic(`${acked.length} acked, ${unanswered.length} came back, ${await panics(server)} panics`);
  });

  test("a parcel that its receiver panics at is not tried at once again and again, and holds up no other for ever", async (t) => {
    const server = await start(t);
    assert.equal((await call(server, "PUT", "/rooms/chat:1/members/cid", { as: SERVICE })).status, 200);
    const [ann, cid] = [await join(t, server, "chat:1", ANN), await join(t, server, "user:cid", { sub: "cid" })];
    await ann.ask("send_message", { message: ASKED });
    await eventually("the receiver has panicked", async () => (await panics(server)) > 0, 10_000);
    await ann.ask("send_message", { message: "the next" });
    // In this build the first tries are 20 ms apart, not a second; and whoever is asked something builds its machine anew.
    const isThere = () => cid.frames.some((frame) => JSON.stringify(frame).includes("the next"));
    let n = 0;
    for (const until = Date.now() + 90_000; !isThere() && Date.now() < until; await sleep(100)) {
      assert.equal((await ann.ask("mark_read", { offset: 1 }, `r-${n++}`)).error, undefined);
    }
    assert.ok(isThere(), "it is not held up any more");
    const times = await panics(server);
    assert.ok(times >= 10 && times <= 13, `${times} panics`);
    t.diagnostic(`${times} panics, ${n} asked meanwhile`);
  });

  test("after a panic and kill -9 nothing that was acknowledged is missing", async (t) => {
    const persist = persistDir();
    const server = await start(t, { persist });
    const ann = await join(t, server, "chat:1", ANN);
    for (const n of [1, 2, 3]) {
      await ann.ask("send_message", { message: `m${n}` });
      if (n < 3) await ann.ask("send_message", { message: POISON });
    }
    await server.kill9();
    const again = await start(t, { persist, port: server.port });
    const { body } = await call(again, "GET", "/rooms/chat:1/history", { as: ANN });
    assert.deepEqual(body.messages.map(({ data }) => data.message), ["m1", "m2", "m3"]);
  });
});
