// The commands (CONTRACT "Commands"): what they say, what they end with, what they leave behind.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { readDevVars, ROOT, toolEnv } from "../tools/tools.mjs";
import { call, Client, freePort, inbound, JWT_SECRET, join, persistDir, serve, token } from "./harness.mjs";

/** Runs a command to its end. */
const run = (command, args, env = {}) =>
  new Promise((resolve) => {
    execFile(command, args, { cwd: ROOT, env: toolEnv(env), maxBuffer: 1 << 26 }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });

/** Whether `npm run serve` is there to be asked at this port. */
const answers = (port) => fetch(`http://127.0.0.1:${port}/health`).then(() => true, () => false);

/** Joins as whoever the token names; gives their `connected`. */
async function enter(t, server, room, jwt) {
  const client = new Client(`${server.ws}/rooms/${encodeURIComponent(room)}`, { headers: { authorization: `Bearer ${jwt}` } });
  t.after(() => client.socket.terminate());
  await client.opened();
  return (await client.event("connected")).data;
}

test("commands that cannot work say why in one sentence, and end with 1", async () => {
  for (const [script, args, sentence] of [
    ["serve", ["--port", "18799", "--build", "nonexistent"], /^There is no build to serve: .*npm run build.*\.\n$/],
    ["serve", [], /^--port is a number from 1 to 65535\.\n$/],
    ["serve", ["--port", "0"], /^--port is a number from 1 to 65535\.\n$/],
    ["serve", ["--port", "18799", "--var", "NOVALUE"], /^--var is NAME=VALUE, not NOVALUE\n$/],
    ["serve", ["--port", "18799", "--nonsense"], /^[^\n]*--nonsense[^\n]*\n$/],
    ["serve-conformance", [], /^--port is a number from 1 to 65535\.\n$/],
    ["fuzz", ["--seconds", "soon"], /^--seconds is a number of seconds, not soon\n$/],
    ["token", [], /^--sub USER is needed[^\n]*\n$/],
    ["token", ["--sub", "u1", "--ttl", "soon"], /^--ttl is a number with s, m, h or d[^\n]*\n$/],
    ["sms", ["--from", "+15550100001"], /^--from and --to are needed[^\n]*\n$/],
  ]) {
    const { code, stdout, stderr } = await run("node", [`tests/tools/${script}.mjs`, ...args]);
    assert.deepEqual([code, stdout], [1, ""], `${script} ${args.join(" ")}: ${stderr}`);
    assert.match(stderr, sentence, `${script} ${args.join(" ")}`);
  }
});

test("values of --var arrive with their =, :, + and quotes, and a bad one is named by /health without its value", async (t) => {
  const secret = `a=b:c+d "e" \\f $HOME %41 – ünï ${"x".repeat(32)}`;
  const base = "https://hooks.dialtone.example:8443/a+b=c:d";
  const server = await serve(t, { vars: { JWT_SECRET: secret, PUBLIC_BASE_URL: base } });
  assert.equal((await enter(t, server, "demo:1", token({ sub: "ann", rooms: ["demo:1"] }, { secret }))).userId, "ann");
  assert.equal((await inbound(server, {}, { base })).status, 200);
  assert.equal((await inbound(server, {}, { base: server.url })).status, 403);

  const misconfigured = await serve(t, { vars: { PUBLIC_BASE_URL: "ftp=x:y+z" } });
  const { status, body } = await call(misconfigured, "GET", "/health");
  assert.equal(status, 503);
  assert.match(JSON.stringify(body), /PUBLIC_BASE_URL/);
  assert.doesNotMatch(JSON.stringify(body), /ftp/);
});

test("`npm run serve` prints one line when it is ready, and ends with 0 and all of its processes on SIGTERM", async (t) => {
  const port = await freePort();
  const child = spawn("npm", ["run", "--silent", "serve", "--", "--port", String(port)], { cwd: ROOT, env: toolEnv(), stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const lines = [];
  const reader = createInterface(child.stdout).on("line", (line) => lines.push(line));
  await once(reader, "line");
  assert.ok(await answers(port), "ready means ready");
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(lines, [`listening on http://127.0.0.1:${port}`]);
  assert.equal(await answers(port), false, "the port is free");
});

test("SIGTERM ends a server within seconds though sockets are open, and with 0", async (t) => {
  const server = await serve(t);
  const client = await join(t, server, "demo:1", { sub: "ann", rooms: ["demo:1"] });
  const start = Date.now();
  await server.stop();
  assert.equal(server.child.exitCode, 0);
  assert.ok(Date.now() - start < 8000, `${Date.now() - start} ms`);
  await client.closed;
});

test("after kill -9 the same command serves the same port and folder again, three times over", async (t) => {
  const options = { port: await freePort(), persist: persistDir() };
  for (let n = 1; n <= 3; n++) {
    const server = await serve(t, options);
    const ann = await join(t, server, "demo:1", { sub: "ann", rooms: ["demo:1"] });
    assert.equal((await ann.ask("note", n)).offset, n);
    await server.kill9();
  }
});

test("without --persist nothing is kept", async (t) => {
  const port = await freePort();
  for (const round of [1, 2]) {
    const server = await serve(t, { port });
    const ann = await join(t, server, "demo:1", { sub: "ann", rooms: ["demo:1"] });
    assert.equal((await ann.ask("note", round)).offset, 1);
    await server.kill9();
  }
});

test("`npm run token` prints a token, and nothing else, that the server accepts for what was asked", async (t) => {
  const server = await serve(t);
  const make = async (args, env = { JWT_SECRET }) => {
    const { code, stdout, stderr } = await run("npm", ["run", "--silent", "token", "--", ...args], env);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    return stdout.trim();
  };
  const ann = await make(["--sub", "u1", "--role", "customer", "--name", "Ann", "--rooms", "demo:*, other:1", "--rooms", "more:*", "--ttl", "1h"]);
  for (const room of ["demo:7", "other:1", "more:1"]) assert.equal((await enter(t, server, room, ann)).userId, "u1", room);
  await assert.rejects(enter(t, server, "other:2", ann), { status: 403 });
  assert.equal((await call(server, "GET", "/metrics", { headers: { authorization: `Bearer ${ann}` } })).status, 403);
  const admin = await make(["--sub", "7", "--int-sub", "--role", "admin", "--rooms", "demo:*"]);
  assert.equal((await enter(t, server, "demo:7", admin)).userId, 7);
  assert.equal((await call(server, "GET", "/metrics", { headers: { authorization: `Bearer ${admin}` } })).status, 200);
  await assert.rejects(enter(t, server, "demo:7", await make(["--sub", "u1", "--rooms", "demo:*", "--ttl=-1h"])), { status: 401 });

  const development = await make(["--sub", "u1", "--rooms", "demo:*"], { JWT_SECRET: "" });
  await assert.rejects(enter(t, server, "demo:7", development), { status: 401 }, "a development token is good for development alone");
  const developing = await serve(t, { vars: { JWT_SECRET: readDevVars().JWT_SECRET } });
  assert.equal((await enter(t, developing, "demo:7", development)).userId, "u1");
});

test("CI runs `npm test`, and every script of package.json that is promised names a file that exists", () => {
  assert.match(readFileSync(path.join(ROOT, ".ci/run"), "utf8"), /^npm test$/m);
  const { scripts } = JSON.parse(readFileSync(path.join(ROOT, "package.json"), "utf8"));
  for (const name of ["start", "test", "build", "serve", "token"]) {
    const [, file] = scripts[name].match(/node (\S+\.mjs)/) ?? [];
    assert.ok(file && existsSync(path.join(ROOT, file)), `${name}: ${scripts[name]}`);
  }
});

test("no file of the repository names a package registry's host, a path of one machine, or holds a secret of this checkout", async () => {
  const { stdout } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
  const files = stdout.split("\0").filter((file) => file && existsSync(path.join(ROOT, file)));
  assert.ok(files.length > 50, `${files.length} files`);
  const { JWT_SECRET: ours, TWILIO_AUTH_TOKEN, TWILIO_ACCOUNT_SID } = readDevVars();
  // Written so that this file does not contain what it looks for.
  const forbidden = [
    ["a path of one machine", /(?<![\w.])\/(?:work|root|home\/\w+|Users\/\w+)\//],
    ["a registry's host", /registry\.(?:npmjs|yarnpkg|npmmirror)\.\w+|(?:static|index)\.crates\.io|pypi\.(?:org|python)\b|files\.pythonhosted|proxy\.golang/],
    ["a registry by URL", /"resolved": "https?:/],
  ];
  const found = [];
  for (const file of files) {
    const text = readFileSync(path.join(ROOT, file), "utf8");
    for (const [what, pattern] of forbidden) {
      const match = text.match(pattern);
      if (match) found.push(`${file}: ${what} (${match[0]})`);
    }
    for (const secret of [ours, TWILIO_AUTH_TOKEN, TWILIO_ACCOUNT_SID]) if (secret && text.includes(secret)) found.push(`${file}: a secret of .dev.vars`);
  }
  assert.deepEqual(found, []);
  assert.ok(!files.includes(".dev.vars"), ".dev.vars is ignored by git");
});
