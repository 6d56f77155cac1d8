// Writes what a version of the schema holds into tests/vectors/schema/v{N}.sql: rooms that its code has filled, on workerd. Run
// it once, before the schema's next version is begun, with the build that is deployed; never again for a version that has its file.
//
//   node tests/vectors/schema.mjs [--dir CHECKOUT]      # a checkout with node_modules/ and build/; this one unless said otherwise
//
// The tests (versions.rs in core, operations.test.mjs) find in it what is put in here. What came with a later version is left out.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { parseArgs } from "node:util";
import { ACCOUNT_SID, AUTH_TOKEN, call, eventually, freePort, inbound, ioConnected, join, JWT_SECRET, persistDir, SERVICE, sleep } from "../e2e/harness.mjs";
import { ROOT } from "../tools/tools.mjs";

const { values } = parseArgs({ options: { dir: { type: "string", default: ROOT } } });
const { dir } = values;
const version = Number(readFileSync(path.join(dir, "core/src/storage.rs"), "utf8").match(/SCHEMA_VERSION: i64 = (\d+)/)[1]);

const persist = persistDir();
const port = await freePort();
// Nobody answers for Twilio: what is sent is unknown. The session is there when the tests come for it.
const vars = { JWT_SECRET, TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN, TWILIO_API_BASE: "http://127.0.0.1:9", RECOVERY_WINDOW_MS: "86400000" };
const args = Object.entries(vars).flatMap(([name, value]) => ["--var", `${name}=${value}`]);
const child = spawn(process.execPath, [path.join(dir, "tests/tools/serve.mjs"), "--port", String(port), "--persist", persist, ...args], { cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
await once(createInterface(child.stdout), "line");
const server = { port, url: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}` };
const t = { after() {} };

const ANN = { sub: "ann", rooms: ["demo:*", "chat:*"] };
const BOB = { ...ANN, sub: "bob" };
const LINE = "+15552223333";
const CONTACTS = ["+15550001111", "+15550009999"];
const line = `/api/lines/${encodeURIComponent(LINE)}`;

async function ask(method, route, as, body) {
  const answer = await call(server, method, route, { as, body });
  if (answer.status >= 300) throw new Error(`${method} ${route}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}

const note = (as, n, data = { n }) => ask("POST", "/rooms/demo:1/events", as, { event: "note", data, id: `n-${n}` });

for (let n = 1; n <= 5; n++) await note(n % 2 ? ANN : BOB, n, { n, text: "Grüße 👍" });
await ask("PUT", "/rooms/demo:1/members/guest", SERVICE);
const guest = await join(t, server, "demo:1", { sub: "guest" });
await guest.ask("mark_read", { offset: 3 });
guest.socket.terminate();

for (const member of ["ann", "bob"]) await ask("PUT", `/rooms/chat:42/members/${member}`, SERVICE);
for (let n = 1; n <= 3; n++) await ask("POST", "/rooms/chat:42/events", ANN, { event: "send_message", data: { message: `hello ${n}` }, id: `c-${n}` });

await ask("PUT", `${line}/assignees/ann`, SERVICE);
for (const [n, From, Body] of [[1, CONTACTS[0], "first"], [2, CONTACTS[0], "second"], [3, CONTACTS[1], "third"]]) {
  const { status } = await inbound(server, { From, To: LINE, Body, MessageSid: `SM${String(n).padStart(32, "0")}` });
  if (status !== 200) throw new Error(`${Body}: ${status}`);
}

const session = version >= 2 ? await cutSession() : undefined;
if (version >= 3) {
  await ask("POST", "/api/emit", SERVICE, { room: "ticket:7", event: "comment:added", data: { text: "It works again." }, except: ["bob"], id: "comment-81" });
  await ask("POST", "/api/jobs/42", SERVICE, { status: "in_progress", progress: 50 });
  for (const id of ["n-1", "n-2"]) await ask("POST", "/api/users/bob/notifications", SERVICE, { id, type: "alert", title: "T", message: "M", severity: "info" });
  await ask("POST", "/api/notifications/n-2/read", { sub: "bob" });
}
if (version >= 4) {
  const messages = `${line}/conversations/${encodeURIComponent(CONTACTS[0])}/messages`;
  await ask("POST", messages, { sub: "ann" }, { id: "m-1", body: "Until six." });
  await eventually("unknown", async () => JSON.stringify(await ask("GET", messages, { sub: "ann" })).includes('"unknown"'), 30_000);
}

/** A Socket.IO client that has heard something, and is cut; the grace is over. What it comes back with. */
async function cutSession() {
  const client = await ioConnected(t, server, ANN, { query: { recovery: "1" } });
  const { id } = client.socket;
  await client.ask("join", { room: "demo:1" });
  await client.ask("send", { room: "demo:1", event: "note", data: { n: 6 }, id: "n-6" });
  await note(BOB, 7);
  await client.event("note", ({ n }) => n === 7);
  client.cut();
  await sleep(6500);
  return { pid: client.socket._pid, offset: client.socket._lastOffset, id };
}

child.kill("SIGTERM");
await once(child, "exit");

const quoted = (value) => (value === null ? "NULL" : typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value));
const commit = execFileSync("git", ["-C", dir, "log", "-1", "--format=%h"], { encoding: "utf8" }).trim();
let out = `-- ${JSON.stringify({ schema: version, commit, at: Date.now(), session })}\n`;
const objects = path.join(persist, "dialtone-room");
for (const file of readdirSync(objects).filter((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)).sort()) {
  const db = new DatabaseSync(path.join(objects, file));
  // workerd's own tables begin with _cf.
  const parts = db.prepare("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' AND sql IS NOT NULL ORDER BY type DESC, rowid").all();
  if (!parts.some(({ name }) => name === "meta")) continue;
  out += `\n-- ${db.prepare("SELECT value FROM meta WHERE key = 'room'").get().value} in ${file}\n`;
  for (const { type, name, sql } of parts) {
    out += `${sql.replace(/\s+/g, " ")};\n`;
    if (type !== "table") continue;
    for (const row of db.prepare(`SELECT * FROM ${name}`).all()) out += `INSERT INTO ${name} (${Object.keys(row).join(", ")}) VALUES (${Object.values(row).map(quoted).join(", ")});\n`;
  }
  db.close();
}
mkdirSync(path.join(ROOT, "tests/vectors/schema"), { recursive: true });
const to = path.join(ROOT, `tests/vectors/schema/v${version}.sql`);
writeFileSync(to, out, { flag: "wx" }); // never over one that is there
console.log(`${to}: ${out.length} bytes`);
process.exit(0);
