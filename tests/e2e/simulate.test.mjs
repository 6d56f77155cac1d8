// Development alone: the simulator and the copy of the page that has its panel; and what of the page is made by the build
// or by Cloudflare's `_headers`. The panel itself is clicked by the page's tests.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import * as path from "node:path";
import { test } from "node:test";
import { devPublic, Simulator } from "../tools/simulate.mjs";
import { node22, ROOT, toolEnv } from "../tools/tools.mjs";
import { vendor, VENDORED } from "../tools/vendor.mjs";
import { accepted, ADMIN, assign, bearer, call, conversations, conversationUrl, eventually, freePort, history, messageOf, newNumber, persistDir, received, serve, serveSimulated } from "./harness.mjs";

const read = (file) => readFileSync(path.join(ROOT, file), "utf8");
const filesOf = (dir) => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => path.relative(dir, path.join(entry.parentPath ?? entry.path, entry.name)));

/** Asks the simulator, as the panel does; gives `{status, body}`. */
async function ask(simulator, method, route, body, headers = {}) {
  const init = { method, headers: { origin: simulator.page, ...(body && { "content-type": "application/json" }), ...headers } };
  const response = await fetch(simulator.url + route, { ...init, body: body && JSON.stringify(body) });
  return { status: response.status, headers: response.headers, body: await response.json() };
}

/** The same, and it is done. */
async function done(simulator, route, body) {
  const answer = await ask(simulator, body ? "POST" : "GET", route, body);
  assert.equal(answer.status, 200, `${route} ${JSON.stringify(body)}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

// ── The page's files ──

test("the page's Socket.IO client is npm's, byte for byte, with the licences of all that is in it, and git ignores it", async () => {
  const lines = [];
  vendor({ log: (line) => lines.push(line) });
  const file = path.join(ROOT, "public", VENDORED);
  assert.deepEqual(readFileSync(file), readFileSync(path.join(ROOT, "node_modules/socket.io-client/dist/socket.io.esm.min.js")));
  const licence = readFileSync(`${file}.LICENSE`, "utf8");
  for (const name of ["socket.io-client", "engine.io-client", "engine.io-parser", "socket.io-parser", "@socket.io/component-emitter"]) {
    assert.ok(licence.includes(`${name} ${JSON.parse(read(`node_modules/${name}/package.json`)).version}\n`), name);
  }
  assert.equal(licence.match(/Permission is hereby granted/g).length, 5);
  lines.length = 0;
  vendor({ log: (line) => lines.push(line) });
  assert.deepEqual(lines, [], "what is there already is left alone");
  const ignored = await new Promise((resolve) => execFile("git", ["check-ignore", `public/${VENDORED}`, ".dev-public/index.html"], { cwd: ROOT }, (_, stdout) => resolve(stdout)));
  assert.equal(ignored, `public/${VENDORED}\n.dev-public/index.html\n`);
});

test("every file of the page is served with a strict Content-Security-Policy, types as text, and _headers is not served", async (t) => {
  const server = await serve(t);
  for (const file of ["/", "/style.css", "/app.js", "/favicon.svg", `/${VENDORED}`, "/types/dialtone.d.ts"]) {
    const { status, headers } = await call(server, "GET", file);
    assert.equal(status, 200, file);
    const directives = Object.fromEntries(headers.get("content-security-policy").split("; ").map((one) => [one.split(" ")[0], one.split(" ").slice(1).join(" ")]));
    for (const [name, value] of Object.entries({ "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'" })) {
      assert.equal(directives[name], value, `${file}: ${name}`);
    }
    assert.doesNotMatch(headers.get("content-security-policy"), /unsafe|\*|https?:/, file);
    assert.equal(headers.get("x-content-type-options"), "nosniff", file);
    assert.equal(headers.get("referrer-policy"), "no-referrer", file);
  }
  const navigation = await call(server, "GET", "/not/there", { headers: { accept: "text/html" } });
  assert.match(navigation.headers.get("content-security-policy"), /default-src 'none'/, "the page in place of one that is not there");
  for (const [file, type] of [["/types/dialtone.d.ts", "text/plain; charset=utf-8"], [`/${VENDORED}`, "text/javascript; charset=utf-8"], ["/openapi.json", "application/json"]]) {
    assert.equal((await call(server, "GET", file)).headers.get("content-type"), type, file);
  }
  assert.equal((await call(server, "GET", "/_headers")).status, 404);
});

test("`npm run serve -- --public DIR` serves that folder, and says what it lacks", async (t) => {
  const dir = persistDir();
  const port = await freePort();
  const refused = await new Promise((resolve) => execFile(node22(), ["tests/tools/serve.mjs", "--port", String(port), "--public", dir], { cwd: ROOT }, (error, stdout, stderr) => resolve([error.code, stdout, stderr])));
  assert.deepEqual(refused, [1, "", `--public is a folder with an index.html, not ${dir}\n`]);
  writeFileSync(path.join(dir, "index.html"), "<!doctype html><title>another</title>");
  const server = await serve(t, { port, publicDir: dir });
  assert.match((await call(server, "GET", "/")).body, /another/);
  assert.match(server.logs.join(""), /vendor\/socket\.io\.esm\.min\.js, is missing: run `npm run build`\./);
});

test("what is deployed is public/, and has nothing of simulate; nor has `npm run serve`", async (t) => {
  assert.match(read("wrangler.toml"), /^directory = "public"$/m);
  const files = filesOf(path.join(ROOT, "public"));
  assert.ok(files.includes("index.html"), `${files}`);
  for (const file of files.filter((name) => !name.startsWith("vendor"))) assert.doesNotMatch(file + read(`public/${file}`), /simulate(-wires)?\.(js|css)|data-server/, file);
  const server = await serve(t);
  for (const file of ["/simulate.js", "/simulate.css", "/simulate-wires.js"]) assert.equal((await call(server, "GET", file)).status, 404, file);
});

test("the development copy is the page with the panel, before the page's own script, allowed to ask the simulator, and follows changes", async (t) => {
  const [from, to] = [persistDir(), persistDir()];
  const put = (file, text) => (mkdirSync(path.dirname(path.join(from, file)), { recursive: true }), writeFileSync(path.join(from, file), text));
  const copied = (file) => readFileSync(path.join(to, file), "utf8");
  put("index.html", `<meta content="connect-src 'self'; img-src 'self'"><script type="module" src="/app.js"></script>`);
  put("_headers", "/*\n  Content-Security-Policy: default-src 'none'; connect-src 'self'\n");
  put("ui/dom.js", "export {};");
  writeFileSync(path.join(to, "stale.js"), "");
  const copy = devPublic({ from, to, server: "http://127.0.0.1:18788" });
  t.after(() => copy.close());
  assert.match(copied("index.html"), /connect-src http:\/\/127\.0\.0\.1:18788 'self'; img-src[^]*src="\/simulate\.js" data-server="http:\/\/127\.0\.0\.1:18788"[^]*src="\/app\.js"/);
  assert.match(copied("_headers"), /default-src 'none'; connect-src http:\/\/127\.0\.0\.1:18788 'self'\n/);
  assert.deepEqual(filesOf(to).sort(), ["_headers", "index.html", "simulate-wires.js", "simulate.css", "simulate.js", "ui/dom.js"]);
  put("ui/new.js", "1");
  put("ui/dom.js", "export { changed };");
  rmSync(path.join(from, "_headers"));
  await eventually("the copy has followed", () => existsSync(path.join(to, "ui/new.js")) && copied("ui/dom.js").includes("changed") && !existsSync(path.join(to, "_headers")));
});

// ── The simulator ──

test("a text, a WhatsApp, a picture and a STOP that it simulates arrive as Twilio's would", async (t) => {
  const { server, simulator } = await serveSimulated(t);
  const [line, contact] = [newNumber(), newNumber()];
  const { sid, room } = await done(simulator, "/sms", { line, contact, body: "hello <b>" });
  assert.equal(room, `sms:${line}:${contact}`);
  const [text] = await received(server, room);
  assert.deepEqual([text.body, text.messageSid], ["hello <b>", sid]);

  const whatsapp = await done(simulator, "/sms", { line, contact, body: "hi", channel: "whatsapp", name: "Bo" });
  assert.equal(whatsapp.room, `sms:whatsapp:${line}:whatsapp:${contact}`);
  assert.equal((await conversations(server, `whatsapp:${line}`))[0].profileName, "Bo");

  const pictures = await done(simulator, "/sms", { line, contact, media: 2 });
  assert.equal((await received(server, room)).at(-1).media.length, 2);
  const picture = await fetch(server.url + conversationUrl(line, contact, `/media/${pictures.sid}/1`), { headers: bearer(ADMIN) });
  assert.deepEqual([picture.status, picture.headers.get("content-type")], [200, "image/png"]);
  assert.equal(Buffer.from(await picture.arrayBuffer()).toString("latin1", 1, 4), "PNG");

  await done(simulator, "/sms", { line, contact, optOut: "STOP" });
  assert.equal((await conversations(server, line))[0].optedOut, true);
  await done(simulator, "/sms", { line, contact, optOut: "START" });
  assert.equal((await conversations(server, line))[0].optedOut, false);

  for (const [body, field] of [[{ contact }, "line"], [{ line }, "contact"]]) {
    const refused = await ask(simulator, "POST", "/sms", body);
    assert.deepEqual([refused.status, refused.body.detail], [400, `\`${field}\` is needed`]);
  }
});

test("what is sent is listed, becomes what one says, with an error code, or by itself", async (t) => {
  const { server, simulator } = await serveSimulated(t);
  const [line, contact] = [newNumber(), newNumber()];
  await done(simulator, "/sms", { line, contact, body: "hello" });
  const atTwilio = (body) => eventually(`${body} is at Twilio`, async () => (await done(simulator, "/messages")).messages.find((message) => message.body === body));

  await accepted(server, line, contact, { id: "m-1", body: "one" });
  const one = await atTwilio("one");
  assert.deepEqual([one.from, one.to, one.status], [line, contact, "queued"]);
  for (const status of ["sent", "delivered", "read"]) {
    await done(simulator, "/status", { sid: one.sid, status });
    await messageOf(server, line, contact, "m-1", status);
  }
  await accepted(server, line, contact, { id: "m-2", body: "two" });
  await done(simulator, "/status", { sid: (await atTwilio("two")).sid, status: "undelivered", errorCode: 30003 });
  assert.equal((await messageOf(server, line, contact, "m-2", ({ errorCode }) => errorCode)).errorCode, 30003);
  assert.equal((await atTwilio("two")).errorCode, 30003);

  assert.equal((await done(simulator, "/automatic", { on: true })).automatic, true);
  await accepted(server, line, contact, { id: "m-3", body: "three" });
  await messageOf(server, line, contact, "m-3", "delivered");

  assert.equal((await ask(simulator, "POST", "/status", { sid: "SM0", status: "sent" })).status, 404);
  assert.equal((await ask(simulator, "POST", "/status", { sid: one.sid, status: "so-so" })).status, 400);
});

test("it emits, publishes a job and notifies as a backend does, and says what the server refuses in its words", async (t) => {
  const { server, simulator } = await serveSimulated(t);
  const { results } = await done(simulator, "/emit", { room: "ticket:7", event: "comment:added", data: { text: "It works." } });
  assert.deepEqual(results, [{ room: "ticket:7", offset: 1, duplicate: false }]);
  assert.equal((await history(server, "ticket:7")).messages[0].data.text, "It works.");
  assert.equal((await done(simulator, "/job", { jobId: 42, status: "in_progress", progress: 10 })).room, "job:42");
  assert.ok((await done(simulator, "/notify", { userId: "ann", type: "alert", title: "t", message: "m", severity: "info" })).id);
  assert.equal((await call(server, "GET", "/api/notifications", { as: { sub: "ann" } })).body.unread, 1);
  const refused = await ask(simulator, "POST", "/job", { jobId: "42", status: "lost" });
  assert.equal(refused.status, 422);
  assert.match(refused.body.detail, /`status`/);
  assert.deepEqual([(await ask(simulator, "POST", "/job", {})).status, (await ask(simulator, "POST", "/notify", {})).status], [400, 400]);
});

test("the token that it makes is good here, for what was asked", async (t) => {
  const { server, simulator } = await serveSimulated(t);
  const { token } = await done(simulator, "/token", { sub: "ann", role: "customer", rooms: ["demo:*"] });
  const as = { headers: { authorization: `Bearer ${token}` } };
  assert.equal((await call(server, "GET", "/rooms/demo%3A1/history", as)).status, 200);
  assert.equal((await call(server, "GET", "/rooms/chat%3A1/history", as)).status, 403);
  assert.equal((await ask(simulator, "POST", "/token", { role: "admin" })).status, 400);
});

test("after its restart the server answers, and has what it had", async (t) => {
  const { server, simulator } = await serveSimulated(t);
  const { room } = await done(simulator, "/sms", { line: newNumber(), contact: newNumber(), body: "kept" });
  await Promise.all([done(simulator, "/restart", {}), done(simulator, "/restart", {})]);
  assert.equal((await received(server, room))[0].body, "kept");
});

test("only the page that it is for may ask: not another origin, not under another name, not with a form", async (t) => {
  const simulator = await Simulator.start({ page: "http://127.0.0.1:18787", vars: { TWILIO_ACCOUNT_SID: `AC${"0".repeat(32)}`, TWILIO_AUTH_TOKEN: "x", JWT_SECRET: "x".repeat(32) } });
  t.after(() => simulator.close());
  const body = { sub: "ann" };
  for (const origin of ["http://127.0.0.1:18787", "http://localhost:18787"]) {
    const answer = await ask(simulator, "POST", "/token", body, { origin });
    assert.deepEqual([answer.status, answer.headers.get("access-control-allow-origin")], [200, origin]);
  }
  for (const origin of ["http://127.0.0.1:18786", "https://evil.example", "null"]) {
    const answer = await ask(simulator, "POST", "/token", body, { origin });
    assert.deepEqual([answer.status, answer.headers.get("access-control-allow-origin")], [403, null], origin);
  }
  assert.equal((await ask(simulator, "POST", "/token", body, { "content-type": "text/plain" })).status, 415);
  assert.equal((await ask(simulator, "GET", "/token")).status, 404);
  // A name of somebody's own for 127.0.0.1; `fetch` sets the header itself.
  const asked = request(simulator.url + "/messages", { headers: { host: `evil.example:${simulator.port}` } }).end();
  const [rebound] = await once(asked, "response");
  assert.equal(rebound.statusCode, 403);
  rebound.resume();
  const preflight = await fetch(simulator.url + "/token", { method: "OPTIONS", headers: { origin: "http://127.0.0.1:18787", "access-control-request-method": "POST", "access-control-request-headers": "content-type" } });
  assert.deepEqual([preflight.status, preflight.headers.get("access-control-allow-headers")], [204, "content-type"]);
  assert.equal((await ask(simulator, "POST", "/emit", { event: "e" })).status, 502, "no server is there");
});

test("it listens at the next port that is free", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address();
  const simulator = await Simulator.start({ page: "http://127.0.0.1:18787", port, vars: {} });
  t.after(() => simulator.close());
  assert.ok(simulator.port > port, `${simulator.port}`);
  await done(simulator, "/messages");
});

test("`npm start` serves the page with the panel, sends to the stand-in, restarts, and ends with all that it began", { timeout: 240_000 }, async (t) => {
  const port = await freePort();
  const child = spawn(process.execPath, ["tests/tools/start.mjs", "--port", String(port), "--persist-to", persistDir()], { cwd: ROOT, env: toolEnv(), stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const ended = once(child, "exit");
  const server = { port, url: `http://127.0.0.1:${port}` };
  await eventually("it answers", () => fetch(`${server.url}/health`).then(({ ok }) => ok, () => child.exitCode !== null && assert.fail(output)), 200_000);
  const [, url] = output.match(/`simulate` on the page \(its server: (\S+)\)/) ?? assert.fail(output);
  const page = await call(server, "GET", "/");
  assert.match(page.body, new RegExp(`src="/simulate.js" data-server="${url}"`));
  assert.match(page.headers.get("content-security-policy"), new RegExp(`connect-src ${url} 'self'`));
  assert.equal((await call(server, "GET", "/types/dialtone.d.ts")).headers.get("content-type"), "text/plain; charset=utf-8");

  const simulator = { page: server.url, url };
  const [line, contact] = [newNumber(), newNumber()];
  await done(simulator, "/sms", { line, contact, body: "hello" });
  const { token } = await done(simulator, "/token", { sub: "root", role: "admin" });
  const headers = { authorization: `Bearer ${token}` };
  const conversation = `/api/lines/${encodeURIComponent(line)}/conversations/${encodeURIComponent(contact)}/messages`;
  const status = async () => (await call(server, "GET", conversation, { headers })).body.messages.findLast(({ data }) => data.id === "m-1")?.data.status;
  assert.equal((await call(server, "POST", conversation, { headers, body: { id: "m-1", body: "one" } })).status, 202);
  await eventually("it is delivered by itself", async () => (await status()) === "delivered", 20_000);

  await done(simulator, "/restart", {});
  assert.equal(await status(), "delivered", "what was, is");
  child.kill("SIGTERM");
  await ended;
  for (const gone of [server.url, url]) await eventually(`${gone} is gone`, () => fetch(gone).then(() => false, () => true));
});
