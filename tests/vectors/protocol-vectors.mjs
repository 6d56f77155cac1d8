// What the npm parsers make of packets good and bad, as test vectors for core/src/engine_io and
// core/src/socket_io. Run by hand, when a parser has a new version:
//
//   mkdir /tmp/parsers && cd /tmp/parsers && npm init -y
//   npm install engine.io-parser@5.2.3 socket.io-parser@4.2.7 socket.io-msgpack-parser@3.0.2
//   node …/tests/vectors/protocol-vectors.mjs /tmp/parsers
//
// The output is the same each time: the mutations come from a generator with a fixed seed.
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2] ?? process.cwd(), "package.json"));
const engine = require("engine.io-parser");
const socket = require("socket.io-parser");
const msgpack = require("socket.io-msgpack-parser");
const notepack = require("notepack.io");

// ---------------------------------------------------------------- helpers

/** mulberry32 */
function random(seed) {
  return (below) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Binary data as Dialtone notes it, and what JSON has no word for as null. */
function plain(value) {
  if (Buffer.isBuffer(value)) return { $binary: value.toString("base64") };
  if (value instanceof ArrayBuffer) return { $binary: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return Array.from(value, plain);
  if (value instanceof Date) return value.toJSON();
  if (value === undefined) return null;
  if (value === null || typeof value !== "object") return value;
  const copy = {};
  for (const key of Object.keys(value)) {
    Object.defineProperty(copy, key, { value: plain(value[key]), enumerable: true });
  }
  return copy;
}

function packetOut({ type, nsp, id, data }) {
  const out = { type, nsp };
  if (id !== undefined) out.id = id;
  if (data !== undefined) out.data = plain(data);
  return out;
}

function mutate(pick, text, alphabet) {
  const characters = [...text];
  for (let n = 1 + pick(2); n > 0; n--) {
    const at = pick(characters.length + 1);
    const character = alphabet[pick(alphabet.length)];
    const how = pick(3);
    if (how === 0) characters.splice(at, 1);
    else if (how === 1) characters.splice(at, 0, character);
    else characters.splice(at, 1, character);
  }
  return characters.join("");
}

function write(name, vectors) {
  const groups = Object.entries(vectors).map(([key, value]) =>
    Array.isArray(value)
      ? `${JSON.stringify(key)}: [\n${value.map((row) => JSON.stringify(row)).join(",\n")}\n]`
      : `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
  );
  writeFileSync(new URL(name, import.meta.url), `{\n${groups.join(",\n")}\n}\n`);
}

// ---------------------------------------------------------------- Engine.IO

function enginePacket({ type, data }) {
  if (type === "error") return "error";
  const out = { type };
  if (data !== undefined) out.data = plain(data);
  return out;
}

const enginePackets = [
  "", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "B", "-1", "01", "00", " 4", "4 ", "\n4", "４", "é", "😀",
  '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}', "0{}", "0x", "1 ", "1x",
  "2probe", "3probe", "2probe ", "2€", "3😀", "4hello", "4€", "4😀", "4\u0000", "4\u001e", "4a\u001eb", '42["a",1]',
  "40", "41", "4b", "4\n", "4\\", "5x", "6x", "5probe", "bAQIDBA==", "b", "bAQ==", "b====", "upgrade", "4".repeat(300),
];
const enginePayloads = [
  "", "\u001e", "4", "4a", "4a\u001e", "\u001e4a", "4a\u001e4b", "4a\u001e\u001e4b", "4a\u001e4b\u001e", "2\u001e4hello\u001e6", "3",
  "1", "1\u001e1", "4€\u001e4😀", "4hello\u001ebAQIDBA==", "bAQIDBA==", "b", "bAA==", "bAAA=", "bAAAA", "b+/+/", "b\u001eb",
  "4a\u001e7\u001e4b", "4a\u001ex", "5\u001e4a", "6", "2probe", "4a\\x1e4b", "4a\n4b", "4a,4b", "2:4a", "4\u001e4\u001e4",
  // Buffer.from takes these; Dialtone does not.
  "bA", "bAQ", "bAQI", "b-_-_", "bAQ==AQ==", "bAQ==\n", "b AQ==", "b!", "bé", "bAR==", "b=",
];
{
  const pick = random(1);
  const seeds = ["4hello\u001e4€\u001e2\u001ebAQIDBA==", "2probe", "3probe\u001e5", '42["a",{"b":1}]\u001e6', "1", "bAQID"];
  for (let i = 0; i < 220; i++) {
    const text = mutate(pick, seeds[pick(seeds.length)], ["\u001e", "b", "=", "A", "/", "-", ..."0123456789", " ", "€", "\n", '"']);
    (i % 4 === 0 ? enginePackets : enginePayloads).push(text);
  }
}
const engineEncode = [
  ["open", "{}"], ["close"], ["ping"], ["ping", "probe"], ["pong"], ["pong", "probe"], ["message", ""], ["message", "hello"], ["message", "€😀"],
  ["message", '2["a"]'], ["upgrade"], ["noop"], ...[0, 1, 2, 3, 4, 5, 31].map((n) => ["message", Buffer.alloc(n, 0xfb)]),
];

const unique = (rows) => [...new Set(rows)];
let payloadText;
engine.encodePayload(engineEncode.map(([type, data]) => ({ type, data })), (text) => (payloadText = text));
write("engine-io.json", {
  parser: "engine.io-parser 5.2.3",
  packets: unique(enginePackets).map((text) => [text, enginePacket(engine.decodePacket(text))]),
  payloads: unique(enginePayloads).map((text) => {
    const packets = engine.decodePayload(text).map(enginePacket);
    return [text, packets.includes("error") ? "error" : packets];
  }),
  encode: engineEncode.map(([type, data]) => {
    let text;
    engine.encodePacket({ type, data }, false, (encoded) => (text = encoded));
    return [enginePacket({ type, data }), text];
  }),
  payload: payloadText,
});

// ---------------------------------------------------------------- Socket.IO

const b = (...bytes) => Buffer.from(bytes);

function decodeSocket([text, ...attachments]) {
  const decoder = new socket.Decoder();
  let out = "waiting";
  decoder.on("decoded", (packet) => (out = packetOut(packet)));
  try {
    for (const frame of [text, ...attachments]) decoder.add(frame);
  } catch {
    return "error";
  }
  return out;
}

const P = (num) => `{"_placeholder":true,"num":${num}}`;
const texts = [
  // Types
  "", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "-", " ", "é", "😀", "00", "10", "é2", '"2"', "[]", "{}", "/", ",",
  // CONNECT
  "0{}", '0{"token":"x"}', '0 {"a":1}', "0[]", "0null", "0true", '0"x"', "01", "0{", "0}", "0{}x", "0{} ", "0{}\n", "0/", "0/,", "0/custom", "0/custom,",
  '0/custom,{"a":1}', '0/custom,{"a":{"b":[1,2,{"c":null}]}}', "0/custom{}", "0/custom,[]", "0/custom,1", "0/a/b/c,", "0/é,{}", "0/😀", "0/a b,",
  "0/chat?x=1,", "0/chat?x=1", '0/chat?x=1&y=2,{"a":1}', "0/?x,", "0/?", "0chat", "0chat,", "0,", "0,{}", "012{}", "0/chat,12{}", '0{"__proto__":1}', '0{"a":1,"a":2}',
  // DISCONNECT
  "1/", "1/custom", "1/custom,", "1/custom?x,", "1{}", "1[]", "1/custom,{}", '1"x"', "1/custom,1", "11", "1x",
  // EVENT
  '2["a"]', '2["a",1]', '2["a",1,2]', '2["a",null]', '2["a",{}]', '2["a",[]]', '2["a",[],{}]', '2["a",""]', '2["a",true,false,null,-1,1.5,"x",[1],{"b":2}]', '2[""]',
  '2["a",[[[[]]]]]', '2["a",{"a":{"b":{"c":{}}}}]', '2["a\\"b",1]', '2["\\u0061",1]', '2["é€😀"]', '2["a","\\ud83d\\ude00"]', '2["a","\\u0000"]',
  '2["a",1e3]', '2["a",1E+3]', '2["a",-0]', '2["a",0.1]', '2["a",12345678901234567890]', '2[1]', "2[0]", "2[-1]", "2[1.5]", "2[1.0]", "2[1e3]", "2[-0]", "2[1,2]", '2[1,"a",{}]',
  "2[]", "2[null]", "2[true]", "2[[]]", "2[{}]", '2[["a"]]', '2{"a":1}', "2{}", "2null", '2"a"', "2[", "2]", '2["a"', '2["a",]', '2[,"a"]', "2['a']", '2["a"]x', '2["a"] ', '2["a"]]', '2["a",01]',
  '2["a",+1]', '2["a",.5]', '2["a",1.]', '2["a",NaN]', '2["a",undefined]', '2["a\nb"]', '2["a\tb"]', '2["a",\n1]', '2[\r\n"a"\t,\n 1 , 2 ]', '2[ "a" , 1 ]', '2[ "a" ]', '2 ["a"]', '2\n["a"]', '2\u00a0["a"]', '2[\u00a0"a"]',
  '2["a","\\x"]', '2["a","\\u12"]', '2["a",{"b"}]', '2["a",{1:2}]', '2["a",{"b":1,}]', '2["a"}', '2["a",nul]', '2["a",tru]', '2/*x*/["a"]',
  ...["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "connected", "error", "Connect", "connect ", "message", "__proto__", "constructor", "toString"].map((name) => `2["${name}"]`),
  '2["\\u0063onnect"]', '2["connect",1]', '2/chat,["disconnect"]',
  '2/chat,["a"]', '2/chat,1["a"]', '2/chat["a"]', '2/chat1["a"]', '2/chat?x=1,["a"]', '2/chat?x=1,7["a",1]', '2/,["a"]', '2/["a"]', '2/a,b,["a"]', '2/1,2["a"]', '2chat,["a"]', "2/chat,", "2/chat,1", '2,["a"]', '2,1["a"]',
  '20["a"]', '21["a"]', '212["a"]', '2012["a"]', '29007199254740991["a"]', '29007199254740992["a"]', '218446744073709551616["a"]', '2-1["a"]', '2+1["a"]', '21.5["a"]', '21e3["a"]', '2 1["a"]', '21 ["a"]', '2１["a"]', '21,["a"]', '21-["a"]', '2a1["a"]', `2${"9".repeat(60)}["a"]`, "21",
  // ACK
  "3[]", "31[]", "31", "31[1]", '31["a"]', "31[1,2]", "31[ 1 ]", "31[[]]", "31[{}]", "31[null]", "31{}", '31"a"', "31null", "31[", "31[]]", "31[] ", '3/chat,12["a",{}]', '3/chat["a"]', '3/chat,["a"]', '31["connect"]', '3["a"]', "30[]", "3-1[]", "39007199254740991[1]", "39007199254740993[1]",
  // CONNECT_ERROR
  '4{"message":"x"}', '4"x"', "4{}", "4[]", '4/chat,{"message":"x"}',
  // Placeholders that are data
  `2["a",${P(0)}]`, `2["a",${P(5)}]`, `31[${P(0)}]`, '2["a",{"$binary":"AA=="}]',
  // Attachments that never come or are malformed
  `51-["a",${P(0)}]`, `61-1[${P(0)}]`, "5-[]", '50-["a"]', `50-["a",${P(0)}]`, "60-1[]", '5["a"]', '51["a"]', '51["a-b"]', "51-", '51-["a"', '5-1-["a"]', '5+1-["a"]', '51.0-["a"]', '51.5-["a"]', '51e0-["a"]', '50x1-["a"]', '5 1-["a"]', '51 -["a"]', '5a-["a"]', '511-["a"]', '510-["a"]', '501-["a"]', '59999999999999999999-["a"]', '5/chat,1-["a"]', '51-["connect",{}]', "51-[]", "51-{}", "51-[{}]", `51-[${P(0)}]`, `61-[${P(0)}]`, '51-2["a"]x', "5", "51", "6",
];
{
  const pick = random(2);
  const seeds = [
    '2["message",{"a":[1,"b",null]}]', '2/chat,12["a","b"]', '0/custom,{"token":"x"}', '31["ok",true]', '3/chat,7[]', "1/custom,", `52-/chat,3["a",${P(0)},${P(1)}]`, '2["a\\"b\\\\",-1.5e3]', '0{"a":"b"}', '2["x",{"y":{"z":[]}},"é"]',
  ];
  const alphabet = [..."0123456789-/,[]{}:\"\\ _?.+", "\n", "t", "n", "é", "\u0000", "\u00a0"];
  for (let i = 0; i < 420; i++) texts.push(mutate(pick, seeds[pick(seeds.length)], alphabet));
}

const one = b(1, 2, 3);
const two = b(0xff, 0xfe, 0x00, 0x10);
const binaries = [
  [`51-["a",${P(0)}]`, one], [`51-["a",${P(0)}]`, b()], [`52-["a",${P(0)},${P(1)}]`, one, two], [`52-["a",${P(1)},${P(0)}]`, one, two], [`52-["a",${P(0)},${P(1)}]`, one],
  [`51-["a",{"b":[1,${P(0)},{"c":null}]}]`, one], [`51-/chat,12["a",${P(0)},"x"]`, one], [`61-7[${P(0)}]`, one], [`62-/chat,7[${P(0)},{"a":${P(1)}}]`, one, two], [`51-["a",{"b":"${'{\\"_placeholder\\":true,\\"num\\":0}'}","c":${P(0)}}]`, one],
  ['51-["a",{"num":0,"_placeholder":true}]', one], ['51-["a", { "_placeholder" : true , "num" : 0 } , 1]', one], ['51-["a",{\n"num"\t:\r0\n,"_placeholder":\ntrue}]', one], ['51-["a",{"\\u005fplaceholder":true,"num":0}]', one],
  ['51-["a",{"_placeholder":true,"\\u006eum":0}]', one], ['51-["a",{"_placeholder":true,"num":0,"x":1}]', one], ['51-["a",{"x":1,"_placeholder":true,"num":0}]', one], ['51-["a",{"_placeholder":true,"num":0,"num":0}]', one],
  ['51-["a",{"_placeholder":true}]', one], ['51-["a",{"_placeholder":true,"num":"0"}]', one], ['51-["a",{"_placeholder":true,"num":null}]', one], ['51-["a",{"_placeholder":true,"num":-1}]', one], ['51-["a",{"_placeholder":true,"num":1}]', one],
  ['51-["a",{"_placeholder":true,"num":0.5}]', one], ['51-["a",{"_placeholder":true,"num":1e0}]', one], ['51-["a",{"_placeholder":true,"num":-0}]', one], ['51-["a",{"_placeholder":true,"num":99999999999999999999}]', one], ['51-["a",{"_placeholder":true,"num":[0]}]', one],
  ['51-["a",{"_placeholder":false,"num":0}]', one], ['51-["a",{"_placeholder":"true","num":0}]', one], ['51-["a",{"_placeholder":1,"num":0}]', one], ['51-["a",{"placeholder":true,"num":0}]', one], ['51-["a",{"num":0}]', one], ['51-["a","_placeholder",true]', one],
  ['51-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]', one], ['51-["a"]', one], ['52-["a",{"_placeholder":true,"num":1}]', one, two], [`51-["a",[[[[{"x":${P(0)}}]]]]]`, one], [`51-["a",{"_placeholder":{"_placeholder":true,"num":0},"num":0}]`, one],
  [`51-["a",{"\\"num":0,"_placeholder":true}]`, one], [`51-["a",{"x{\\"num":0,"_placeholder":true,"num":0}]`, one], [`51-["a\\"",${P(0)}]`, one], [`51-["a\\\\",${P(0)}]`, one], [`51-["{",${P(0)},"}"]`, one],
  ['50-["a"]', one], ['2["a"]', one], ["", one], ["0", one], ["51-[\"a\",1", one], [`51-["a",${P(0)}]`, '2["b"]'], [`51-["a",${P(0)}]`, one, one], [`51-["a",${P(0)}]`, one, '2["b"]'],
  [`510-["a",${[...Array(10).keys()].map(P)}]`, ...Array(10).fill(one)], [`510-["a",${[...Array(10).keys()].map(P)}]`, ...Array(9).fill(one)], [`511-["a",${[...Array(11).keys()].map(P)}]`, ...Array(11).fill(one)],
];
{
  const pick = random(3);
  const seeds = [`52-/chat,3["a",${P(0)},{"b":${P(1)}}]`, `51-["a", { "num" : 0 , "_placeholder" : true }]`, `61-4[[${P(0)}],"x"]`];
  const alphabet = [..."012-,[]{}:\"\\ .", "\n", "_"];
  for (let i = 0; i < 200; i++) binaries.push([mutate(pick, seeds[pick(seeds.length)], alphabet), ...[one, two].slice(0, 1 + pick(2))]);
}

const encodePackets = [
  { type: 0, nsp: "/", data: { sid: "abc" } }, { type: 0, nsp: "/chat", data: { sid: "abc" } }, { type: 0, nsp: "/chat", data: { sid: 'a"b', pid: "def" } }, { type: 1, nsp: "/" }, { type: 1, nsp: "/chat" },
  { type: 4, nsp: "/", data: { message: "Not authorized" } }, { type: 4, nsp: "/x", data: { message: "Invalid namespace" } }, { type: 4, nsp: "/", data: { message: 'no "é"\n', data: { code: 7 } } }, { type: 4, nsp: "/", data: { message: "x", data: null } },
  ...[[], [1], [null], ["x"], [{}], [[]], [1, 2], [[1], { a: "é\n\"\u0001" }], [b(1, 2, 3)], [b()], [{ a: b(1) }], [[b(1)], { x: { y: b(2, 3) }, z: "k" }, b(4)], Array.from({ length: 10 }, (_, i) => b(i))].flatMap((args) => [
    { type: 2, nsp: "/", data: ["event", ...args] }, { type: 2, nsp: "/chat", id: 12, data: ['a"\\\n\u007fé', ...args] }, { type: 3, nsp: "/", id: 0, data: args }, { type: 3, nsp: "/chat", id: 9007199254740991, data: args },
  ]),
];

write("socket-io.json", {
  parser: "socket.io-parser 4.2.7",
  decode: [...unique(texts).map((text) => [text]), ...binaries].map((frames) => [plain(frames), decodeSocket(frames)]),
  encode: encodePackets.map((packet) => [packetOut(packet), plain(new socket.Encoder().encode(structuredClonePacket(packet)))]),
});

/** The encoder replaces the data in place. */
function structuredClonePacket(packet) {
  const copy = (value) => {
    if (Buffer.isBuffer(value) || value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(copy);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner)]));
  };
  return copy(packet);
}

// ---------------------------------------------------------------- Socket.IO, MessagePack

function decodeMsgpack(bytes) {
  const decoder = new msgpack.Decoder();
  let out = "error";
  decoder.on("decoded", (packet) => (out = packetOut(packet)));
  try {
    decoder.add(bytes);
  } catch {
    return "error";
  }
  return out;
}

const values = [
  null, true, false, 0, 1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991, -1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991, 0.5, -1.5, 1e300, 1e-7, NaN, Infinity,
  "", "x", "é€😀", "\u0000\"\\\n", "x".repeat(31), "x".repeat(32), "x".repeat(255), "x".repeat(256), [], [1], Array(15).fill(1), Array(16).fill(1), {}, { a: 1 }, { a: { b: [{ c: null }] } }, Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, i])),
  undefined, [undefined], { a: undefined }, new Date(0), new Date(1_767_607_200_123), new Date(-1), new Date(8.64e15), new Date(NaN), b(), b(1, 2, 3), Buffer.alloc(255, 7), Buffer.alloc(256, 7), [b(1), { x: b(2) }], new ArrayBuffer(0), new Uint8Array([1, 2]).buffer,
  { "": 1 }, { "1": 2 }, { $binary: "AQID" }, { $binary: "no" }, { $binary: "AQID", x: 1 }, [[[[[[]]]]]],
];
const hand = [
  "", "c0", "80", "90", "ff", "c1", "83", "8374797065", "dfffffffff", "ddffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff00", "81a474797065", "81a47479706501", "82a47479706501a36e7370a12f", "82a36e7370a12fa47479706501",
];
const packet = (fields) => notepack.encode(fields).toString("hex");
hand.push(
  ...[
    { type: 0, nsp: "/" }, { type: 0, nsp: "/", data: undefined }, { type: 0, data: undefined, options: { compress: true }, nsp: "/chat" }, { type: 0, data: { token: "x" }, nsp: "/" }, { type: 0, data: null, nsp: "/" }, { type: 0, data: [], nsp: "/" }, { type: 0, data: "x", nsp: "/" },
    { type: 1, nsp: "/chat" }, { type: 1, nsp: "/", data: undefined }, { type: 1, nsp: "/", data: null }, { type: 1, nsp: "/", data: {} }, { type: 1, nsp: "/chat?x=1" },
    { type: 2, data: ["a", 1], options: { compress: true }, nsp: "/" }, { type: 2, data: ["a"], options: { compress: true }, id: 0, nsp: "/" }, { type: 2, data: ["a"], id: undefined, nsp: "/" }, { type: 2, data: ["a"], id: null, nsp: "/" }, { type: 2, data: ["a"], id: -1, nsp: "/" }, { type: 2, data: ["a"], id: 1.5, nsp: "/" }, { type: 2, data: ["a"], id: "1", nsp: "/" }, { type: 2, data: ["a"], id: 2 ** 53, nsp: "/" },
    { type: 2, data: [], nsp: "/" }, { type: 2, data: [1], nsp: "/" }, { type: 2, data: [1.5], nsp: "/" }, { type: 2, data: [null], nsp: "/" }, { type: 2, data: ["connect"], nsp: "/" }, { type: 2, data: {}, nsp: "/" }, { type: 2, nsp: "/" }, { type: 2, data: "a", nsp: "/" }, { type: 2, data: [b(1)], nsp: "/" },
    { type: 3, data: [], id: 1, nsp: "/" }, { type: 3, data: [1, 2], id: 1, nsp: "/" }, { type: 3, data: [1], nsp: "/" }, { type: 3, data: {}, id: 1, nsp: "/" }, { type: 3, id: 1, nsp: "/" },
    { type: 4, data: { message: "x" }, nsp: "/" }, { type: 5, data: ["a"], nsp: "/" }, { type: -1, data: ["a"], nsp: "/" }, { type: "2", data: ["a"], nsp: "/" }, { type: 2.5, data: ["a"], nsp: "/" }, { data: ["a"], nsp: "/" }, { type: 2, data: ["a"] }, { type: 2, data: ["a"], nsp: 1 }, { type: 2, data: ["a"], nsp: "" }, { type: 2, data: ["a"], nsp: "chat" }, { nsp: "/", id: 3, data: ["a"], type: 2 }, { type: 0, id: 1, nsp: "/" },
  ].map(packet),
);
// Formats that notepack reads but does not write: float 32, other extensions, longer headers, numbers as keys.
for (const value of ["ca3fc00000", "cc01", "d001", "d1ff00", "d3ffffffffffffffff", "cfffffffffffffffff", "d40501", "d5050102", "d60501020304", "d6ff00000001", "d7050102030405060708", "d805" + "01".repeat(16), "c7030501020 3".replace(" ", ""), "d90161", "da000161", "db0000000161", "dc000101", "dd0000000101", "de0001a16101", "df00000001a16101", "810102", "81d0ff02", "81c001", "8190c0", "a1ff", "a2c328", "a3eda080", "c1", "d40000", "d500000 0".replace(" ", "0"), "cb7ff8000000000000", "cb7ff0000000000000"]) {
  hand.push(`83a47479706502a464617461${"92a161"}${value}a36e7370a12f`);
}
{
  const pick = random(4);
  const seeds = [{ type: 2, data: ["a", { b: [1, "x", b(1, 2)] }, -1.5], id: 3, nsp: "/chat" }, { type: 0, data: { a: "b" }, nsp: "/" }, { type: 3, id: 300, data: [new Date(0), undefined], nsp: "/" }, { type: 1, nsp: "/chat" }].map((fields) => notepack.encode(fields));
  for (let i = 0; i < 250; i++) {
    const bytes = [...seeds[pick(seeds.length)]];
    const at = pick(bytes.length);
    const how = pick(3);
    if (how === 0) bytes.splice(at, 1);
    else if (how === 1) bytes.splice(at, 0, pick(256));
    else bytes.splice(at, 1, pick(256));
    hand.push(Buffer.from(bytes).toString("hex"));
  }
}

/** Declared lengths that keep notepack busy for minutes or fill its memory: the Rust tests have such. */
const safe = (hex) => !/d[df]ff|db[0-9a-f]{2}|c9[0-9a-f]{2}/.test(hex) || /d[bdf]000000/.test(hex);

write("socket-io-msgpack.json", {
  parser: "socket.io-msgpack-parser 3.0.2",
  values: values.map((value) => [notepack.encode({ type: 2, data: ["a", value], nsp: "/" }).toString("hex"), plain(value)]),
  decode: unique(hand).filter(safe).map((hex) => [hex, decodeMsgpack(Buffer.from(hex, "hex"))]),
  encode: encodePackets.map(({ type, data, nsp, id }) => {
    const packet = { type, ...(data === undefined ? {} : { data }), nsp, ...(id === undefined ? {} : { id }) };
    return [packetOut(packet), new msgpack.Encoder().encode(packet)[0].toString("hex")];
  }),
});
