// Interleaved rounds: each contender has its turn in each round, so that what the machine does besides hits all alike.

/**
 * Runs `body(runner, round)` for each of `runners`, `rounds` times after one that warms up (round 0: JITs, caches) and whose
 * figures are thrown away. Resolves with a list of figures (one object a round) for each runner.
 */
export async function interleave({ runners, rounds, say, body }) {
  const figures = runners.map(() => []);
  const start = performance.now();
  for (let round = 0; round <= rounds; round++) {
    for (const [index, runner] of runners.entries()) {
      const figure = await body(runner, round);
      if (round > 0) figures[index].push(figure);
    }
    const left = ((performance.now() - start) / (round + 1)) * (rounds - round);
    say(`${round === 0 ? "warm" : `round ${round} of ${rounds}`}, about ${Math.round(left / 1000)} s to go`);
  }
  return figures;
}
