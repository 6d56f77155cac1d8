// DESIGN §6's goals: which figures each is about, and whether they meet it.

import { median } from "./measure.mjs";

const SOCKET_IO = ["ours-home", "ours-lobby"];
const FAN_OUTS = ["fan-out-100", "fan-out-1000"];

/**
 * `scenario`s' figure `key` of each of `of`, as a ratio to that of `against` or as it is; `most` or `least` is what it may be.
 */
const GOALS = [
  { what: "CPU per delivery, Socket.IO frames, one at a time", scenarios: FAN_OUTS, key: "one", of: SOCKET_IO, against: "raw-js", most: 1 },
  { what: "CPU per delivery, Socket.IO frames, one at a time", scenarios: FAN_OUTS, key: "one", of: SOCKET_IO, against: "partyserver", most: 0.9 },
  { what: "CPU per delivery, Socket.IO frames, saturated", scenarios: FAN_OUTS, key: "saturated", of: SOCKET_IO, against: "raw-js", most: 0.5 },
  { what: "CPU per delivery, Socket.IO frames, saturated", scenarios: FAN_OUTS, key: "saturated", of: SOCKET_IO, against: "node", most: 1 },
  { what: "CPU per event, newline-batched plain sockets, saturated, logged", scenarios: FAN_OUTS, key: "saturated", of: ["ours-batch"], against: "node", most: 0.2 },
  { what: "CPU per event, newline-batched plain sockets, saturated, logged", scenarios: FAN_OUTS, key: "saturated", of: ["ours-batch"], against: "socketioxide", most: 1.3 },
  { what: "durable publish (logged, deduplicated, acked), 64 in flight", scenarios: ["publish"], key: "rate", of: ["ours-plain", "ours-batch", ...SOCKET_IO], against: "raw-js-insert", least: 7 },
  { what: "round trip p50, ephemeral, direct", scenarios: ["round-trip"], key: "ephemeral", of: ["ours-plain", "ours-home"], against: "raw-js", most: 1.15 },
  { what: "round trip p50, ephemeral, through a lobby", scenarios: ["round-trip"], key: "ephemeral", of: ["ours-lobby"], against: "raw-js", most: 3 },
  { what: "round trip p50, stored, direct", scenarios: ["round-trip"], key: "stored", of: ["ours-plain", "ours-home"], against: "raw-js-insert", most: 1.15 },
  { what: "round trip p50, stored, through a lobby", scenarios: ["round-trip"], key: "stored", of: ["ours-lobby"], against: "raw-js-insert", most: 3 },
  { what: "idle Socket.IO clients: alarms a ping interval", scenarios: ["idle"], key: "alarms", of: ["ours-lobby"], most: 1 },
  { what: "idle Socket.IO clients: whatever else runs our code a ping interval", scenarios: ["idle"], key: "others", of: ["ours-lobby"], most: 0 },
  { what: "idle Socket.IO clients: CPU", scenarios: ["idle"], key: "cpu", of: ["ours-lobby"], against: "node", most: 0.4 },
  { what: "wake from hibernation to the last delivery", scenarios: ["wake"], key: "ms", of: ["ours-plain", "ours-home"], against: "raw-js", most: 1 },
  { what: "resident memory per connection", scenarios: ["memory"], key: "kilobytes", of: ["ours-plain", ...SOCKET_IO], against: "raw-js", most: 1.2 },
  { what: "Worker size, gzip", scenarios: ["start-up"], key: "kilobytes", of: ["ours-plain"], most: 400, unit: "KB" },
];

/** The ratio of two contenders' figures: the median of the rounds' ratios, for what disturbs a round disturbs both. */
export const ratio = (row, base, key) => median(row.rounds.map((figures, n) => figures[key] / (base.rounds[n] ?? base.rounds.at(-1))[key]));

/** `{what, limit, measured: [{scenario, contender, value, met}], met}` for each goal; `met` is undefined where nothing was measured. */
export function judge(scenarios) {
  return GOALS.map(({ what, scenarios: ids, key, of, against, most, least, unit }) => {
    const measured = [];
    for (const { id, rows } of scenarios.filter(({ id }) => ids.includes(id))) {
      const base = rows.find(({ contender }) => contender === against);
      for (const row of rows.filter(({ contender }) => of.includes(contender))) {
        if (against && !base) continue;
        const value = against ? ratio(row, base, key) : row.medians[key];
        measured.push({ scenario: id, contender: row.contender, value, met: most === undefined ? value >= least : value <= most });
      }
    }
    const met = measured.length === 0 ? undefined : measured.every((one) => one.met);
    return { what, against, most, least, unit: against ? "×" : unit, measured, met };
  });
}
