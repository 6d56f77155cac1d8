// In which order a module's functions lie. gzip finds again what came in the last 32 KB, so functions that are alike
// should follow each other: by name, what one generic became; by content, a twentieth less again.

import { parseWasm, withNames } from "./wasm.mjs";

/** Functions are alike if they have many runs of so many bytes in common. */
const RUN = 4;
/** How much the one before the last counts, beside the last. */
const DECAY = 0.8;
const DIGITS = 6;

/** The module, with its functions named so that `wasm-opt --reorder-functions-by-name` puts what is alike together. */
export function arranged(bytes) {
  const { functions } = parseWasm(bytes);
  const rank = [];
  order(functions).forEach((f, place) => (rank[f] = place));
  return withNames(bytes, ({ name }, i) => `${String(rank[i]).padStart(DIGITS, "0")} ${name}`);
}

/** The names as they were. */
export const withOwnNames = (bytes) => withNames(bytes, ({ name }) => name.slice(DIGITS + 1));

/** The indices of `functions`, each followed by what is most like it, and like those before it, of what is left. */
export function order(functions) {
  const runs = functions.map(({ body }) => runsOf(body));
  const having = new Map(); // a run: the functions that have it
  runs.forEach((all, f) => all.forEach((run) => having.get(run)?.push(f) ?? having.set(run, [f])));
  const byName = functions.map((_, f) => f).sort((a, b) => (functions[a].name < functions[b].name ? -1 : 1));
  const likeness = new Float64Array(functions.length);
  const isLeft = new Uint8Array(functions.length).fill(1);
  const placed = [];
  for (let next = 0; placed.length < functions.length; ) {
    let best = -1;
    let most = 0;
    for (let f = 0; f < functions.length; f++) {
      if (!isLeft[f]) continue;
      const value = likeness[f] / Math.sqrt(runs[f].length + 8); // a long one has something of everything
      if (value > most) [best, most] = [f, value];
    }
    if (best < 0) {
      while (!isLeft[byName[next]]) next++;
      best = byName[next];
    }
    isLeft[best] = 0;
    placed.push(best);
    for (let f = 0; f < functions.length; f++) likeness[f] *= DECAY;
    for (const run of runs[best]) {
      const alike = having.get(run);
      const weight = 1 / Math.log2(alike.length + 1); // what nearly all of them have says little
      for (const f of alike) likeness[f] += weight;
    }
  }
  return placed;
}

function runsOf(body) {
  const runs = new Set();
  for (let at = 0; at + RUN <= body.length; at++) runs.add(body.readUInt32LE(at));
  return [...runs];
}
