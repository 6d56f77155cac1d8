// Interleaved rounds: each contender has its turn in each round, so that what the machine does besides hits all alike.

const BETWEEN_LINES_MS = 5000;

/**
 * Runs `body(runner, round)` for each of `runners`, `rounds` times, and once before that to warm up JITs and caches if
 * `warmsUp`. Resolves with `{contender, rounds: [figures]}` of each; one whose body gives nothing is left out.
 */
export async function interleave({ runners, rounds, warmsUp = true, say, body }) {
  const results = runners.map(({ contender }) => ({ contender, rounds: [] }));
  const first = warmsUp ? 0 : 1;
  const steps = (rounds + 1 - first) * runners.length;
  const start = performance.now();
  let [done, said] = [0, -Infinity];
  for (let round = first; round <= rounds; round++) {
    for (const [index, runner] of runners.entries()) {
      const now = performance.now();
      if (index === 0 || now - said > BETWEEN_LINES_MS) {
        const left = done > 0 ? `, ${Math.ceil(((now - start) / done / 1000) * (steps - done))} s to go` : "";
        say(`${round === 0 ? "warming up" : `round ${round} of ${rounds}`}, ${runner.contender.id}${left}`);
        said = now;
      }
      const figures = await body(runner, round);
      if (figures && round > 0) results[index].rounds.push(figures);
      done++;
    }
  }
  return results.filter((result) => result.rounds.length > 0);
}
