// How many SMS npm `sms-segments-calculator` makes of a text, as test vectors for
// core/src/twilio/segments.rs: texts that somebody chose, and random ones around each border. A row is
// [segments, [[text, times]…]]. Run by hand, when the calculator has a new version:
//
//   node tests/vectors/segments.mjs
//
// The output is the same each time: the random texts come from a generator with a fixed seed. Its
// emoji and marks are older than 2018, as is the calculator's Unicode.
import { writeFileSync } from "node:fs";
import calculator from "sms-segments-calculator";

const count = (text) => new calculator.SegmentedMessage(text).segmentsCount;

/** mulberry32 */
function random(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => String.fromCodePoint(from + n));

const rows = [];
/** A text of parts, each repeated. */
const add = (...parts) => {
  const text = parts.map(([part, times]) => part.repeat(times)).join("");
  rows.push(JSON.stringify([count(text), parts]));
};

// ---------------------------------------------------------------- chosen

add();
add(["a", 1600]);
add(["ж", 1600]);
// One cluster that is longer than a segment.
for (const before of ["a", "ж", "aж"]) add([before, 1], ["\u0301", 75], ["b", 1]);
// Whether a character is one of GSM-7's, and whether it takes two septets.
for (const character of [...range(0x00, 0xff), ...range(0x391, 0x3a9), "Œ", "€", "₤", "’", "—"]) {
  add([character, 71]);
  add([character, 81]);
}
// The borders of one segment, two and three.
for (const [unit, borders] of [
  ["a", [160, 306, 459]],
  ["€", [80, 152, 228]],
  ["ç", [70, 134, 201]],
  ["👍", [35, 66, 99]],
  ["👩‍👩‍👧", [8, 16, 24]],
  ["🇩🇪", [17, 32, 48]],
  ["👍🏽", [17, 32, 48]],
  ["क्ष", [23, 44, 67]],
  ["\r\n", [80, 153, 229]],
]) {
  for (const border of borders) {
    for (const times of [border - 1, border, border + 1]) {
      for (const before of [[], [["a", 1]], [["ж", 1]]]) add(...before, [unit, times]);
    }
  }
}
// What moves on when the first segment makes room for its header.
for (const times of [150, 151, 152, 153]) {
  for (const tail of ["€", "€€€", "[]{}"]) add(["a", times], [tail, 1], ["a", 160 - times]);
}

// ---------------------------------------------------------------- random

const alphabets = [
  [..."abcdefgh €{}[]\n\r\f~|^\\ÄΩ@_$"],
  ["a", "b", "€", "é", "ç", "👍", "\r\n", "\n"],
  ["e", "o", "x", "1", "\u0301", "\u0308", "\u200d", "\ufe0f", "\u20e3"],
  ["👩‍👩‍👧", "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "🇫🇷", "❤️", "👩‍🚀", "🏳️‍🌈", "1️⃣", "🎉", "x"],
  range(0x1f1e6, 0x1f1ff),
  range(0x1f300, 0x1f64f),
  range(0x904, 0x94d),
  range(0xe01, 0xe3a),
  range(0x1100, 0x11ff),
  range(0x4e00, 0x9fff),
  range(0x600, 0x6ff),
];
const pick = random(20_261_121);
for (const alphabet of alphabets) {
  for (const border of [70, 134, 160, 201]) {
    for (let n = 0; n < 3; n++) {
      const length = border - 3 + pick(7);
      let text = alphabet === alphabets[0] ? "" : "ж".repeat(pick(3));
      while (text.length < length) text += alphabet[pick(alphabet.length)];
      add([text, 1]);
    }
  }
}

writeFileSync(new URL("segments.json", import.meta.url), `[\n${rows.join(",\n")}\n]\n`);
console.log(`${rows.length} rows`);
