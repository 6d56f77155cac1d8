// `npm run simulate`: the simulator (tests/simulation), built if need be. It takes Rust and nothing else.
//
//   npm run simulate -- [--seed N] [--steps N] [--seeds N] [--profile mixed|one-room|small-rooms] …

import { Complaint, main, run } from "./tools.mjs";

main(import.meta.url, async (args) => {
  const cargo = ["run", "--profile", "simulation", "-p", "dialtone-simulation", "--bin", "simulate", "--", ...args];
  const { code } = await run("cargo", cargo, { allowFailure: true });
  if (code === 127) throw new Complaint("Dialtone needs Rust: install rustup as described on rust-lang.org/tools/install, then run this again.");
  process.exitCode = code;
});
