// WebAssembly's binary format, as far as our tools look into it: https://webassembly.github.io/spec/core/binary/

import { Complaint } from "./tools.mjs";

const SECTION = { custom: 0, import: 2, code: 10, data: 11 };
const FUNCTION_NAMES = 1;

/** The functions of a module, `{name, body}` (without a name section they have none), its data, and all its other sections that are served. */
export function parseWasm(bytes) {
  const reader = read(bytes);
  if (reader.take(4).toString("latin1") !== "\0asm") throw new Complaint("That is not a WebAssembly module.");
  reader.take(4);
  const module = { imported: 0, bodies: [], names: new Map(), data: Buffer.alloc(0), others: [] };
  while (!reader.atEnd()) {
    const id = reader.take(1)[0];
    const section = reader.take(reader.number());
    if (id === SECTION.data) module.data = section;
    else if (id !== SECTION.custom && id !== SECTION.code) module.others.push(section);
    readSection[id]?.(read(section), module);
  }
  const functions = module.bodies.map((body, i) => ({ name: module.names.get(module.imported + i) ?? "", body }));
  return { functions, imported: module.imported, data: module.data, others: module.others };
}

const readSection = {
  [SECTION.import](section, module) {
    for (let left = section.number(); left > 0; left--) {
      section.take(section.number()); // module
      section.take(section.number()); // name
      const kind = section.take(1)[0];
      if (kind === 0) module.imported++;
      skipImport[kind](section);
    }
  },
  [SECTION.code](section, module) {
    for (let left = section.number(); left > 0; left--) module.bodies.push(section.take(section.number()));
  },
  [SECTION.custom](section, module) {
    if (section.take(section.number()).toString() !== "name") return;
    while (!section.atEnd()) {
      const kind = section.take(1)[0];
      const names = read(section.take(section.number()));
      if (kind !== FUNCTION_NAMES) continue;
      for (let left = names.number(); left > 0; left--) {
        module.names.set(names.number(), names.take(names.number()).toString());
      }
    }
  },
};

const limits = (section) => {
  const hasMaximum = section.number() & 1;
  section.number();
  if (hasMaximum) section.number();
};
/** Function, table, memory, global, tag. */
const skipImport = [
  (section) => section.number(),
  (section) => (section.take(1), limits(section)),
  limits,
  (section) => section.take(2),
  (section) => (section.take(1), section.number()),
];

function read(bytes) {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  return {
    atEnd: () => at >= buffer.length,
    take: (length) => {
      if (at + length > buffer.length) throw new Complaint("That WebAssembly module ends too early.");
      return buffer.subarray(at, (at += length));
    },
    /** LEB128, unsigned. */
    number() {
      let value = 0;
      for (let shift = 1; ; shift *= 128) {
        const byte = this.take(1)[0];
        value += (byte & 127) * shift;
        if (byte < 128) return value;
      }
    },
  };
}

/** The module with these names for its functions, and none for anything else. */
export function withNames(bytes, nameOf) {
  const { functions, imported } = parseWasm(bytes);
  const names = functions.map((f, i) => [...number(imported + i), ...text(nameOf(f, i))]);
  const list = Buffer.from([...number(names.length), ...names.flat()]);
  const section = Buffer.concat([Buffer.from([...text("name"), FUNCTION_NAMES, ...number(list.length)]), list]);
  const reader = read(bytes);
  const parts = [reader.take(8)];
  while (!reader.atEnd()) {
    const id = reader.take(1)[0];
    const content = reader.take(reader.number());
    const isNames = id === SECTION.custom && nameOfCustom(content) === "name";
    if (!isNames) parts.push(Buffer.from([id, ...number(content.length)]), content);
  }
  parts.push(Buffer.from([SECTION.custom, ...number(section.length)]), section);
  return Buffer.concat(parts);
}

function nameOfCustom(content) {
  const section = read(content);
  return section.take(section.number()).toString();
}

const text = (value) => [...number(Buffer.byteLength(value)), ...Buffer.from(value)];

function number(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}
