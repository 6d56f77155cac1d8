// Secrets that rotate under live sockets, users who are thrown out, and pages of other sites (README, "Security").

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, crash, cutWhile, emitted, engine, engineSocket, enter, eventually, freePort, handshake, io, ioConnected, join, JWT_SECRET, onEachLobby, persistDir, rawConnect, serve, SERVICE, subscribe, token } from "./harness.mjs";

const OLD = JWT_SECRET;
const NEW = "the-secret-after-this-one-of-32-bytes-or-more";
const LOBBIES = 3;
const APP = "https://app.example";
const STRANGER = "https://evil.example";
const BACK = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 500 };
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const disconnect = (server, room, query = "") => call(server, "DELETE", `/rooms/${encodeURIComponent(room)}/connections${query}`, { as: SERVICE });

describe("JWT_SECRET is rotated", { concurrency: 2, timeout: 120_000 }, () => {
  test("a deploy with the next secret drops no session: clients come back with the tokens they have, with what they missed", async (t) => {
    const options = { port: await freePort(), persist: persistDir() };
    let server = await serve(t, options);
    const ann = await enter(t, server, "demo:1", person("ann"), BACK);
    const polling = await enter(t, server, "demo:1", person("pol"), { ...BACK, transports: ["polling"] });
    const plain = await join(t, server, "demo:1", person("bob"));
    const { epoch } = (await plain.event("connected")).data;
    assert.equal((await ann.ask("send", { room: "demo:1", event: "note", data: 1 })).offset, 1);
    await Promise.all([polling, ann].map((client) => client.socket.id).concat([plain.frame((frame) => frame.offset === 1)]));
    const ids = [ann.socket.id, polling.socket.id];
    const back = [ann, polling].map((client) => client.reconnected());
    await crash(server);
    server = await serve(t, { ...options, vars: { JWT_SECRET: NEW, JWT_SECRET_PREVIOUS: OLD } });
    await emitted(server, { room: "demo:1", event: "note", data: 2 }).catch(() => {});
    await Promise.all(back);
    for (const client of [ann, polling]) assert.equal(client.socket.recovered, true);
    assert.deepEqual([ann.socket.id, polling.socket.id], ids);
    for (const client of [ann, polling]) await client.event("note", (data) => data === 2);
    const again = await join(t, server, "demo:1", person("bob"), { query: { since: `${epoch}:1` } });
    assert.equal((await again.event("connected")).data.recovered, true);

    // What the old secret has signed goes on; new tokens are taken on live connections; a third secret never.
    const next = (sub, secret) => ({ token: token(person(sub), { secret }) });
    assert.equal((await ann.ask("refresh", next("ann", NEW))).ok, true);
    assert.equal((await again.ask("refresh", next("bob", NEW))).error, undefined);
    assert.equal((await ann.ask("refresh", next("ann", "the-secret-before-the-one-before-this!!"))).error.code, "unauthorized");
    assert.equal((await ann.ask("test")).ok, true);

    // The old secret is taken away: who has a new token goes on, who has an old one is refused.
    const stays = ann.reconnected();
    ann.socket.auth = next("ann", NEW);
    const refused = new Promise((resolve) => polling.socket.on("connect_error", ({ data }) => data && resolve(data.code)));
    await crash(server);
    server = await serve(t, { ...options, vars: { JWT_SECRET: NEW } });
    await stays;
    assert.deepEqual([ann.socket.recovered, ann.socket.id], [true, ids[0]]);
    assert.equal(await refused, "unauthorized");
  });

  test("while both secrets are accepted, sockets of either live side by side, and each is closed with its own token", async (t) => {
    const server = await serve(t, { vars: { JWT_SECRET: NEW, JWT_SECRET_PREVIOUS: OLD } });
    const exp = Math.floor(Date.now() / 1000) + 4;
    const old = await ioConnected(t, server, token(person("ann", { exp }), { secret: OLD }));
    const young = await ioConnected(t, server, token(person("ann"), { secret: NEW }));
    await old.disconnected();
    assert.ok(Date.now() >= exp * 1000);
    assert.equal((await young.ask("test")).ok, true);
  });
});

describe("a user is thrown out", { concurrency: 4, timeout: 120_000 }, () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { vars: { LOBBIES, OPEN_KINDS: "job,brand" } })));
  after(() => Promise.all(ends.map((end) => end())));
  let count = 0;
  const user = (name) => `${name}-${++count}`;
  const newRoom = () => `demo:${++count}`;

  test("of a room: plain sockets get 4501, stock clients a disconnect that they stay away after, and nobody else hears anything", async (t) => {
    const [eve, room] = [user("eve"), newRoom()];
    const plain = [await join(t, server, room, person(eve)), await join(t, server, room, person(eve))];
    const tabs = await onEachLobby(t, server, LOBBIES, person(eve), BACK);
    const home = await ioConnected(t, server, person(eve), { ...BACK, query: { room } });
    const polls = await ioConnected(t, server, person(eve), { ...BACK, transports: ["polling"] });
    const all = [...tabs, home, polls];
    for (const client of all) assert.equal((await client.ask("join", room)).ok, true);
    const elsewhere = await enter(t, server, newRoom(), person(eve));
    const other = await enter(t, server, room, person(user("ann")));
    const otherPlain = await join(t, server, room, person(user("ann")));
    const gone = Promise.all(all.map((client) => client.disconnected()));
    const { status, body } = await disconnect(server, room, `?user=${eve}`);
    assert.equal(status, 200);
    assert.ok(body.disconnected >= 3, JSON.stringify(body));
    for (const client of plain) assert.deepEqual(await client.closed, { code: 4501, reason: "token revoked" });
    assert.deepEqual(new Set(await gone), new Set(["io server disconnect"]));
    assert.deepEqual([other.socket.connected, elsewhere.socket.connected, otherPlain.socket.readyState], [true, true, 1]);
    // The stock client's own rule: it does not come back unless it is told to.
    assert.deepEqual(all.map(({ socket }) => [socket.connected, socket.active]), all.map(() => [false, false]));
  });

  test("of everything: their own room stands for all namespaces on all lobbies", async (t) => {
    const eve = user("eve");
    const clients = await onEachLobby(t, server, LOBBIES, person(eve));
    for (const namespace of ["/chat", "/jobs", "/notifications", "/analytics"]) clients.push(...(await onEachLobby(t, server, 2, person(eve), { namespace })));
    const own = await join(t, server, `user:${eve}`, person(eve));
    const others = [await ioConnected(t, server, person(user("ann"))), await ioConnected(t, server, person(user("ann")), { namespace: "/chat" }), await subscribe(t, server, "/jobs", "7", person(user("ann")))];
    const gone = Promise.all(clients.map((client) => client.disconnected()));
    assert.equal((await disconnect(server, `user:${eve}`, `?user=${eve}`)).status, 200);
    assert.deepEqual(new Set(await gone), new Set(["io server disconnect"]));
    assert.equal((await own.closed).code, 4501);
    for (const { socket } of others) assert.ok(socket.connected);
  });

  for (const lobby of ["the same lobby", "another lobby"]) {
    test(`while they were cut: on ${lobby} no session is recovered, and who was not meant is`, async (t) => {
      const [eve, ann, room] = [user("eve"), user("ann"), newRoom()];
      const at = (sub, isWanted, more) => connectedAt(t, server, sub, isWanted, more);
      const raw = await at(eve, () => true);
      const bystander = await at(ann, (home) => home === raw.home);
      for (const client of [raw, bystander]) assert.equal((await client.askRaw("join", { room })).ok, true);
      await emitted(server, { room, event: "note", data: "before" });
      const offsets = [];
      for (const client of [raw, bystander]) {
        await client.frame(() => client.events().some(([name]) => name === "note"));
        offsets.push(client.events().find(([name]) => name === "note").at(-1));
        client.socket.terminate();
      }
      // The server knows that it is cut: the room hears that they left after the grace.
      await eventually("both are gone", async () => (await call(server, "GET", `/rooms/${encodeURIComponent(room)}/presence`, { as: person("looker") })).body.users.length === 0, 20_000);
      assert.equal((await disconnect(server, room, `?user=${eve}`)).status, 200);
      await emitted(server, { room, event: "note", data: "after" });
      const wanted = lobby === "the same lobby" ? (home) => home === raw.home : (home) => home !== raw.home;
      const again = await at(eve, wanted, { pid: raw.connect.pid, offset: offsets[0] });
      const recovered = await at(ann, wanted, { pid: bystander.connect.pid, offset: offsets[1] });
      assert.deepEqual([recovered.connect.sid, recovered.connect.pid], [bystander.connect.sid, bystander.connect.pid]);
      await recovered.frame(() => recovered.events().some(([name, data]) => name === "note" && data === "after"));
      assert.notEqual(again.connect.sid, raw.connect.sid);
      assert.notEqual(again.connect.pid, raw.connect.pid);
      assert.equal((await again.askRaw("test")).ok, true);
      assert.ok(!again.events().some(([name]) => name === "note"), "and nothing that was missed");
      assert.equal((await again.askRaw("send", { room, event: "note" })).error.code, "not_in_room");
    });
  }

  test("who is let in again afterwards is recovered as anyone is", async (t) => {
    const [eve, room] = [user("eve"), newRoom()];
    const first = await enter(t, server, room, person(eve));
    const gone = first.disconnected();
    await disconnect(server, room, `?user=${eve}`);
    await gone;
    await emitted(server, { room, event: "note", data: 0 });
    const again = await enter(t, server, room, person(eve), BACK);
    await emitted(server, { room, event: "note", data: 1 });
    await again.event("note", (data) => data === 1);
    await cutWhile(again, () => emitted(server, { room, event: "note", data: 2 }));
    assert.equal(again.socket.recovered, true);
    await again.event("note", (data) => data === 2);
  });

  test("without a user everyone is kicked, 4003, and may come back", async (t) => {
    const room = newRoom();
    const plain = await join(t, server, room, person(user("ann")));
    await disconnect(server, room);
    assert.deepEqual(await plain.closed, { code: 4003, reason: "kicked" });
  });

  test("by service and admin alone", async () => {
    for (const as of [person("ann"), { sub: "ann", role: "lsm" }, undefined]) {
      const { status } = await call(server, "DELETE", "/rooms/user:ann/connections?user=ann", { as });
      assert.equal(status, as ? 403 : 401);
    }
    assert.equal((await call(server, "DELETE", "/rooms/user:nobody/connections?user=nobody", { as: ADMIN })).status, 200);
  });
});

/** A raw socket that has connected on a lobby that is wanted. */
async function connectedAt(t, server, sub, isWanted, more) {
  for (let tries = 0; tries < 100; tries++) {
    const on = engineSocket(t, server, { recovery: "1" });
    await on.opened();
    const { sid } = JSON.parse((await on.frame((frame) => frame.startsWith("0{"))).slice(1));
    on.home = sid.slice(0, sid.lastIndexOf("."));
    if (isWanted(on.home)) return rawConnect(t, server, person(sub), { on, ...more });
    on.socket.terminate();
  }
  return assert.fail("never on that lobby");
}

describe("pages of other sites", { concurrency: 4, timeout: 60_000 }, () => {
  let server;
  const ends = [];
  before(async () => (server = await serve({ after: (end) => ends.push(end) }, { vars: { ALLOWED_ORIGINS: APP } })));
  after(() => Promise.all(ends.map((end) => end())));
  /** Who may, as a browser says it; and who may not. */
  const FRIENDS = [{}, { origin: APP, "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-origin" }, { "sec-fetch-site": "none" }];
  const FOREIGN = [{ origin: STRANGER }, { origin: "null" }, { origin: `${APP}.evil.example` }, { origin: STRANGER, "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" }, { "sec-fetch-site": "same-site" }];

  test("open no polling session and read none, with a token or without", async () => {
    const jwt = token(person("ann"));
    const { sid } = await handshake(server);
    for (const headers of FOREIGN) {
      for (const query of [{}, { token: jwt }, { sid }]) {
        const { status, headers: answered, text } = await engine(server, "GET", query, { headers });
        assert.deepEqual([status, answered.get("access-control-allow-origin"), JSON.parse(text)], [403, null, { code: 4, message: "Forbidden" }], JSON.stringify(headers));
      }
    }
    for (const headers of FRIENDS) assert.equal((await engine(server, "GET", {}, { headers })).status, 200, JSON.stringify(headers));
  });

  test("post nothing to a session whose id they know: neither a form's text/plain nor a script's", async (t) => {
    const client = await ioConnected(t, server, person("ann"), { transports: ["polling"] });
    const { id: sid } = client.socket.io.engine;
    assert.equal((await client.ask("join", "demo:csrf")).ok, true);
    const evil = '42["send",{"room":"demo:csrf","event":"note","data":"evil"}]';
    for (const headers of FOREIGN) {
      for (const type of ["text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", undefined]) {
        const { status } = await engine(server, "POST", { sid }, { headers: { ...headers, ...(type && { "content-type": type }) }, body: evil });
        assert.equal(status, 403, `${JSON.stringify(headers)} ${type}`);
      }
    }
    assert.equal((await client.ask("test")).ok, true);
    const { body } = await call(server, "GET", "/rooms/demo:csrf/history", { as: person("ann") });
    assert.deepEqual(body.messages, []);
    // The same from where it may.
    for (const headers of FRIENDS) assert.equal((await engine(server, "POST", { sid }, { headers: { ...headers, "content-type": "text/plain;charset=UTF-8" }, body: evil })).status, 200, JSON.stringify(headers));
    await eventually("theirs are there", async () => (await call(server, "GET", "/rooms/demo:csrf/history", { as: person("ann") })).body.messages.length === FRIENDS.length);
  });

  test("are told no by the preflight, and may send to no route", async () => {
    for (const route of ["/socket.io/?EIO=4&transport=polling", "/api/emit", "/rooms/demo:1/events", "/rooms/user:ann/connections", "/metrics"]) {
      for (const origin of [STRANGER, "null"]) {
        const { status, headers } = await call(server, "OPTIONS", route, { headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type" } });
        assert.equal(status, 403, route);
        assert.deepEqual([...headers.keys()].filter((name) => name.startsWith("access-control-")), []);
      }
    }
    for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
      const { status } = await call(server, "POST", `/rooms/demo:1/events?token=${token(person("ann"))}`, { headers: { origin: STRANGER, "content-type": type }, body: '{"event":"note"}' });
      assert.equal(status, 403);
    }
  });

  test("find no cookie: none is set, and none is a token", async (t) => {
    const jwt = token(person("ann"));
    const cookie = `token=${jwt}; io=lobby:0.x; authorization=Bearer ${jwt}; sid=${(await handshake(server)).sid}`;
    assert.equal((await call(server, "GET", "/rooms/demo:1/history", { headers: { cookie } })).status, 401);
    assert.equal((await engine(server, "GET", { sid: "" }, { headers: { cookie } })).status, 400);
    await assert.rejects(io(t, server, undefined, { extraHeaders: { cookie } }).connected(), ({ data }) => data?.code === "unauthorized");
    const { sid } = await handshake(server);
    const answers = [
      await engine(server, "GET", {}, { headers: { origin: APP } }),
      await engine(server, "POST", { sid }, { body: `40{"token":"${jwt}"}` }),
      await engine(server, "GET", { sid }),
      await call(server, "GET", "/rooms/demo:1/history", { as: person("ann") }),
      await call(server, "GET", "/"),
      await call(server, "GET", "/health"),
    ];
    for (const { headers } of answers) assert.equal(headers.get("set-cookie"), null);
  });
});
