// `npm start`: from a fresh clone to the inbox page. Sets up, builds, and runs `wrangler dev`, which builds again
// whenever a source changes. The rooms are kept in .wrangler/. Arguments go to `wrangler dev`.
//
// For development there is more than what is deployed: the page's simulate panel and what it needs (simulate.mjs).

import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "./build.mjs";
import { guarded, npmIsGone } from "./serve.mjs";
import { Complaint, main, node22, readDevVars, ROOT, run, wrangler } from "./tools.mjs";

const PORT = "8787";
const STOP_TIMEOUT_MS = 5000;
const START_TIMEOUT_MS = 60_000;
const POLL_INTERVAL_MS = 100;

main(import.meta.url, async (args) => {
  await build();
  const { devPublic, Simulator } = await import("./simulate.mjs"); // needs npm packages, which are there only now
  const port = valueOf(args, "--port") ?? PORT;
  const page = `http://127.0.0.1:${port}`;
  const vars = { ...readDevVars(), ...varsOf(args) };
  const dev = new WranglerDev(page);
  const simulator = await Simulator.start({ page, port: Number(port) && Number(port) + 1, vars, automatic: true, restart: () => dev.restart() });
  const assets = join(ROOT, ".dev-public", port); // by port: another `npm start` here has a simulator of its own
  const copy = devPublic({ to: assets, server: simulator.url });
  const defaults = { "--ip": "127.0.0.1", "--port": PORT, "--assets": assets };
  const more = Object.entries(defaults).flatMap(([name, value]) => (valueOf(args, name) ? [] : [name, value]));
  if (!vars.TWILIO_API_BASE) more.push("--var", `TWILIO_API_BASE:${simulator.twilio.url}`);
  const url = port === PORT ? "" : ` --url ${page}`;
  console.log(`
The inbox page:           ${page}/
A token to sign in with:  npm run token -- --sub u1 --role admin --name Ann
An SMS, as Twilio's:      npm run sms -- --from +15550001111 --to +15552223333 --body hello${url}
The same, and more:       \`simulate\` on the page (its server: ${simulator.url})
What is sent goes to:     ${vars.TWILIO_API_BASE ?? `a stand-in for Twilio (${simulator.twilio.url})`}
`);
  try {
    process.exitCode = await dev.run([...more, ...args]);
  } finally {
    copy.close();
    simulator.close();
    rmSync(assets, { recursive: true, force: true });
  }
});

/** `wrangler dev`, again and again for as long as it is ended by `restart`. */
class WranglerDev {
  #child;
  #again = false;
  #stopped = false;

  constructor(url) {
    this.url = url;
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => (this.#stopped = true));
    process.on("SIGHUP", () => this.#stop());
  }

  #stop() {
    this.#stopped = true;
    this.#child?.kill("SIGTERM");
  }

  /** Resolves with the exit code, once it has ended by itself or by a signal to us. */
  async run(args) {
    const watch = npmIsGone(() => this.#stop());
    try {
      for (;;) {
        this.#again = false;
        let guard;
        const onSpawn = (child) => ((this.#child = child), (guard = guarded(child, "SIGTERM")));
        const { code } = await run(node22(), [wrangler(), "dev", ...args], { allowFailure: true, onSpawn });
        guard.kill("SIGKILL");
        if (!this.#again || this.#stopped) return code;
      }
    } finally {
      clearInterval(watch);
    }
  }

  /** Resolves when it answers again. */
  async restart() {
    const child = this.#child;
    this.#again = true;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    const timeout = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timeout);
    for (const end = Date.now() + START_TIMEOUT_MS; !(await this.#answers()); await sleep(POLL_INTERVAL_MS, undefined, { ref: false })) {
      if (Date.now() > end) throw new Complaint("`wrangler dev` does not answer");
    }
  }

  #answers = () => fetch(`${this.url}/health`).then(() => true, () => false);
}

/** What `--var NAME:VALUE` says. */
function varsOf(args) {
  return Object.fromEntries(args.map((arg) => arg.match(/^(?:--var=)?([A-Z_][A-Z0-9_]*):(.*)$/s)).filter(Boolean).map(([, name, value]) => [name, value]));
}

function valueOf(args, name) {
  const at = args.findIndex((arg) => arg === name || arg.startsWith(`${name}=`));
  if (at < 0) return undefined;
  return args[at].includes("=") ? args[at].slice(name.length + 1) : args[at + 1];
}
