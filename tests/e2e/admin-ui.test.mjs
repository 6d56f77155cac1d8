// `/admin`: npm @socket.io/admin-ui's own page in Chromium, and its protocol by a stock client. Who watches wakes nobody.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../tools/tools.mjs";
import { walk } from "./browser.mjs";
import { ADMIN, bearer, call, crash, emit, eventually, freePort, io, ioConnected, onEachLobby, persistDir, refused, SERVICE, serve, sleep, token } from "./harness.mjs";

const PAGE = join(ROOT, "node_modules/@socket.io/admin-ui/ui/dist");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".png": "image/png" };
const LOBBIES = { LOBBIES: "2" };
const person = (sub) => ({ sub, name: sub.toUpperCase(), rooms: ["demo:*"] });

/** A stock client in `/admin`, with the token where the page has it: in the password. */
const watching = (t, server, { claims = ADMIN, ...options } = {}) => io(t, server, undefined, { namespace: "/admin", auth: { username: "", password: token(claims) }, ...options });

/** The same, past the list of all sockets. */
async function watch(t, server, options) {
  const admin = await watching(t, server, options).connected();
  await admin.event("all_sockets");
  return admin;
}

/** All sockets of `/` as the page has them by now: `{user: {id, rooms, lobby}}`. Made of all that was heard since the last list. */
function shown(admin) {
  const sockets = new Map();
  const add = (socket) => sockets.set(socket.id, { ...socket, rooms: new Set(socket.rooms) });
  for (const { event, args } of admin.heard.slice(admin.heard.findLastIndex(({ event }) => event === "all_sockets"))) {
    if (event === "all_sockets") args[0].forEach(add);
    if (event === "socket_connected") add(args[0]);
    if (event === "socket_disconnected") sockets.delete(args[1]);
    if (event === "room_joined") sockets.get(args[2])?.rooms.add(args[1]);
    if (event === "room_left") sockets.get(args[2])?.rooms.delete(args[1]);
  }
  const all = [...sockets.values()].filter(({ nsp }) => nsp === "/");
  return Object.fromEntries(all.map(({ id, rooms, data, handshake }) => [data.userId, { id, rooms: [...rooms].sort(), lobby: handshake.address }]));
}

/** Until the page would show exactly this. */
async function shows(admin, expected) {
  const isSo = () => {
    try {
      assert.deepEqual(shown(admin), expected);
      return true;
    } catch {
      return false;
    }
  };
  await eventually("what is shown", isSo, 15_000).catch(() => assert.deepEqual(shown(admin), expected));
}

/** How the page shows this client, in these rooms besides its own. */
const entry = (client, sub, ...rooms) => ({ id: client.socket.id, rooms: [...rooms, `user:${sub}`].sort(), lobby: client.home });

/** What `/metrics` counts under this name, by label where it has any. */
async function counted(server, name) {
  const { body } = await call(server, "GET", "/metrics", { as: ADMIN });
  return Object.fromEntries([...body.matchAll(new RegExp(`^dialtone_${name}(?:\\{cause="(\\w+)"\\})? (\\d+)$`, "gm"))].map(([, cause = "all", count]) => [cause, Number(count)]));
}

test("only role admin gets in, with its token as the password, in auth.token or in the handshake; nothing logs or keeps it", async (t) => {
  const server = await serve(t);
  const now = Math.floor(Date.now() / 1000);
  const [secret, outsider] = [token(ADMIN), token({ sub: "eve", role: "service", rooms: ["*"] })];
  for (const [what, auth, code, message] of [
    ["nothing", undefined, "unauthorized", "invalid credentials"],
    ["an empty form", { username: "", password: "" }, "unauthorized", "invalid credentials"],
    ["the page's reload", { sessionId: null }, "unauthorized", "invalid credentials"],
    ["a session's id", { sessionId: "abc" }, "unauthorized", "invalid credentials"],
    ["a password that is no token", { username: "admin", password: "admin" }, "unauthorized", "invalid credentials"],
    ["an expired token", { password: token({ ...ADMIN, exp: now - 60 }) }, "token_expired", "invalid credentials"],
    ["another's signature", { password: token(ADMIN, { secret: "x".repeat(40) }) }, "unauthorized", "invalid credentials"],
    ["no role", { password: token({ sub: "eve" }) }, "forbidden", "this is for role `admin`"],
    ["another role, and all grants", { password: outsider }, "forbidden", "this is for role `admin`"],
    ["another role first", { token: outsider, password: secret }, "forbidden", "this is for role `admin`"],
  ]) {
    const error = await io(t, server, undefined, { namespace: "/admin", auth }).connected().then(() => assert.fail(`${what} got in`), (error) => error);
    assert.deepEqual([error.message, error.data], [message, { code }], what);
  }
  for (const options of [{ auth: { username: "me", password: secret } }, { auth: { token: secret } }, { extraHeaders: bearer(ADMIN) }, { query: { token: secret } }]) {
    const admin = await io(t, server, undefined, { namespace: "/admin", ...options }).connected();
    const config = await admin.event("config");
    assert.deepEqual(config.supportedFeatures.toSorted(), ["DISCONNECT", "JOIN", "LEAVE", "MDISCONNECT", "MLEAVE"]);
    await admin.event("all_sockets");
    await admin.event("server_stats", ({ serverId }) => serverId === admin.home);
    assert.deepEqual(admin.all("session"), [], "there is none to keep");
    assert.ok(!JSON.stringify(admin.heard).includes(secret.split(".")[2]), "nor is the token told");
  }
  // In other namespaces a password is none.
  await assert.rejects(io(t, server, undefined, { auth: { password: secret } }).connected(), /token/i);
  refused(await emit(server, { event: "all_sockets", data: [], namespace: "/admin" }), 404, "invalid_namespace");
  assert.ok(!server.logs.join("").includes(secret.split(".")[2]));
});

test("who is no admin any more is refused at refresh, and who has no token any more is out", async (t) => {
  const server = await serve(t);
  const admin = await watch(t, server, { claims: { ...ADMIN, exp: Math.floor(Date.now() / 1000) + 4 } });
  const { error } = await admin.ask("refresh", { token: token({ sub: ADMIN.sub }) });
  assert.equal(error.code, "forbidden");
  await admin.disconnected();
  assert.equal(admin.all("error").at(-1).code, "token_expired");
});

test("an admin sees all sockets of two lobbies with their rooms, and who connects, joins, leaves and goes, each once", { timeout: 60_000 }, async (t) => {
  const server = await serve(t, { vars: LOBBIES });
  const [ann, bob] = await onEachLobby(t, server, 2, person("ann"));
  assert.notEqual(ann.home, bob.home);
  await ann.ask("join", "demo:1");
  bob.close();
  const chat = await ioConnected(t, server, { sub: "chloe" }, { namespace: "/chat", transports: ["polling"] });
  const admins = await onEachAdminLobby(t, server);
  for (const admin of admins) {
    await shows(admin, { ann: entry(ann, "ann", "demo:1") });
    const of = await admin.event("all_sockets");
    const polling = of.find(({ nsp }) => nsp === "/chat");
    assert.deepEqual([polling.id, polling.transport, polling.data], [chat.socket.id, "polling", { userId: "chloe", name: null, role: null }]);
    assert.ok(polling.clientId.startsWith(`${chat.home}.`) && polling.clientId.length < chat.socket.io.engine.id.length, "not the whole session id");
  }

  const upgraded = await ioConnected(t, server, { sub: "chloe" }, { namespace: "/chat", transports: ["polling", "websocket"] });
  for (const admin of admins) assert.deepEqual(await admin.event("socket_updated"), { id: upgraded.socket.id, nsp: "/chat", transport: "websocket" });

  // On both lobbies, again and again; what the admins hear adds up to what is so.
  const people = await onEachLobby(t, server, 2, person("dan"));
  const dan = people.find(({ home }) => home !== ann.home);
  people.filter((one) => one !== dan).forEach((one) => one.close());
  for (const room of ["demo:1", "demo:2"]) assert.equal((await dan.ask("join", room)).ok, true);
  await ann.ask("leave", "demo:1");
  for (const admin of admins) await shows(admin, { ann: entry(ann, "ann"), dan: entry(dan, "dan", "demo:1", "demo:2") });
  await dan.ask("leave", "demo:2");
  ann.close();
  for (const admin of admins) {
    await shows(admin, { dan: entry(dan, "dan", "demo:1") });
    await admin.event("server_stats", ({ serverId }) => serverId === dan.home);
    const joins = admin.heard.filter(({ event, args }) => event === "room_joined" && args[2] === dan.socket.id);
    assert.deepEqual(joins.map(({ args }) => args[1]), ["demo:1", "demo:2"], "each join once");
    for (const { args } of joins) assert.match(args[3], /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.equal(admin.heard.filter(({ event, args }) => event === "socket_disconnected" && args[2] === "transport close").length > 0, true);
  }
});

/** An admin on each lobby. */
async function onEachAdminLobby(t, server) {
  const admins = new Map();
  for (let tries = 0; admins.size < 2; tries++) {
    assert.ok(tries < 80, "only one lobby");
    const admin = await watch(t, server);
    if (admins.has(admin.home)) admin.close();
    else admins.set(admin.home, admin);
  }
  return [...admins.values()];
}

test("an admin disconnects a socket, a client and a room's sockets, takes them out of rooms, and puts in whom the policy lets in", { timeout: 60_000 }, async (t) => {
  const server = await serve(t, { vars: LOBBIES });
  const [ann, bob] = await onEachLobby(t, server, 2, person("ann"));
  const chat = await bob.namespace("/chat");
  const admin = await watch(t, server);
  for (const one of [ann, bob]) assert.equal((await one.ask("join", "demo:1")).ok, true);

  assert.deepEqual(await admin.ask("leave", "/", "demo:1", bob.socket.id), { ok: true });
  assert.match((await bob.event("error")).message, /no longer in demo:1/);
  await admin.ask("join", "/", "demo:2", bob.socket.id);
  await bob.event("presence_state", ({ room }) => room === "demo:2");
  await admin.event("room_joined", (_, args) => args[1] === "demo:2" && args[2] === bob.socket.id);
  await admin.ask("join", "/", "secret:1", bob.socket.id);
  assert.equal((await bob.event("error", ({ code, event }) => code === "forbidden" && event === "join" && true, 10_000)).code, "forbidden");
  assert.ok(!admin.all("room_joined").includes("secret:1"));

  // A socket of another namespace is not meant; a whole client is.
  await admin.ask("_disconnect", "/chat", false, bob.socket.id);
  let gone = chat.disconnected();
  await admin.ask("_disconnect", "/chat", false, chat.socket.id);
  assert.equal(await gone, "io server disconnect");
  assert.equal(bob.socket.connected, true);
  gone = bob.disconnected();
  const closed = once(bob.socket.io.engine, "close");
  await admin.ask("_disconnect", "/", true, bob.socket.id);
  assert.equal(await gone, "io server disconnect");
  await closed;

  const dan = await ioConnected(t, server, person("dan"));
  await dan.ask("join", "demo:1");
  const both = [ann.disconnected(), dan.disconnected()];
  await admin.ask("_disconnect", "/", false, "demo:1");
  assert.deepEqual(await Promise.all(both), ["io server disconnect", "io server disconnect"]);
  await shows(admin, {});

  for (const [event, ...args] of [["_disconnect", "/"], ["_disconnect", "/", false], ["leave", "/", "no room"], ["leave", "/", "all:."], ["join", {}], ["emit", "/", undefined, "x"]]) {
    const { ok, error } = await admin.ask(event, ...args);
    assert.equal(ok, false, event);
    assert.ok(["invalid_payload", "unknown_event", "forbidden"].includes(error.code), error.code);
  }
});

test("no frame is longer than MAX_PAYLOAD_BYTES: what does not fit into the list follows one by one", { timeout: 60_000 }, async (t) => {
  const server = await serve(t, { vars: { ...LOBBIES, MAX_PAYLOAD_BYTES: "4000" } });
  const expected = {};
  for (let n = 0; n < 40; n++) {
    const client = await ioConnected(t, server, person(`u${n}`));
    expected[`u${n}`] = entry(client, `u${n}`);
  }
  const admin = watching(t, server);
  const frames = [];
  admin.socket.io.engine?.on("packet", ({ data }) => frames.push(data?.length ?? 0));
  await admin.connected();
  await shows(admin, expected);
  assert.ok(admin.all("socket_connected").length > 20, "not all were in the list");
  assert.ok(Math.max(...admin.heard.map(({ args }) => JSON.stringify(args).length)) < 4000);
});

test("who watches wakes nobody: two lobbies and their rooms sleep but for the ping alarm, and then all is told", { timeout: 240_000 }, async (t) => {
  const server = await serve(t, { vars: LOBBIES });
  const people = await onEachLobby(t, server, 2, person("ann"));
  for (const one of people) assert.equal((await one.ask("join", "demo:1")).ok, true);
  const admin = await watch(t, server);
  await sleep(15_000); // workerd evicts an idle object after 10 s

  const before = await counted(server, "wakes_total");
  const hops = await counted(server, "hops_total");
  await sleep(80_000);
  const after = await counted(server, "wakes_total");
  const ran = Object.fromEntries(Object.entries(after).map(([cause, count]) => [cause, count - before[cause]]).filter(([, count]) => count > 0));
  t.diagnostic(`ran meanwhile: ${JSON.stringify(ran)}`);
  const { alarm = 0, constructor: woken = 0, ...rest } = Object.assign(Object.create(null), ran);
  assert.deepEqual(rest, {}, "what ran besides alarms");
  // Both lobbies each 25 s; the room has at most its lease to renew.
  assert.ok(alarm >= 4 && alarm <= 3 * 4, `${alarm} alarms`);
  assert.ok(woken <= alarm, `${woken} wakes for ${alarm} alarms`);
  assert.deepEqual(await counted(server, "hops_total"), hops, "no object asked another");

  // Everyone has slept; the first to do something tells.
  for (const [n, one] of people.entries()) {
    assert.equal((await one.ask("join", `demo:after-${n}`)).ok, true);
    await admin.event("room_joined", (_, args) => args[1] === `demo:after-${n}` && args[2] === one.socket.id);
  }
});

test("killed while it is watched: the admin is back by itself, and is shown anew who is there", { timeout: 120_000 }, async (t) => {
  const where = { persist: persistDir(), port: await freePort(), vars: LOBBIES };
  let server = await serve(t, where);
  const back = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 500 };
  const ann = await ioConnected(t, server, person("ann"), back);
  const admin = await watch(t, server, back);
  assert.equal((await ann.ask("join", "demo:1")).ok, true);
  for (let life = 0; life < 2; life++) {
    const both = Promise.all([admin.reconnected(), ann.reconnected()]);
    await crash(server);
    server = await serve(t, where);
    await both;
    await admin.event("all_sockets");
    // A recovered socket has its id, and is in its rooms.
    await eventually("ann is shown", () => shown(admin).ann?.rooms.includes("demo:1") && shown(admin).ann.id === ann.socket.id, 30_000);
    assert.equal((await ann.ask("join", `demo:life-${life}`)).ok, true);
    await admin.event("room_joined", (_, args) => args[1] === `demo:life-${life}` && args[2] === ann.socket.id);
  }
});

// ── The stock page ──────────────────────────────────────────────────────────────────────────────

/** Serves the page as any static server would: `{url}`. Its fonts come from elsewhere, and are left out. */
async function servePage(t) {
  const http = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const file = pathname === "/" ? "/index.html" : pathname;
    try {
      response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
      response.end(readFileSync(join(PAGE, file)));
    } catch {
      response.writeHead(404).end();
    }
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  t.after(() => http.close());
  return { url: `http://127.0.0.1:${http.address().port}/` };
}

/** What stands for its icons' font. */
const ICONS = `.mdi::before{font-family:sans-serif;font-style:normal}${Object.entries({
  "home-outline": "⌂", "ray-start-arrow": "→", "tag-outline": "#", "account-circle-outline": "☺", "calendar-text-outline": "≡", server: "▤",
  logout: "⏏", "tag-off-outline": "×", "tag-plus-outline": "+", "dots-horizontal": "…", "menu-down": "▾", "chevron-left": "‹", "chevron-right": "›",
}).map(([name, sign]) => `.mdi-${name}::before{content:"${sign}"}`).join("")}`;
const before = (page) => page.route(/googleapis|jsdelivr/, (route) => route.fulfill({ contentType: "text/css", body: route.request().url().includes("mdi") ? ICONS : "" }));

walk("npm @socket.io/admin-ui's page: logs in with a token as password, shows two lobbies' sockets, rooms and clients as they come and go, disconnects one, and is back after a kill", async (t, open) => {
  const page = await servePage(t);
  const where = { persist: persistDir(), port: await freePort(), vars: { ...LOBBIES, ALLOWED_ORIGINS: new URL(page.url).origin } };
  const server = await serve(t, where);
  const [ann, bob] = await onEachLobby(t, server, 2, person("ann"), { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 500 });
  await ann.ask("join", "demo:1");
  const ui = await open(page, { before, viewport: { width: 1280, height: 720 } });
  const login = async (password) => {
    await ui.getByLabel("Server URL").fill(server.url);
    await ui.getByLabel("Password").fill(password);
    await ui.getByRole("button", { name: "Connect" }).click();
  };
  await login("no token");
  await ui.getByText(/invalid credentials/i).waitFor();
  await login(token({ sub: "eve" }));
  await ui.getByText(/this is for role/).waitFor();
  const secret = token(ADMIN);
  await login(secret);
  await ui.getByRole("dialog").waitFor({ state: "hidden" });
  const show = (name) => ui.getByRole("link", { name, exact: true }).first().click();
  const row = (text) => ui.locator("tbody tr").filter({ hasText: text });

  await show("Sockets");
  for (const one of [ann, bob]) await row(one.socket.id).getByText(one.home).waitFor();
  await show("Rooms");
  await row("demo:1").waitFor();
  await show("Clients");
  for (const one of [ann, bob]) await row(`${one.home}.`).first().waitFor();

  // Live: one comes, joins, leaves.
  const dan = await ioConnected(t, server, person("dan"));
  const { id } = dan.socket; // when it is disconnected it has none
  await show("Sockets");
  await row(id).waitFor();
  await dan.ask("join", "demo:live");
  await show("Rooms");
  await row("demo:live").waitFor();
  await bob.ask("join", "demo:1");
  await row("demo:1").filter({ hasText: "2" }).waitFor();
  if (process.env.SCREENSHOTS === "1") {
    for (const [n, room] of ["demo:1", "demo:1", "demo:2"].entries()) await (await ioConnected(t, server, person(`guest-${n}`))).ask("join", room);
    await row("demo:1").filter({ hasText: "4" }).waitFor();
    await ui.waitForTimeout(1_000);
    const dir = join(ROOT, "tests/e2e/screenshots");
    mkdirSync(dir, { recursive: true });
    await ui.screenshot({ path: join(dir, "admin.png") });
  }
  await dan.ask("leave", "demo:live");
  await eventually("the room is no longer listed", async () => (await row("demo:live").count()) === 0, 30_000);

  // Its button.
  await show("Sockets");
  const gone = dan.disconnected();
  await row(id).getByRole("button").click();
  assert.equal(await gone, "io server disconnect");
  await show("Sockets"); // a click on a row opens it
  await eventually("dan is no longer listed", async () => (await row(id).count()) === 0, 30_000);
  assert.equal(ann.socket.connected && bob.socket.connected, true);

  // It keeps no token.
  const kept = await ui.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!kept.includes(secret.split(".")[2]), kept);

  // Killed: it is back, and shows who is there now.
  ui.mayLoseServer = true;
  ui.excused = /Failed to load resource|CORS|ERR_/;
  const both = Promise.all([ann.reconnected(), bob.reconnected()]);
  await crash(server);
  await ui.getByText("disconnected").first().waitFor();
  await serve(t, where);
  await both;
  for (const one of [ann, bob]) await row(one.socket.id).getByText(one.home).waitFor();
  const eve = await ioConnected(t, server, person("eve"));
  await row(eve.socket.id).waitFor();

  // After a reload it asks again.
  await ui.reload();
  await ui.getByLabel("Password").waitFor();
});
