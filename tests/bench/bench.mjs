// `npm run bench`: Dialtone and what one would take instead, side by side in one run, in interleaved rounds. Linux only: the
// servers' CPU and memory are the operating system's counts. One process, this one, owns all the clocks.
//
//   npm run bench [-- --quick] [--only fan-out,memory] [--contenders raw-js,ours-plain] [--rounds N] [--scale 0.1]
//                 [--json FILE] [--readme] [--list]
//
// Markdown on stdout, progress on stderr. It ends with 1 where a delivery or an ack is lost, doubled or out of order.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "../tools/build.mjs";
import { Complaint, main, node22, ROOT } from "../tools/tools.mjs";
import { CONTENDERS } from "./contenders.mjs";
import { Crowd } from "./crowd.mjs";
import { judge } from "./goals.mjs";
import { Unavailable } from "./launch.mjs";
import { median } from "./measure.mjs";
import { markdown } from "./report.mjs";
import { fanOuts } from "./scenarios/fan-out.mjs";
import { idle } from "./scenarios/idle.mjs";
import { lobbies } from "./scenarios/lobbies.mjs";
import { memory } from "./scenarios/memory.mjs";
import { publish } from "./scenarios/publish.mjs";
import { roundTrip } from "./scenarios/round-trip.mjs";
import { startUp } from "./scenarios/start-up.mjs";
import { wake } from "./scenarios/wake.mjs";

const SCENARIOS = [...fanOuts, lobbies, publish, roundTrip, wake, idle, memory, startUp];
/** Files that are open besides the sockets. */
const FEW_FILES = 300;
/** What comes when all is heard is one too many; it is waited for so long. */
const LATE_MS = 200;
const README = join(ROOT, "README.md");
const [BEGIN, END] = ["<!-- bench: written by `npm run bench -- --readme` -->", "<!-- /bench -->"];

function options(args) {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      contenders: { type: "string" },
      rounds: { type: "string" },
      scale: { type: "string", default: "1" },
      json: { type: "string" },
      readme: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
    },
  });
  const positive = (name, value) => {
    if (!(Number(value) > 0)) throw new Complaint(`--${name} is a number greater than 0.`);
    return Number(value);
  };
  return {
    ...values,
    rounds: values.rounds && Math.ceil(positive("rounds", values.rounds)),
    scale: positive("scale", values.scale),
    scenarios: chosen("only", values.only, SCENARIOS, (word, id) => id === word || (id.startsWith(`${word}-`) && /^\d+$/.test(id.slice(word.length + 1)))),
    contenders: chosen("contenders", values.contenders, CONTENDERS, (word, id) => id === word),
  };
}

/** Those of `all` that one of the words means; all where there are none. */
function chosen(option, words, all, means) {
  if (!words) return all;
  const unknown = words.split(",").find((word) => !all.some(({ id }) => means(word, id)));
  if (unknown !== undefined) throw new Complaint(`--${option} has no ${unknown}: \`npm run bench -- --list\` has them all.`);
  return all.filter(({ id }) => words.split(",").some((word) => means(word, id)));
}

function list() {
  const wide = Math.max(...[...SCENARIOS, ...CONTENDERS].map(({ id }) => id.length));
  const lines = (all, text) => all.map((one) => `  ${one.id.padEnd(wide)}  ${text(one)}`).join("\n");
  return `scenarios:\n${lines(SCENARIOS, ({ title }) => title)}\n\ncontenders:\n${lines(CONTENDERS, ({ name, gives }) => `${name} (${gives})`)}`;
}

/** Node raises its own limit to the most that is allowed, and its children inherit it. */
function checkOpenFiles({ id, sockets }, contenders, settings) {
  const wanted = sockets(contenders, settings) + FEW_FILES;
  const allowed = readFileSync("/proc/self/limits", "utf8").match(/^Max open files\s+(\w+)/m)[1];
  if (allowed !== "unlimited" && wanted > Number(allowed)) {
    throw new Complaint(`${id} needs ${wanted} open files, and ${allowed} are allowed: raise the limit (\`ulimit -Hn ${wanted}\`, as root), or leave it out with --only.`);
  }
}

const packageVersion = (name) => JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")).version;

function versions() {
  const locked = readFileSync(join(ROOT, "tests/bench/contenders/socketioxide/Cargo.lock"), "utf8");
  return {
    workerd: packageVersion("workerd"),
    Node: execFileSync(node22(), ["-p", "process.versions.node"], { encoding: "utf8" }).trim(),
    "socket.io": packageVersion("socket.io"),
    partyserver: packageVersion("partyserver"),
    socketioxide: locked.match(/name = "socketioxide"\nversion = "(.+)"/)[1],
  };
}

const minutes = (seconds) => (seconds < 90 ? `${Math.ceil(seconds / 5) * 5} s` : `${Math.ceil(seconds / 60)} min`);

const medians = (rounds) => Object.fromEntries(Object.keys(rounds[0]).map((key) => [key, median(rounds.map((figures) => figures[key]))]));

/** One scenario: starts what it needs, runs it, stops everything. */
async function measure(scenario, settings, contenders, say) {
  const running = [];
  const unavailable = [];
  const start = async (contender, vars) => {
    try {
      const server = await contender.launch(vars);
      running.push(server);
      return server;
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      unavailable.push({ what: `${contender.id} in ${scenario.id}`, why: error.message });
      say(error.message);
    }
  };
  try {
    const results = await scenario.run({ ...settings, contenders, start, say });
    await sleep(LATE_MS);
    if (Crowd.failed) throw Crowd.failed;
    const rows = results.map(({ contender, rounds }) => ({ contender: contender.id, medians: medians(rounds), rounds }));
    return { result: { id: scenario.id, title: scenario.title, columns: scenario.columns, smaller: settings.smaller, rows }, unavailable };
  } finally {
    Crowd.closeAll();
    await Promise.all(running.map((server) => server.stop()));
  }
}

function rewriteReadme(text) {
  const readme = readFileSync(README, "utf8");
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Complaint(`README.md has no place for the table, between ${BEGIN} and ${END}.`);
  writeFileSync(README, `${readme.slice(0, from + BEGIN.length)}\n\n${text}\n\n${readme.slice(to)}`);
}

main(import.meta.url, async (args) => {
  const { quick, scenarios, contenders, scale, rounds, json, readme, list: wantsList } = options(args);
  if (wantsList) return console.log(list());
  if (process.platform !== "linux") throw new Complaint("The benchmark reads CPU and memory from Linux's /proc.");
  if (readme && (quick || scenarios.length < SCENARIOS.length || contenders.length < CONTENDERS.length)) throw new Complaint("--readme takes a whole run.");
  const mode = quick ? "quick" : "full";
  const load = loadavg()[0].toFixed(1);
  const skipped = [];
  const plan = [];
  for (const scenario of scenarios) {
    const settings = scenario[mode];
    const taking = contenders.filter(({ id }) => scenario.contenders.includes(id));
    if (typeof settings === "string") skipped.push({ what: scenario.id, why: settings });
    else if (taking.length > 0) plan.push({ scenario, taking, settings: { ...settings, scale, rounds: rounds ?? settings.rounds } });
  }
  for (const { scenario, taking, settings } of plan) checkOpenFiles(scenario, taking.length, settings);
  await build({ log: console.error });

  const about = {
    date: new Date().toISOString(),
    mode,
    machine: { cpu: cpus()[0].model, cores: cpus().length, memoryGb: Math.round(totalmem() / 2 ** 30), kernel: release(), load },
    versions: versions(),
    names: Object.fromEntries(CONTENDERS.map(({ id, name }) => [id, name])),
    gives: Object.fromEntries(CONTENDERS.map(({ id, gives }) => [id, gives])),
  };
  const done = [];
  const report = () => ({ ...about, scenarios: done, goals: judge(done), skipped });
  for (const [index, { scenario, taking, settings }] of plan.entries()) {
    const left = plan.slice(index).reduce((sum, { settings }) => sum + settings.seconds, 0);
    console.error(`bench: ${scenario.id} (${index + 1} of ${plan.length}), about ${minutes(left)} to go in all`);
    const { result, unavailable } = await measure(scenario, settings, taking, (text) => console.error(`bench: ${scenario.id}: ${text}`));
    done.push(result);
    skipped.push(...unavailable);
    // Each time: what a later scenario may fail of is not worth what was measured.
    if (json) writeFileSync(json, `${JSON.stringify(report(), null, 1)}\n`);
  }
  const text = markdown(report());
  console.log(text);
  if (readme) rewriteReadme(text);
});
