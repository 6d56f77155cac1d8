// `npm run weigh`, and how the build arranges functions: what they make of a module's bytes and of Rust's names. Builds nothing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arranged, order, withOwnNames } from "../tools/arrange.mjs";
import { parseWasm } from "../tools/wasm.mjs";
import { crateOf, demangled, familyOf, grouped } from "../tools/weigh.mjs";

const text = (value) => [value.length, ...Buffer.from(value)];
const section = (id, bytes) => [id, bytes.length, ...bytes];

/** Imports one function and a memory, has two functions of its own, 4 and 2 bytes, and 10 bytes of data. */
const MODULE = Uint8Array.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [1, 0x60, 0, 0]),
  ...section(2, [2, ...text("env"), ...text("f"), 0, 0, ...text("env"), ...text("m"), 2, 1, 1, 2]),
  ...section(3, [2, 0, 0]),
  ...section(10, [2, 4, 0, 1, 1, 0x0b, 2, 0, 0x0b]),
  ...section(11, [1, 0, 0x41, 0, 0x0b, 4, 1, 2, 3, 4]),
  ...section(0, [...text("name"), ...[0, 2, ...text("m")], ...[1, 21, 3, 0, ...text("f"), 1, ...text("core::a"), 2, ...text("_R1x1y")]]),
]);

test("a module's functions have the names that its name section gives them, after those that it imports", () => {
  const { functions, data } = parseWasm(MODULE);
  assert.deepEqual(functions.map(({ name, body }) => [name, body.length]), [["core::a", 4], ["_R1x1y", 2]]);
  assert.equal(data.length, 10);
  assert.throws(() => parseWasm(MODULE.subarray(0, 30)), /ends too early/);
  assert.throws(() => parseWasm(Buffer.from("no module")), /not a WebAssembly module/);
});

test("names are read back, whichever way rustc wrote them", () => {
  for (const [mangled, expected] of [
    ["_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"],
    ["_ZN60_$LT$alloc..string..String$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE", "<alloc::string::String as core::fmt::Display>::fmt"],
    ["core::fmt::Formatter::pad::h0123456789abcdef", "core::fmt::Formatter::pad"],
    ["_RNvNtCs1_4core3fmt5write", "core::fmt::write"],
  ]) assert.equal(demangled(mangled), expected);
});

test("a function belongs to the crate, and to the family, that its source is in", () => {
  for (const [name, crate, family] of [
    ["alloc::collections::btree::map::BTreeMap<K,V,A>::insert", "alloc", "alloc::collections::btree"],
    ["<&mut serde_json::de::Deserializer<R> as serde_core::de::Deserializer>::deserialize_struct", "serde_json", "serde_json::de::Deserializer"],
    ["<T as core::convert::Into<U>>::into", "core", "core::convert::Into"],
    ["core::ptr::drop_in_place<dialtone_core::hub::Hub>", "core", "core::ptr::drop_in_place"],
    ["dialtone_core::wire::_::<impl serde_core::ser::Serialize for dialtone_core::wire::Item>::serialize", "dialtone_core", "derive(Serialize) in dialtone_core::wire"],
    ["malloc", "(bindings)", "malloc"],
    ["", "(no name)", ""],
  ]) assert.deepEqual([crateOf(name), familyOf(name)], [crate, family], name);
  const body = (length) => ({ length });
  const functions = [{ name: "a::f", body: body(1) }, { name: "b::f", body: body(5) }, { name: "a::g", body: body(2) }];
  assert.deepEqual(grouped(functions, crateOf), [{ key: "b", bytes: 5, count: 1 }, { key: "a", bytes: 3, count: 2 }]);
});

test("functions that are alike come one after the other, and are named as before", () => {
  const body = (letters) => ({ name: letters, body: Buffer.from(letters) });
  const functions = ["abcdefgh", "12345678", "abcdefgi", "12345679", "zzzzzzzz"].map(body);
  assert.deepEqual(order(functions).map((f) => functions[f].name), ["12345678", "12345679", "abcdefgh", "abcdefgi", "zzzzzzzz"]);
  assert.deepEqual([...order([])], []);
  const names = (bytes) => parseWasm(bytes).functions.map(({ name }) => name);
  const renamed = arranged(MODULE);
  assert.deepEqual(names(renamed), ["000001 core::a", "000000 _R1x1y"]);
  assert.deepEqual(names(withOwnNames(renamed)), names(MODULE));
  assert.ok(WebAssembly.validate(Buffer.from(withOwnNames(renamed))) === WebAssembly.validate(MODULE));
});
