// The Cap'n Proto text that bare workerd is configured with, and what of it comes from wrangler.toml.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Complaint, ROOT } from "./tools.mjs";

/**
 * The configuration of one Dialtone. The modules lie beside it (workerd embeds relative paths); `publicDir` and
 * `storageDir` are absolute; `headerRules` is the text of `_headers`; `vars` is `[name, value]` pairs. Data points for
 * Analytics Engine are POSTed to the server `analytics`, `host:port`; without it there is no such binding.
 */
export function workerdConfig({ port, publicDir, headerRules, storageDir, vars, analytics }) {
  const { date, flags } = compatibility();
  const bindings = vars.map(([name, value]) => `    (name = ${text(name)}, text = ${text(value)}),\n`).join("");
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "dialtone", worker = .dialtone),
    (name = "assets", worker = .assets),
    (name = "public", disk = (path = ${text(publicDir)})),
    (name = "storage", disk = (path = ${text(storageDir)}, writable = true)),
    # Local addresses too, so that TWILIO_API_BASE and EVENT_WEBHOOK_URL may be stand-ins on this machine.
${analytics ? `    (name = "analytics", external = (address = ${text(analytics)}, http = ())),\n` : ""}    (name = "internet", network = (allow = ["public", "private", "local"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "dialtone")],
);

const dialtone :Workerd.Worker = (
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  bindings = [
    (name = "ROOMS", durableObjectNamespace = "Room"),
    (name = "ASSETS", service = "assets"),
${bindings}${analytics ? `    (name = "ANALYTICS", analyticsEngine = "analytics"),\n` : ""}  ],
  # The key is part of every object's id: changing it loses all rooms.
  durableObjectNamespaces = [(className = "Room", uniqueKey = "dialtone-room", enableSql = true)],
  durableObjectStorage = (localDisk = "storage"),
);

const assets :Workerd.Worker = (
  modules = [(name = "assets.mjs", esModule = embed "assets.mjs")],
  compatibilityDate = ${text(date)},
  bindings = [(name = "PUBLIC", service = "public"), (name = "HEADERS", text = ${text(headerRules)})],
);
`;
}

/** A Cap'n Proto text literal: C's escapes, UTF-8 as it is. */
function text(value) {
  const escaped = value.replace(/["\\]/g, "\\$&").replace(/[\x00-\x1f\x7f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  return `"${escaped}"`;
}

/** The two keys of wrangler.toml that workerd needs as well; no TOML parser for two keys. */
function compatibility() {
  const toml = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const date = toml.match(/^compatibility_date\s*=\s*"([^"]+)"/m)?.[1];
  const flags = toml.match(/^compatibility_flags\s*=\s*\[([^\]]*)\]/m)?.[1];
  if (!date || flags === undefined) throw new Complaint("wrangler.toml has no compatibility_date or no compatibility_flags.");
  return { date, flags: [...flags.matchAll(/"([^"]+)"/g)].map(([, flag]) => flag) };
}
