// Who is measured: each contender starts on a port of its own and says which process's CPU counts.

import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { node22, ROOT, workerd } from "../tools/tools.mjs";

const SECRET = "a secret of the benchmark, of more than 32 bytes";

export const contenders = [
  { name: "raw JS object, no log", start: (port) => rawJs(port, "0") },
  { name: "raw JS object, one insert a message", start: (port) => rawJs(port, "1") },
  { name: "Dialtone, plain WebSocket (logged, deduplicated, acked)", start: dialtone },
];

export async function rawJs(port, log) {
  const dir = mkdtempSync(join(tmpdir(), "dialtone-bench-"));
  mkdirSync(join(dir, "storage"));
  copyFileSync(join(ROOT, "tests/bench/contenders/raw-js.mjs"), join(dir, "index.js"));
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const date = toml.match(/^compatibility_date\s*=\s*"([^"]+)"/m)[1];
  // The same flags as ours: permessage-deflate would cost it half as much again.
  writeFileSync(
    join(dir, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "storage", disk = (path = "${dir}/storage", writable = true))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "index.js", esModule = embed "index.js")],
  compatibilityDate = "${date}",
  compatibilityFlags = ["no_web_socket_compression"],
  bindings = [(name = "ROOMS", durableObjectNamespace = "Room"), (name = "LOG", text = "${log}")],
  durableObjectNamespaces = [(className = "Room", uniqueKey = "raw-js", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),
);
`,
  );
  const child = spawn(workerd(), ["serve", "--control-fd=3", join(dir, "config.capnp")], { stdio: ["ignore", "inherit", "inherit", "pipe"] });
  await once(child.stdio[3], "data");
  const stop = async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
    rmSync(dir, { recursive: true, force: true });
  };
  return { pid: child.pid, url: () => `ws://127.0.0.1:${port}/`, stop };
}

export async function dialtone(port) {
  const vars = [`JWT_SECRET=${SECRET}`, "RATE_EVENTS_PER_SECOND=1000000", "RATE_BURST=1000000"];
  const args = [join(ROOT, "tests/tools/serve.mjs"), "--port", String(port), ...vars.flatMap((pair) => ["--var", pair])];
  const child = spawn(node22(), args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(createInterface(child.stdout), "line");
  const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
  const pid = Number(children.find((child) => readFileSync(`/proc/${child}/comm`, "utf8").startsWith("workerd")));
  const stop = async () => {
    child.kill("SIGTERM");
    await once(child, "exit");
  };
  return { pid, url: (n) => `ws://127.0.0.1:${port}/rooms/bench:1?token=${token(`u${n}`)}`, stop };
}

/** Node's own Socket.IO server, in a process of its own. */
export async function nodeSocketIo(port) {
  const child = spawn(node22(), [join(ROOT, "tests/bench/contenders/socket-io.mjs"), String(port)], { stdio: ["ignore", "pipe", "inherit"] });
  await once(createInterface(child.stdout), "line");
  const stop = async () => {
    child.kill("SIGKILL");
    await once(child, "exit");
  };
  return { pid: child.pid, url: () => `http://127.0.0.1:${port}`, stop };
}

/** A token for every room of the benchmark. */
export function token(sub) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const signed = `${part({ alg: "HS256" })}.${part({ sub, rooms: ["bench:*"], exp: Math.floor(Date.now() / 1000) + 3600 })}`;
  return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}
