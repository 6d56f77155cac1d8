// Interleaved rounds: each contender has its turn in each round, so that what the machine does besides hits all alike.

/**
 * Runs `body(runner, round)` for each of `runners`, `rounds` times, and once before that to warm up JITs and caches if
 * `warmsUp`. Resolves with `{contender, rounds: [figures]}` of each; one whose body gives nothing is left out.
 */
export async function interleave({ runners, rounds, warmsUp = true, say, body }) {
  const results = runners.map(({ contender }) => ({ contender, rounds: [] }));
  const all = rounds + (warmsUp ? 1 : 0);
  const start = performance.now();
  for (let done = 0; done < all; done++) {
    const isWarmUp = warmsUp && done === 0;
    for (const [index, runner] of runners.entries()) {
      const left = done ? `, ${Math.ceil(((performance.now() - start) / (done + index / runners.length)) * (all - done - index / runners.length) / 1000)} s to go` : "";
      say(`${isWarmUp ? "warming up" : `round ${done + (warmsUp ? 0 : 1)} of ${rounds}`}, ${runner.contender.id}${left}`);
      const figures = await body(runner, done);
      if (figures && !isWarmUp) results[index].rounds.push(figures);
    }
  }
  return results.filter((result) => result.rounds.length > 0);
}
