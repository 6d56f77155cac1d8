// `npm run weigh`: what the Worker's wasm is made of, by crate. Builds with names into build-names/; nothing that is
// served comes from there.
//
//   npm run weigh [-- [--functions [N]] [--families [N]] [--grep TEXT] [--wasm FILE] [--readme]]
//
// `--functions`: the largest functions. `--families`: all instantiations of one generic as one row, and all functions of
// one type or derive. `--grep`: only what has TEXT in its name. `--wasm`: any module that has names. `--readme`: writes
// the table by crate into the README.
//
// A function belongs to the crate that wrote its source: what BTreeMap becomes for a type of ours is `alloc`'s. What LLVM
// inlined belongs to the caller. KB gzip is how much smaller the module would be without those bodies: what is like other
// code weighs little, so the column does not add up to the whole.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, gzipBytes } from "./build.mjs";
import { Complaint, main, ROOT } from "./tools.mjs";
import { parseWasm } from "./wasm.mjs";

const OUT_DIR = "build-names";
const README = join(ROOT, "README.md");
const [BEGIN, END] = ["<!-- weigh: written by `npm run weigh -- --readme` -->", "<!-- /weigh -->"];
/** Rows of the README's table; what is smaller is one row. */
const README_CRATES = 15;

const ESCAPES = { SP: "@", BP: "*", RF: "&", LT: "<", GT: ">", LP: "(", RP: ")", C: ",", u20: " ", u27: "'", u5b: "[", u5d: "]", u7b: "{", u7d: "}", u7e: "~", u3b: ";", u2b: "+", u22: '"' };

/**
 * A path such as `<serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_map`, without the hash. wasm-bindgen
 * has demangled most names; of rustc's v0 ones the identifiers alone are read.
 */
export function demangled(name) {
  const legacy = name.match(/^_ZN(.*)E(?:\.llvm\.\d+)?$/);
  if (legacy) return withoutHash(identifiers(legacy[1]).map(unescaped).join("::"));
  if (/^_R[A-Z]/.test(name)) return identifiers(name.slice(2)).join("::");
  return withoutHash(name);
}

const withoutHash = (name) => name.replace(/::h[0-9a-f]{16}(?=$|\W)/, "").replace(/\[[0-9a-f]{16}\]/g, "");
const unescaped = (part) =>
  part
    .replace(/^_(?=\$)/, "")
    .replace(/\$([A-Za-z0-9]+)\$/g, (whole, code) => ESCAPES[code] ?? whole)
    .replaceAll("..", "::");

/** Those that are written as their length and themselves. */
function identifiers(mangled) {
  const found = [];
  for (let at = 0; at < mangled.length; ) {
    const length = mangled.slice(at).match(/^[1-9]\d*/)?.[0];
    if (!length) {
      at += mangled.slice(at).match(/^s[0-9A-Za-z]*_/)?.[0].length ?? 1; // v0: what tells two crates of one name apart
      continue;
    }
    let start = at + length.length;
    if (mangled.startsWith("_", start) && /^\d/.test(mangled.slice(start + 1))) start++; // v0: before a digit or a `_`
    found.push(mangled.slice(start, start + Number(length)));
    at = start + Number(length);
  }
  return found;
}

/** The crate that a function's source is in: of `<A as B>::f` it is A's, or B's where A is `T` or a primitive type. */
export function crateOf(name) {
  for (const [, first] of name.matchAll(/(?:^|[^\w:$])([a-z_][a-z0-9_]*)(?=::)/g)) return first;
  return name === "" ? "(no name)" : "(bindings)"; // wasm-bindgen's shims, the allocator's symbols
}

/** One name for what is the same code for several types, or several functions of one type. */
export function familyOf(name) {
  const plain = withoutArguments(name.replace(/::\{\{closure\}\}/g, ""));
  const as = plain.match(/^<(.*) as (.*)>::/);
  // A derived impl: by its trait's crate and the type's module.
  const derived = name.match(/<impl (serde\w*|core)::\S*?(Deserialize|Serialize)\S* for ([\w:]+)/);
  if (derived) return `derive(${derived[2]}) in ${modules(derived[3], 2)}`;
  return as ? modules(as[1].includes("::") ? as[1] : as[2], 3) : modules(plain, 3);
}

const modules = (path, depth) => path.replace(/^[<&(*\s]+(?:mut |const |dyn )?/, "").split("::").slice(0, depth).join("::");

function withoutArguments(name) {
  let [depth, text] = [0, ""];
  for (const [i, c] of [...name].entries()) {
    if (c === "<" && i > 0 && /[\w:]/.test(name[i - 1])) depth++;
    else if (c === ">" && depth > 0) depth--;
    else if (depth === 0) text += c;
  }
  return text;
}

/** `{key, bytes, count}`, the largest first. */
export function grouped(functions, keyOf) {
  const groups = new Map();
  for (const { name, body } of functions) {
    const group = groups.get(keyOf(name)) ?? { key: keyOf(name), bytes: 0, count: 0 };
    group.bytes += body.length;
    group.count++;
    groups.set(group.key, group);
  }
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}

const parsed = (bytes) => {
  const module = parseWasm(bytes);
  const functions = module.functions.map(({ name, body }) => ({ name: demangled(name), body }));
  return { ...module, functions };
};

const gzipOf = (parts) => gzipSync(Buffer.concat(parts), { level: 9 }).length;
const whole = ({ functions, data, others }) => [...others, ...functions.map(({ body }) => body), data];

/** How much smaller the module would be, gzipped, without the functions of which `is` is true. */
function saved(module, is) {
  return gzipOf(whole(module)) - gzipOf(whole({ ...module, functions: module.functions.filter(({ name }) => !is(name)) }));
}

const kb = (bytes) => (bytes / 1000).toFixed(1);
const size = (parts) => parts.reduce((sum, { length }) => sum + length, 0);

function print(title, rows, module) {
  const all = size(whole(module));
  console.log(`\n      KB   share  KB gzip  functions  ${title}`);
  for (const { key, bytes, count, gzip } of rows) {
    const share = `${((100 * bytes) / all).toFixed(1)} %`;
    console.log([kb(bytes).padStart(8), share.padStart(7), kb(gzip).padStart(8), String(count).padStart(10), ` ${key}`].join(" "));
  }
}

/** The first `rows` groups, with what each weighs. */
const weighed = (module, shown, keyOf, rows = Infinity) =>
  grouped(shown, keyOf)
    .slice(0, rows)
    .map((group) => ({ ...group, gzip: saved(module, (name) => keyOf(name) === group.key) }));

const dataRow = (module) => ({ key: "(constants, texts, tables)", bytes: module.data.length, count: 0, gzip: gzipOf([module.data]) });

function readmeTable(module, served) {
  const all = size(whole(module));
  const large = weighed(module, module.functions, crateOf, README_CRATES);
  const isLarge = new Set(large.map(({ key }) => key));
  const others = module.functions.filter(({ name }) => !isLarge.has(crateOf(name)));
  const rest = { bytes: size(others.map(({ body }) => body)), gzip: saved(module, (name) => !isLarge.has(crateOf(name))) };
  const row = (name, { bytes, gzip }) => `| ${name} | ${Math.round(bytes / 1000)} | ${((100 * bytes) / all).toFixed(1)} % | ${Math.round(gzip / 1000)} |`;
  return [
    `${Math.round(served / 1000)} KB gzip are uploaded, the glue in JavaScript included. The wasm, ${Math.round(all / 1000)} KB, is this; a crate's KB gzip are`,
    "those that would be gone without it, so they do not add up.",
    "",
    "| code of | KB | share | KB gzip |",
    "|---|---|---|---|",
    ...large.map((group) => row(`\`${group.key}\``, group)),
    row(`${new Set(others.map(({ name }) => crateOf(name))).size} smaller ones`, rest),
    row("constants, texts, tables", dataRow(module)),
  ].join("\n");
}

function rewriteReadme(text) {
  const readme = readFileSync(README, "utf8");
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Complaint(`README.md has no ${BEGIN} … ${END}.`);
  writeFileSync(README, `${readme.slice(0, from + BEGIN.length)}\n\n${text}\n\n${readme.slice(to)}`);
}

function options(args) {
  const found = {};
  for (let i = 0; i < args.length; i++) {
    const count = /^\d+$/.test(args[i + 1] ?? "") ? Number(args[i + 1]) : undefined;
    if (args[i] === "--functions" || args[i] === "--families") {
      found[args[i].slice(2)] = count ?? 50;
      if (count !== undefined) i++;
    } else if (args[i] === "--readme") found.readme = true;
    else if ((args[i] === "--grep" || args[i] === "--wasm") && args[i + 1] !== undefined) found[args[i].slice(2)] = args[++i];
    else throw new Complaint("usage: npm run weigh [-- [--functions [N]] [--families [N]] [--grep TEXT] [--wasm FILE] [--readme]]");
  }
  return found;
}

main(import.meta.url, async (args) => {
  const wanted = options(args);
  if (!wanted.wasm) await build({ outDir: OUT_DIR, names: true });
  const bytes = readFileSync(wanted.wasm ?? join(ROOT, OUT_DIR, "index_bg.wasm"));
  const module = parsed(bytes);
  if (!module.functions.some(({ name }) => name)) throw new Complaint("That module has no names: build it with --names.");
  const shown = module.functions.filter(({ name }) => name.includes(wanted.grep ?? ""));
  console.log(`${kb(size(whole(module)))} KB without names, ${kb(gzipOf(whole(module)))} KB gzip`);
  print("crate", [...weighed(module, shown, crateOf), ...(wanted.grep ? [] : [dataRow(module)])], module);
  if (wanted.families) print("family", weighed(module, shown, familyOf, wanted.families), module);
  if (wanted.functions) {
    const largest = [...shown].sort((a, b) => b.body.length - a.body.length).slice(0, wanted.functions);
    print("function", largest.map(({ name, body }) => ({ key: name, bytes: body.length, count: 1, gzip: gzipOf([body]) })), module);
  }
  if (wanted.readme) {
    await build();
    rewriteReadme(readmeTable(module, gzipBytes(join(ROOT, "build"))));
  }
});
