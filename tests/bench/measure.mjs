// What a process has used, as the operating system counts it, and what is made of the numbers.

import { readdirSync, readFileSync } from "node:fs";

const NANOSECONDS = 1e9;

/** Seconds of CPU that the process's threads have used so far, in nanoseconds' resolution; /proc/PID/stat counts in 10 ms. */
export function cpuSeconds(pid) {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  return total / NANOSECONDS;
}

/** Bytes of memory that the process holds. */
export function residentBytes(pid) {
  return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB$/m)[1]) * 1024;
}

/** The value below which the share `q` of the numbers lies. */
export function quantile(numbers, q) {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

export const median = (numbers) => quantile(numbers, 0.5);
