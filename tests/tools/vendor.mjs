// The page's Socket.IO client: npm's, as it is, with its source map and the licences of what is in it, in public/vendor/,
// which git ignores. `npm run build` calls this; files that are right already are left alone.
//
//   node tests/tools/vendor.mjs

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Complaint, main, ROOT } from "./tools.mjs";

const DIST = "socket.io-client/dist";
const CLIENT = "socket.io.esm.min.js";
/** What the client is bundled from; each has a licence of its own. */
const BUNDLED = ["socket.io-client", "engine.io-client", "engine.io-parser", "socket.io-parser", "@socket.io/component-emitter"];

/** Where a folder of assets has the client: what `npm run serve` looks for. */
export const VENDORED = `vendor/${CLIENT}`;

/** Puts the client into public/. */
export function vendor({ log = console.log } = {}) {
  const licences = BUNDLED.map((name) => `${name} ${JSON.parse(fromPackage(`${name}/package.json`)).version}\n\n${fromPackage(`${name}/LICENSE`).toString().trim()}\n`);
  const files = {
    [CLIENT]: fromPackage(`${DIST}/${CLIENT}`),
    [`${CLIENT}.map`]: fromPackage(`${DIST}/${CLIENT}.map`),
    [`${CLIENT}.LICENSE`]: licences.join(`\n${"-".repeat(80)}\n\n`),
  };
  const written = Object.entries(files).filter(([name, content]) => writeIfNew(join(ROOT, "public/vendor", name), content));
  if (written.length > 0) log(`build: public/${VENDORED} is ready`);
}

function fromPackage(path) {
  const file = join(ROOT, "node_modules", path);
  if (!existsSync(file)) throw new Complaint(`node_modules/${path} is missing: run \`npm run setup\`.`);
  return readFileSync(file);
}

/** By content, so that who watches the folder hears of what has changed and of nothing else. */
export function writeIfNew(file, content) {
  const bytes = Buffer.from(content);
  if (existsSync(file) && readFileSync(file).equals(bytes)) return false;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, bytes);
  return true;
}

main(import.meta.url, () => vendor());
