// What others' code we ship and build with: `npm test -- --only audit`. Licences, bans and sources are judged by what is in
// the repository and always; known faults by databases that must be asked: where they cannot be, that is said aloud, and
// is no failure.

import { join } from "node:path";
import { cargoTools, Complaint, ROOT, run } from "./tools.mjs";

const DENY = ["--config", join(ROOT, "tests/tools/deny.toml")];
/** Faults of development's tools are nobody's danger but ours; below this they are not worth a red build. */
const LEVELS = ["high", "critical"];
const ASK_TIMEOUT_MS = 60_000;

/** Licences, bans, sources (deny.toml). */
export const cargoDeny = () => run(cargoTools.cargoDeny().command, ["--locked", "--log-level", "error", ...DENY, "check", "--hide-inclusion-graph", "-A", "duplicate", "bans", "licenses", "sources"]);

/** Crates with a known fault, and those that were withdrawn. */
export async function advisories() {
  const { code, stderr } = await ask(cargoTools.cargoDeny().command, [...DENY, "--color", "never", "check", "advisories"]);
  if (/failed to fetch advisory database/.test(stderr)) return skipped("RustSec's advisories cannot be fetched here");
  if (code !== 0) throw new Complaint(`cargo deny found crates with known faults:\n${stderr}`);
}

/** npm packages with a known fault. */
export async function npmAudit() {
  const { stdout } = await ask("npm", ["audit", "--json"]);
  const report = parse(stdout);
  const found = judge(report);
  if (found === undefined) return skipped(`the registry answers no audits (${report?.message?.split(" - ")[0] ?? "no answer"})`);
  if (found.length > 0) throw new Complaint(`npm audit found: ${found.join(", ")}`);
}

/** The packages of a report whose faults count; none where it is no report. */
export function judge(report) {
  if (!report?.vulnerabilities) return undefined;
  return Object.values(report.vulnerabilities).filter(({ severity }) => LEVELS.includes(severity)).map(({ name, severity }) => `${name} (${severity})`);
}

const ask = (command, args) => run(command, args, { stdio: ["ignore", "pipe", "pipe"], timeout: ASK_TIMEOUT_MS, allowFailure: true });

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const skipped = (why) => console.log(`SKIPPED: ${why}`);
