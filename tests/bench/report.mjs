// What was measured, as Markdown.

import { ratio } from "./goals.mjs";

/** Two digits and more, never more than a measurement has. */
const number = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : value >= 10 ? value.toFixed(1) : value.toFixed(2));

const table = (head, rows) => [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows.map((cells) => `| ${cells.join(" | ")} |`)].join("\n");

function scenarioTable({ title, columns, rows, smaller }, names) {
  const rounds = Math.max(...rows.map((row) => row.rounds.length));
  const cell = (row, { key, unit = "", tail, against }) => {
    if (row.medians[key] === undefined) return "–";
    const value = `${number(row.medians[key])}${tail ? ` / ${number(row.medians[tail])}` : ""}${unit && ` ${unit}`}`;
    const base = rows.find(({ contender }) => contender === against);
    return base ? `${value} (${ratio(row, base, key).toFixed(2)} ×)` : value;
  };
  const bases = new Set(columns.map(({ against }) => against).filter((id) => rows.some(({ contender }) => contender === id)));
  const notes = [
    rounds > 1 && `Medians of ${rounds} interleaved rounds.`,
    bases.size > 0 && `×: against ${[...bases].map((id) => names[id]).join("; ")}.`,
    smaller && `Quick: ${smaller}.`,
  ];
  const lines = rows.map((row) => [names[row.contender], ...columns.map((column) => cell(row, column))]);
  return `**${title}.** ${notes.filter(Boolean).join(" ")}\n\n${table(["", ...columns.map(({ name }) => name)], lines)}`;
}

function goalTable(goals, scenarios, names) {
  const scenarioName = { "fan-out-100": "100 sockets", "fan-out-1000": "1,000 sockets" };
  const rows = goals.map(({ what, against, most, least, unit = "", measured, met }) => {
    const limit = `${most === undefined ? `≥ ${least}` : `≤ ${most}`} ${unit}${against ? ` ${names[against]}` : ""}`.trim();
    const figures = measured.map(({ scenario, contender, value, met }) => {
      const where = [names[contender].replace("Dialtone, ", ""), scenarioName[scenario]].filter(Boolean).join(", ");
      return `${met ? "" : "**"}${number(value)}${unit && ` ${unit}`}${met ? "" : "**"} ${where}`;
    });
    return [what, limit, figures.join("<br>") || "–", met === undefined ? "not measured" : met ? "met" : "**short**"];
  });
  return table(["goal", "", "measured", ""], rows);
}

/** Those that give the same, together. */
function guarantees(scenarios, names, gives) {
  const measured = new Set(scenarios.flatMap(({ rows }) => rows.map(({ contender }) => contender)));
  const groups = Map.groupBy([...measured], (contender) => gives[contender]);
  return [...groups].map(([text, those]) => `${those.map((contender) => names[contender]).join("; ")}: ${text}.`).join(" ");
}

/** The report of a run, from what `--json` writes. */
export function markdown({ date, mode, machine, versions, names, gives, scenarios, goals, skipped }) {
  const { cpu, cores, memoryGb, kernel, load } = machine;
  const parts = [
    `${date.slice(0, 10)}, ${cores} × ${cpu}, ${memoryGb} GB, Linux ${kernel}, load ${load} before the run. ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}. The Workers run on bare workerd, without permessage-deflate.${mode === "quick" ? " **A quick run**: fewer and shorter rounds." : ""}`,
    "Everything of Dialtone's was on in every configuration that was measured: durable first, order, dedupe by id, the ack after the commit, connection state recovery. " +
      "Every delivery and every ack was checked: each socket got each event once and in order.",
    goalTable(goals, scenarios, names),
    ...scenarios.map((scenario) => scenarioTable(scenario, names)),
    `What they give. ${guarantees(scenarios, names, gives)}`,
  ];
  if (skipped.length > 0) parts.push(`Not measured: ${skipped.map(({ what, why }) => `${what} (${why})`).join("; ")}.`);
  return parts.join("\n\n");
}
