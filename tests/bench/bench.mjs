import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { main } from "../tools/tools.mjs";
import { CONTENDERS } from "./contenders.mjs";
import { median } from "./measure.mjs";
import { fanOuts } from "./scenarios/fan-out.mjs";
import { publish } from "./scenarios/publish.mjs";
import { roundTrip } from "./scenarios/round-trip.mjs";

const SCENARIOS = [...fanOuts, roundTrip, publish];

main(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { quick: { type: "boolean" }, json: { type: "string" }, only: { type: "string" }, contenders: { type: "string" }, rounds: { type: "string" } } });
  const only = values.only?.split(",");
  const chosen = values.contenders?.split(",");
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
  const results = {};
  for (const scenario of SCENARIOS) {
    if (only && !only.some((id) => scenario.id.startsWith(id))) continue;
    const contenders = CONTENDERS.filter(({ id }) => scenario.contenders.includes(id) && (!chosen || chosen.includes(id)));
    const running = [];
    const start = async (contender, vars) => {
      const server = await contender.launch(vars);
      running.push(server);
      return server;
    };
    const settings = values.quick ? { deliveries: { one: 20_000, saturated: 50_000 }, trips: 100, seconds: 0.5 } : { deliveries: { one: 50_000, saturated: 150_000 }, trips: 200, seconds: 1 };
    const figures = await scenario
      .run({ contenders, start, rounds, ...settings, say: (text) => console.error(`bench: ${scenario.id}: ${text}`) })
      .finally(() => Promise.all(running.map((server) => server.stop())));
    console.log(`\n${scenario.title}: ${scenario.unit}\n`);
    const keys = Object.keys(figures[0][0]);
    console.log(`| | ${keys.join(" | ")} |\n|---|${keys.map(() => "---|").join("")}`);
    results[scenario.id] = contenders.map(({ id }, n) => ({ id, ...Object.fromEntries(keys.map((key) => [key, median(figures[n].map((figure) => figure[key]))])) }));
    const base = results[scenario.id][0];
    for (const row of results[scenario.id]) console.log(`| ${row.id} | ${keys.map((key) => `${row[key].toPrecision(4)} (${(row[key] / base[key]).toFixed(2)} ×)`).join(" | ")} |`);
  }
  if (values.json) writeFileSync(values.json, JSON.stringify(results, null, 1));
});
