// What an operator does: a new version on the state of an older one and back, a room's backup and its restore, a folder that
// moves, a service under systemd, what dependencies are judged by.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { judge } from "../tools/audit.mjs";
import { backup } from "../tools/backup.mjs";
import { restore } from "../tools/restore.mjs";
import { parseCommandLine } from "../tools/serve.mjs";
import { node22, ROOT } from "../tools/tools.mjs";
import {
  accepted, ADMIN, assign, bearer, call, CONTACT, conversations, eventually, history, inbound, io, join, LINE, lineUrl, messageOf, messageSid, persistDir, receive, refused, serve,
  SERVICE, serveWithTwilio, sleep, thread, token,
} from "./harness.mjs";

// ── A new version on the state of an older one, and back ────────────────────────────────────────

const OLD_LINE = "+15552223333";
const KEEP = { HISTORY_MAX_AGE_DAYS: "36500" };

/** A vector of tests/vectors/schema, as it would be had it been written just now: `{head, rooms: [{room, file, sql}]}`. */
function stored(version) {
  const text = readFileSync(path.join(ROOT, `tests/vectors/schema/v${version}.sql`), "utf8");
  const { at } = JSON.parse(text.split("\n", 1)[0].slice(3));
  const ago = Date.now() - at - 1000;
  const shifted = text.replace(/\b1[789]\d{11}\b/g, (instant) => String(Number(instant) + ago));
  const [first, ...rest] = shifted.split("\n-- ");
  const rooms = rest.map((part) => {
    const [, room, file] = part.match(/^(\S+) in (\S+)\n/);
    return { room, file, sql: part.slice(part.indexOf("\n") + 1) };
  });
  return { head: JSON.parse(first.slice(3)), rooms };
}

/** A `--persist` folder in which that version has left its state. */
function folderOf(version) {
  const { head, rooms } = stored(version);
  const persist = persistDir();
  mkdirSync(path.join(persist, "dialtone-room"));
  for (const { file, sql } of rooms) {
    const db = new DatabaseSync(path.join(persist, "dialtone-room", file));
    db.exec(sql);
    db.close();
  }
  return { persist, session: head.session };
}

const ANN = { sub: "ann", rooms: ["demo:*", "chat:*"] };
const BOB = { sub: "bob", rooms: ["demo:*", "chat:*"] };

describe("what an older version has stored", () => {
  for (const version of [1, 2, 3, 4, 5]) {
    test(`by schema ${version} is served by this build: history, members, ids, lines, what is unread`, async (t) => {
      const { persist } = folderOf(version);
      const server = await serve(t, { persist, vars: KEEP });
      const { messages, offset, epoch } = await history(server, "demo:1");
      const last = version === 1 ? 5 : 7;
      assert.deepEqual(messages.map(({ data }) => data.n), Array.from({ length: last }, (_, n) => n + 1));
      assert.equal(offset, last);
      const again = await call(server, "POST", "/rooms/demo:1/events", { as: BOB, body: { event: "note", data: { n: 2 }, id: "n-2" } });
      assert.deepEqual(again.body, { offset: 2, duplicate: true });
      const back = await join(t, server, "demo:1", ANN, { query: { since: `${epoch}:3` } });
      assert.equal((await back.event("connected")).data.recovered, true);
      assert.deepEqual((await call(server, "GET", "/rooms/demo:1/members", { as: ADMIN })).body.members.map(({ userId }) => userId), ["guest"]);
      const chat = await call(server, "GET", "/chat/42/messages", { as: ADMIN });
      assert.deepEqual(chat.body.messages.map(({ message }) => message), ["hello 1", "hello 2", "hello 3"]);
      const assignees = await call(server, "GET", lineUrl(OLD_LINE, "/assignees"), { as: ADMIN });
      assert.deepEqual(assignees.body.assignees, ["ann"]);
      // Twilio tries again what was accepted then, and sends something new.
      for (const MessageSid of [`SM${"2".padStart(32, "0")}`, messageSid()]) {
        assert.equal((await inbound(server, { From: "+15550001111", To: OLD_LINE, Body: "second", MessageSid })).status, 200);
      }
      const texts = await history(server, `sms:${OLD_LINE}:+15550001111`);
      assert.equal(texts.messages.filter(({ event }) => event === "new_message").length, 3);
      const list = await eventually("the new one in the list", async () => {
        const list = await conversations(server, OLD_LINE);
        return list.length > 0 && list;
      });
      // The list, and what is unread in it, began with schema 4: of what came before, the conversation that goes on is in it.
      assert.equal(list[0].unread, version < 4 ? 1 : 3);
      assert.equal(list.length, version < 4 ? 1 : 2);
      if (version >= 3) {
        assert.equal((await call(server, "GET", "/api/jobs/42", { as: { sub: "ann", rooms: ["job:*"] } })).body.progress, 50);
        const { notifications } = (await call(server, "GET", "/api/notifications?unread=1", { as: { sub: "bob" } })).body;
        assert.deepEqual(notifications.map(({ id }) => id).filter((id) => id.startsWith("n-")), ["n-1"]);
      }
      if (version >= 4) assert.equal((await thread(server, OLD_LINE, "+15550001111")).find(({ data }) => data.id === "m-1").data.status, "unknown");
    });
  }

  test("a stock client that was connected to an older version is recovered by this one, with what it missed", async (t) => {
    for (const version of [2, 3, 4, 5]) {
      const { persist, session } = folderOf(version);
      const server = await serve(t, { persist, vars: KEEP });
      await call(server, "POST", "/rooms/demo:1/events", { as: BOB, body: { event: "note", data: { n: 8 }, id: "n-8" } });
      const client = io(t, server, { sub: "ann", rooms: ["demo:*"] }, { query: { recovery: "1" }, autoConnect: false });
      client.socket._pid = session.pid;
      client.socket._lastOffset = session.offset;
      client.socket.connect();
      await client.connected();
      assert.equal(client.socket.recovered, true, `schema ${version}`);
      assert.equal(client.socket.id, session.id);
      await client.event("note", ({ n }) => n === 8);
      assert.deepEqual(client.all("note").map(({ n }) => n), [8]);
    }
  });
});

describe("after a rollback", () => {
  /** All objects' files with one table's rows, without waking anything. */
  const databases = (persist) => readdirSync(path.join(persist, "dialtone-room")).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).map((name) => path.join(persist, "dialtone-room", name));
  const roomOf = (db) => db.prepare("SELECT value FROM meta WHERE key = 'room'").get()?.value;

  /** What the next version would leave behind: one number more, another column in each table, a table more. */
  function raise(persist, readableBy) {
    for (const file of databases(persist)) {
      const db = new DatabaseSync(file);
      const { value } = db.prepare("SELECT value FROM meta WHERE key = 'schema'").get();
      const tables = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\' AND name <> 'meta'").all();
      for (const { name } of tables) db.exec(`ALTER TABLE ${name} ADD COLUMN later TEXT NOT NULL DEFAULT 'x'`);
      db.exec("CREATE TABLE later (a TEXT)");
      const set = db.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)");
      set.run("schema", String(Number(value) + 1));
      set.run("readable_by", String(readableBy(Number(value))));
      db.close();
    }
  }

  /** Rows of each room's tables, as they are on disk. */
  function content(persist) {
    const copy = persistDir();
    cpSync(persist, copy, { recursive: true });
    const all = {};
    for (const file of databases(copy)) {
      const db = new DatabaseSync(file);
      const room = roomOf(db);
      for (const table of ["meta", "log", "dedupe", "members", "state"]) all[`${room} ${table}`] = db.prepare(`SELECT * FROM ${table}`).all();
      db.close();
    }
    return all;
  }

  async function used(t) {
    const persist = persistDir();
    const server = await serve(t, { persist });
    for (let n = 1; n <= 3; n++) await call(server, "POST", "/rooms/demo:1/events", { as: ANN, body: { event: "note", data: { n }, id: `n-${n}` } });
    await call(server, "PUT", "/rooms/chat:42/members/ann", { as: SERVICE });
    await call(server, "PUT", lineUrl(LINE, "/assignees/ann"), { as: SERVICE });
    await inbound(server, { Body: "first" });
    await server.stop();
    return persist;
  }

  test("this build goes on with the state of a next version that only added to it, and loses nothing", async (t) => {
    const persist = await used(t);
    raise(persist, (version) => version);
    const server = await serve(t, { persist });
    const ann = await join(t, server, "demo:1", ANN);
    assert.deepEqual(await ann.ask("note", { n: 2 }, "n-2"), { ack: "n-2", offset: 2, duplicate: true });
    assert.deepEqual(await ann.ask("note", { n: 4 }, "n-4"), { ack: "n-4", offset: 4, duplicate: false });
    assert.equal((await inbound(server, { Body: "second" })).status, 200);
    assert.equal((await conversations(server, LINE))[0].unread, 2);
    const client = await io(t, server, ANN).connected();
    assert.equal((await client.ask("join", { room: "demo:1" })).ok, true);
    await server.stop();
    const schemas = Object.entries(content(persist)).filter(([name]) => name.endsWith(" meta")).map(([, rows]) => rows.find(({ key }) => key === "schema").value);
    assert.deepEqual([...new Set(schemas)], ["6", "5"].slice(0, new Set(schemas).size), "what is there stays the later version's; new rooms are this one's");
  });

  test("what this build cannot read is refused with 503 schema_newer and logged, is left as it is, and served again by who can", async (t) => {
    const persist = await used(t);
    raise(persist, (version) => version + 1);
    const before = content(persist);
    const server = await serve(t, { persist });
    refused(await call(server, "GET", "/rooms/demo:1/history", { as: ADMIN }), 503, "schema_newer");
    refused(await call(server, "POST", "/rooms/demo:1/events", { as: ANN, body: { event: "note", data: 1 } }), 503, "schema_newer");
    await assert.rejects(join(t, server, "demo:1", ANN), { status: 503 });
    assert.notEqual((await inbound(server, { Body: "Twilio will try again" })).status, 200);
    assert.equal((await call(server, "POST", "/rooms/demo:new/events", { as: ANN, body: { event: "note", data: 1 } })).status, 200, "other rooms go on");
    await eventually("a line in the log", () => server.logs.join("").includes('"code":"schema_newer"'));
    await server.stop();
    const after = content(persist);
    for (const [what, rows] of Object.entries(before)) assert.deepEqual(after[what], rows, what);
    for (const file of databases(persist)) {
      const db = new DatabaseSync(file);
      db.exec("UPDATE meta SET value = '5' WHERE key = 'readable_by'");
      db.close();
    }
    const next = await serve(t, { persist });
    assert.equal((await history(next, "demo:1")).messages.length, 3);
  });
});

// ── A room's backup ─────────────────────────────────────────────────────────────────────────────

const OPERATOR = { ...SERVICE, rooms: ["line:*"] };
const quiet = () => {};

test("a chat, a line and its conversations are backed up and restored elsewhere: history, members, unread, offsets, ids, and clients go on", async (t) => {
  const { server, api } = await serveWithTwilio(t);
  for (const user of ["ann", "bob"]) await call(server, "PUT", `/rooms/chat:42/members/${user}`, { as: SERVICE });
  const ann = await join(t, server, "chat:42", { sub: "ann" });
  const acks = [];
  for (let n = 1; n <= 4; n++) acks.push(await ann.ask("send_message", { message: `hello ${n} 👍` }, `c-${n}`));
  const { epoch } = (await ann.event("connected")).data;
  await assign(server, LINE, "ann");
  await receive(server, LINE, CONTACT, "Is anybody there?");
  await accepted(server, LINE, CONTACT, { id: "m-1", body: "Until six." });
  await eventually("it is sent", () => api.taken(LINE).length === 1);
  await messageOf(server, LINE, CONTACT, "m-1", ({ messageSid }) => messageSid);
  const bob = (await eventually("bob's notifications", async () => {
    const { body } = await call(server, "GET", "/api/notifications?unread=1", { as: { sub: "bob" } });
    return body.unread === 4 && body;
  }));

  const out = path.join(persistDir(), "rooms.ndjson");
  const rooms = ["chat:42", "user:ann", "user:bob", "admins:all", "demo:nobody"];
  const said = [];
  const count = await backup({ url: server.url, token: token(OPERATOR), rooms, lines: [LINE], out, say: (line) => said.push(line) });
  assert.equal(count, 6, said.join("\n"));
  assert.ok(said.some((line) => line.startsWith("demo:nobody: nobody")));
  assert.equal(statSync(out).mode & 0o077, 0, "for its owner alone");
  await assert.rejects(backup({ url: server.url, token: token(OPERATOR), rooms, out, say: quiet }), /there already/);
  const before = { chat: await history(server, "chat:42"), texts: await thread(server, LINE, CONTACT), list: await conversations(server, LINE) };
  const position = before.chat.offset;

  const { server: other, api: otherApi } = await serveWithTwilio(t);
  assert.equal(await restore({ url: other.url, token: token(OPERATOR), from: out, say: quiet }), 6);
  assert.deepEqual(await history(other, "chat:42"), before.chat);
  assert.deepEqual(await thread(other, LINE, CONTACT), before.texts);
  assert.deepEqual(await conversations(other, LINE), before.list);
  assert.deepEqual((await call(other, "GET", "/api/notifications?unread=1", { as: { sub: "bob" } })).body, bob);
  assert.deepEqual((await call(other, "GET", "/api/lines", { as: { sub: "ann" } })).body.lines, [{ number: LINE, unread: 1 }]);
  // A client from before goes on where it was, and what it sent then is known.
  const back = await join(t, other, "chat:42", { sub: "ann" }, { query: { since: `${epoch}:2` } });
  assert.equal((await back.event("connected")).data.recovered, true);
  assert.deepEqual(back.frames.filter(({ offset }) => offset).map(({ offset }) => offset), [3, 4]);
  assert.deepEqual(await back.ask("send_message", { message: "hello 4 👍" }, "c-4"), { ...acks[3], duplicate: true });
  assert.equal((await back.ask("send_message", { message: "new" }, "c-5")).offset, position + 1);
  const again = await call(other, "POST", `${lineUrl(LINE, "/conversations/")}${encodeURIComponent(CONTACT)}/messages`, { as: ADMIN, body: { id: "m-1", body: "Until six." } });
  assert.equal(again.status, 202);
  assert.equal(again.body.duplicate, true);
  // Nothing that went out before goes out again.
  await accepted(other, LINE, CONTACT, { id: "m-2", body: "Or seven." });
  await eventually("the next one goes out", () => otherApi.posts(LINE).length > 0);
  assert.deepEqual(otherApi.posts(LINE).map(({ form }) => form.Body), ["Or seven."]);

  refused(await call(other, "PUT", "/rooms/chat:42/backup", { as: SERVICE, body: { schema: 4, epoch: "e", at: 1, page: 0 } }), 409, "conflict");
  for (const [method, as] of [["GET", ADMIN], ["PUT", ADMIN], ["GET", { sub: "ann", rooms: ["*"] }]]) {
    refused(await call(other, method, "/rooms/chat:42/backup", { as, body: method === "PUT" ? {} : undefined }), 403, "forbidden");
  }
  refused(await call(other, "GET", "/rooms/chat:nobody/backup", { as: SERVICE }), 404, "not_found");
  refused(await call(other, "GET", "/rooms/lobby:0/backup", { as: SERVICE }), 403, "forbidden");

  const third = await serve(t);
  await restore({ url: third.url, token: token(SERVICE), from: out, only: ["chat:42"], newEpoch: true, say: quiet });
  const plain = await join(t, third, "chat:42", { sub: "ann" }, { query: { since: `${epoch}:2` } });
  assert.equal((await plain.event("connected")).data.recovered, false, "plainly new");
  assert.equal((await history(third, "chat:42")).offset, position);
});

test("a room of several pages is backed up while it is written to, and nobody uses it before it is restored whole", async (t) => {
  const server = await serve(t, { vars: { RATE_EVENTS_PER_SECOND: "100000", RATE_BURST: "100000" } });
  const ann = await join(t, server, "demo:1", ANN);
  const text = "x".repeat(100_000);
  for (let n = 1; n <= 40; n++) await ann.ask("note", text, `n-${n}`);
  const out = path.join(persistDir(), "room.ndjson");
  let writing = true;
  const writer = (async () => {
    for (let n = 41; writing; n++) await ann.ask("note", "short", `n-${n}`), await sleep(20);
  })();
  await backup({ url: server.url, token: token(SERVICE), rooms: ["demo:1"], out, say: quiet });
  writing = false;
  await writer;
  const lines = readFileSync(out, "utf8").trimEnd().split("\n");
  const end = JSON.parse(lines.at(-2));

  const other = await serve(t);
  const rows = lines.slice(1, 11).map((line) => JSON.parse(line));
  const first = { schema: end.schema, epoch: end.epoch, at: end.at, page: 0, rows };
  assert.equal((await call(other, "PUT", "/rooms/demo:1/backup", { as: SERVICE, body: first })).status, 200);
  const refusal = await call(other, "GET", "/rooms/demo:1/history", { as: ADMIN });
  refused(refusal, 503, "unavailable");
  assert.equal(refusal.headers.get("retry-after"), "5");
  await assert.rejects(join(t, other, "demo:1", ANN), { status: 503 });
  // The command begins again from the beginning.
  await restore({ url: other.url, token: token(SERVICE), from: out, say: quiet });
  const restored = await call(other, "GET", "/rooms/demo:1/history?after=0&limit=200", { as: ADMIN });
  const source = await call(server, "GET", `/rooms/demo:1/history?after=0&before=${end.offset + 1}&limit=200`, { as: ADMIN });
  assert.deepEqual(restored.body.messages, source.body.messages);
  assert.equal(restored.body.offset, end.offset);
});

test("a backup that is cut off, changed or none at all is refused before anything is sent, in words", async (t) => {
  const server = await serve(t);
  await call(server, "POST", "/rooms/demo:1/events", { as: ANN, body: { event: "note", data: "a word" } });
  const dir = persistDir();
  const out = path.join(dir, "good");
  await backup({ url: server.url, token: token(SERVICE), rooms: ["demo:1"], out, say: quiet });
  const text = readFileSync(out, "utf8");
  const other = await serve(t);
  for (const [what, bad, complaint] of [
    ["cut off", text.slice(0, text.lastIndexOf("{")), /cut off/],
    ["a word", text.replace("a word", "a wort"), /damaged/],
    ["a row less", text.split("\n").toSpliced(1, 1).join("\n"), /damaged/],
    ["other text", "hello\n", /damaged/],
    ["another version", text.replace('"backup":1', '"backup":2'), /another version/],
    ["more", `${text}{}\n`, /goes on/],
  ]) {
    const from = path.join(dir, "bad");
    writeFileSync(from, bad);
    await assert.rejects(restore({ url: other.url, token: token(SERVICE), from, say: quiet }), complaint, what);
  }
  refused(await call(other, "GET", "/rooms/demo:1/backup", { as: SERVICE }), 404, "not_found");
  const tool = (name, args, env) => spawnSync(node22(), [path.join(ROOT, `tests/tools/${name}.mjs`), ...args], { encoding: "utf8", env: { ...process.env, ...env } });
  const env = { TOKEN: token(SERVICE) };
  const list = path.join(dir, "rooms");
  writeFileSync(list, "# all of it\ndemo:1\n");
  const made = tool("backup", ["--url", server.url, "--rooms", list, "--out", path.join(dir, "two")], env);
  assert.equal(made.status, 0, made.stderr);
  assert.match(made.stdout, /^demo:1: 1 rows, up to [0-9a-f]{16}:1\n1 rooms in /);
  const restored = tool("restore", ["--url", other.url, "--in", path.join(dir, "two")], env);
  assert.equal(restored.status, 0, restored.stderr);
  const twice = tool("restore", ["--url", other.url, "--in", path.join(dir, "two")], env);
  assert.equal(twice.status, 1);
  assert.match(twice.stderr, /^demo:1, page 0: 409 conflict only a room that nobody has used/);
  assert.match(tool("backup", ["--url", server.url, "--out", path.join(dir, "three")], { TOKEN: "" }).stderr, /^TOKEN is needed/);
});

test("a folder of bare workerd that is copied while it is stopped is served elsewhere, with all that was in it", async (t) => {
  const persist = persistDir();
  const server = await serve(t, { persist });
  const body = { event: "note", data: 1, id: "n-1" };
  await call(server, "POST", "/rooms/demo:1/events", { as: ANN, body });
  const { epoch } = await history(server, "demo:1");
  await server.stop();
  const copy = path.join(persistDir(), "copy");
  cpSync(persist, copy, { recursive: true });
  const other = await serve(t, { persist: copy });
  assert.equal((await history(other, "demo:1")).epoch, epoch);
  assert.deepEqual((await call(other, "POST", "/rooms/demo:1/events", { as: ANN, body })).body, { offset: 1, duplicate: true });
});

// ── A machine of one's own ──────────────────────────────────────────────────────────────────────

const UNIT = path.join(ROOT, "tests/tools/dialtone.service");

test("the sample service file starts what it says, with its secrets out of the list of processes", async (t) => {
  const unit = readFileSync(UNIT, "utf8");
  const [, command] = unit.match(/^ExecStart=(.+)$/m);
  const dir = persistDir();
  const secret = randomBytes(24).toString("hex"); // not that of other tests, which have it on their command lines
  writeFileSync(path.join(dir, "vars"), `# of this test\nJWT_SECRET="${secret}"\nPING_INTERVAL_MS=11000\nOPEN_KINDS = demo\n`, { mode: 0o600 });
  // As systemd would: %S is the state, %d the credentials.
  const [node, script, ...args] = command.replaceAll("%S", dir).replaceAll("%d", dir).split(" ");
  assert.equal(node, "/opt/dialtone/node_modules/node/bin/node");
  assert.equal(script, "tests/tools/serve.mjs");
  assert.ok(statSync(path.join(ROOT, script)).isFile());
  const { vars, persist } = parseCommandLine(args);
  assert.deepEqual(Object.fromEntries(vars), { JWT_SECRET: secret, PING_INTERVAL_MS: "11000", OPEN_KINDS: "demo" });
  const server = await serve(t, { persist, varsFile: path.join(dir, "vars"), vars: { JWT_SECRET: undefined, PING_INTERVAL_MS: "12000" } });
  assert.equal((await call(server, "POST", "/rooms/demo:1/events", { headers: bearer({ sub: "ann" }, { secret }), body: { event: "note", data: 1 } })).status, 200);
  const opened = (await call(server, "GET", "/socket.io/?EIO=4&transport=polling")).body;
  assert.match(opened, /"pingInterval":12000/, "--var wins");
  const list = spawnSync("ps", ["-axww", "-o", "args"], { encoding: "utf8" });
  assert.ok(list.stdout.includes(String(server.port)) && !list.stdout.includes(secret), "a secret is in the list of processes");
});

test("systemd takes the sample service file", (t) => {
  const { error, status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", UNIT], { encoding: "utf8" });
  if (error) return t.skip("systemd-analyze is not here");
  // The command is where the sample says, which is not here.
  const complaints = stderr.split("\n").filter((line) => line.includes("dialtone.service") && !/is not executable|No such file/.test(line));
  assert.deepEqual(complaints, [], `${status}`);
});

test("when the server is told to end, clients are cut within seconds, and come back to the next one with nothing lost", async (t) => {
  const persist = persistDir();
  const server = await serve(t, { persist });
  const room = "demo:1";
  const client = await io(t, server, ANN, { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 }).connected();
  assert.equal((await client.ask("join", { room })).ok, true);
  const plain = await join(t, server, room, BOB);
  const first = client.socket.id;
  const gone = client.disconnected();
  await server.stop();
  assert.equal(await gone, "transport close");
  assert.equal((await plain.closed).code, 1006);
  const next = await serve(t, { persist, port: server.port });
  await call(next, "POST", `/rooms/${room}/events`, { as: BOB, body: { event: "note", data: "meanwhile" } });
  await client.event("note", (data) => data === "meanwhile", 20_000);
  assert.deepEqual([client.socket.recovered, client.socket.id], [true, first]);
});

test("an audit counts what is high or critical, and an answer that is no report is none", () => {
  const report = (severity) => ({ vulnerabilities: { left: { name: "left", severity } } });
  assert.deepEqual(["low", "moderate", "high", "critical"].map((severity) => judge(report(severity))), [[], [], ["left (high)"], ["left (critical)"]]);
  assert.deepEqual(judge({ vulnerabilities: {} }), []);
  for (const none of [undefined, {}, { message: "405", statusCode: 405 }]) assert.equal(judge(none), undefined);
});
