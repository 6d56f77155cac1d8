// Forged tokens, each over HTTP, on a plain WebSocket, in Socket.IO's CONNECT and in `refresh` on live sockets of both kinds. None
// opens anything, none harms the socket that it came on, and nobody is asked for the keys that a token names.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { call, Client, engineSocket, ioConnected, join, JWT_SECRET, serve, token } from "./harness.mjs";

const ANN = { sub: "ann", rooms: ["*"] };
const HS = { alg: "HS256", typ: "JWT" };
const ends = [];
/** How often anyone was asked for a key. */
let asked = 0;
let server, attacker, keys, plain, socket, knocker;

const now = () => Math.floor(Date.now() / 1000);
const part = (value) => Buffer.from(typeof value === "string" || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString("base64url");
/** A token of any header and payload, signed by any key with HMAC. */
function forge(header, payload, key = JWT_SECRET, hash = "sha256") {
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest("base64url")}`;
}
const good = (more) => ({ ...ANN, exp: now() + 600, ...more });
/** The payload's JSON as it is written. */
const json = (text) => `{"rooms":["*"],"exp":${now() + 600},${text}}`;

before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  const http = createServer((_, response) => (asked++, response.end("{}"))).listen(0, "127.0.0.1");
  await once(http, "listening");
  ends.push(() => (http.closeAllConnections(), http.close()));
  const url = `http://127.0.0.1:${http.address().port}/`;
  const pair = (alg) => generateKeyPair(alg, { extractable: true });
  keys = { es: await pair("ES256"), rs: await pair("RS256"), ed: await pair("EdDSA") };
  attacker = { es: await pair("ES256"), rs: await pair("RS256"), url };
  const set = await Promise.all(Object.entries(keys).map(async ([kid, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid })));
  server = await serve(lifetime, { vars: { JWT_PUBLIC_KEYS: JSON.stringify(set), RATE_EVENTS_PER_SECOND: 10_000, RATE_BURST: 100_000 } });
  plain = await join(lifetime, server, "demo:1", ANN);
  socket = await ioConnected(lifetime, server, ANN);
  await newKnocker();
});
after(() => Promise.all(ends.map((end) => end())));

let knocks = 0;
/** A session that has connected to nothing yet. */
async function newKnocker() {
  knocker = engineSocket({ after: (end) => ends.push(end) }, server);
  knocks = 0;
  await knocker.opened();
}

/** What becomes of a token: `{http, plain, connect, refreshPlain, refresh}`, codes each. */
async function tried(jwt) {
  const fits = jwt.length < 10_000 && /^[\x21-\x7e]*$/.test(jwt);
  const answer = fits && (await call(server, "GET", "/rooms/demo%3A1/history", { headers: { authorization: `Bearer ${jwt}` } }));
  let handshake;
  if (fits) {
    const client = new Client(`${server.ws}/rooms/demo%3A1?${new URLSearchParams({ token: jwt })}`);
    handshake = await client.opened().then(() => "opened", ({ body }) => body.code);
    client.socket.terminate();
  }
  // A CONNECT that is refused leaves the session as it was; one that is not would be seen.
  const number = ++knocks;
  const answers = () => knocker.frames.filter((frame) => typeof frame === "string" && /^4[04]/.test(frame));
  knocker.send(`40${JSON.stringify({ token: jwt })}`);
  await knocker.frame(() => answers().length >= number);
  const [, payload] = answers()[number - 1].match(/^44(.*)$/) ?? [];
  if (!payload) await newKnocker();
  const refreshed = await plain.ask("refresh", { token: jwt });
  const acked = await socket.ask("refresh", { token: jwt });
  return {
    ...(fits && { http: answer.status === 401 ? answer.body.code : answer.status, plain: handshake }),
    connect: payload ? JSON.parse(payload).data.code : "connected",
    refreshPlain: refreshed.error?.code ?? "taken",
    refresh: acked.ok ? "taken" : acked.error.code,
  };
}

/** Refused everywhere, with this code. */
async function refusedEverywhere(forgeries, code = "unauthorized") {
  for (const [what, jwt] of Object.entries(forgeries)) {
    const outcome = await tried(jwt);
    assert.deepEqual(outcome, Object.fromEntries(Object.keys(outcome).map((place) => [place, code])), what);
  }
  // The sockets that they came on go on with the token that they had.
  assert.ok((await plain.ask("note", 1)).offset > 0);
  assert.equal((await socket.ask("test")).ok, true);
  assert.equal(asked, 0, "somebody was asked for a key");
}

describe("forged tokens are refused over HTTP, on a plain WebSocket, at CONNECT and by refresh", { timeout: 180_000 }, () => {
  test("unsigned, by whatever spelling of none, and with whatever for a signature", async () => {
    const forgeries = {};
    for (const alg of ["none", "None", "NONE", "nOnE", "none ", "", "null"]) {
      for (const signature of ["", "AA", part("\0".repeat(32)), token(ANN).split(".")[2]]) {
        forgeries[`${alg} with ${signature.slice(0, 4)}`] = `${part({ alg, typ: "JWT" })}.${part(good())}.${signature}`;
      }
      forgeries[`${alg}, signed`] = forge({ alg, typ: "JWT" }, good());
    }
    const [header, payload, signature] = token(ANN).split(".");
    await refusedEverywhere({
      ...forgeries,
      "no signature": `${header}.${payload}.`,
      "two parts": `${header}.${payload}`,
      "no header": `.${payload}.${signature}`,
      "no payload": `${header}..${signature}`,
      "four parts": `${header}.${payload}.${signature}.${signature}`,
      "five parts, as of a JWE": `${header}.${part("k")}.${part("iv")}.${payload}.${signature}`,
      "the signature less one character": `${header}.${payload}.${signature.slice(0, -1)}`,
      "one byte of it": `${header}.${payload}.${signature.slice(0, 2)}`,
      "it twice": `${header}.${payload}.${signature}${signature}`,
      "another token's": `${header}.${payload}.${token({ sub: "bob" }).split(".")[2]}`,
    });
  });

  test("another algorithm than the key's, and a public key as a secret", async () => {
    const forgeries = {};
    for (const [alg, hash] of [["HS384", "sha384"], ["HS512", "sha512"], ["HS1", "sha1"]]) forgeries[alg] = forge({ alg }, good(), JWT_SECRET, hash);
    for (const alg of ["RS256", "RS384", "PS256", "ES256", "ES256K", "ES384", "EdDSA", "Ed25519", "hs256", "HS256 ", "HS-256", "dir", "A256GCM", ["HS256"], { alg: "HS256" }, null, 256, true]) {
      for (const kid of [undefined, "es", "rs", "ed"]) forgeries[`${JSON.stringify(alg)} ${kid}`] = forge({ alg, kid }, good());
    }
    for (const [kid, { publicKey }] of Object.entries(keys)) {
      const jwk = await exportJWK(publicKey);
      const pem = await exportSPKI(publicKey);
      const raw = Buffer.concat([jwk.x, jwk.y, jwk.n].filter(Boolean).map((text) => Buffer.from(text, "base64url")));
      const spellings = { PEM: pem, "PEM without its last line break": pem.trimEnd(), JWK: JSON.stringify(jwk), "JWK with its kid": JSON.stringify({ ...jwk, kid }), raw, "raw in base64url": part(raw) };
      for (const [what, key] of Object.entries(spellings)) {
        for (const header of [HS, { ...HS, kid }]) forgeries[`HS256 with ${kid} as ${what} ${header.kid}`] = forge(header, good(), key);
      }
    }
    for (const [alg, { privateKey }, kid] of [["ES256", keys.es, "rs"], ["ES256", keys.es, "ed"], ["RS256", keys.rs, "es"]]) {
      forgeries[`${alg} by its key under the kid ${kid}`] = await new SignJWT(ANN).setProtectedHeader({ alg, kid }).setExpirationTime("5m").sign(privateKey);
    }
    await refusedEverywhere(forgeries);
  });

  test("keys that the token itself brings or names", async () => {
    const jwk = await exportJWK(attacker.es.publicKey);
    const forgeries = {};
    for (const [what, header] of Object.entries({
      jwk: { jwk },
      "jwk, under a known kid": { jwk, kid: "es" },
      jku: { jku: attacker.url },
      "jku, under a known kid": { jku: attacker.url, kid: "es" },
      x5u: { x5u: attacker.url },
      x5c: { x5c: [part("certificate")] },
      "iss that is the attacker's": {},
    })) {
      const by = (alg, { privateKey }) => new SignJWT({ ...ANN, iss: attacker.url }).setProtectedHeader({ alg, ...header }).setExpirationTime("5m").sign(privateKey);
      forgeries[`${what}, ES256`] = await by("ES256", attacker.es);
      forgeries[`${what}, RS256`] = await by("RS256", attacker.rs);
    }
    forgeries["jwk of a secret"] = forge({ ...HS, jwk: { kty: "oct", k: part("mine") } }, good(), "mine");
    await refusedEverywhere(forgeries);
  });

  test("a kid that is a path, SQL, a name of JavaScript's, or no text", async () => {
    const forgeries = {};
    for (const kid of ["../../../../dev/null", "/dev/null", "file:///dev/null", "es/../es", "es\0", "' OR '1'='1", "x' UNION SELECT 'mine' --", "__proto__", "constructor", "toString", "hasOwnProperty", "", " es", "ES", "*", "%65s", "x".repeat(4_000), attacker.url]) {
      for (const key of ["", "\0", "mine", "undefined", "null", "[object Object]"]) forgeries[`${kid.slice(0, 30)} by ${JSON.stringify(key)}`] = forge({ ...HS, kid }, good(), key);
      forgeries[`${kid.slice(0, 30)} by a stranger`] = await new SignJWT(ANN).setProtectedHeader({ alg: "ES256", kid }).setExpirationTime("5m").sign(attacker.es.privateKey);
    }
    for (const kid of [1, null, true, [], ["es"], {}]) if (kid !== null) forgeries[`kid ${JSON.stringify(kid)}`] = forge({ ...HS, kid }, good());
    await refusedEverywhere(forgeries);
  });

  test("crit, b64, nested, detached and of another type", async () => {
    const forgeries = {};
    for (const crit of [[], ["b64"], ["exp"], ["unknown"], ["alg"], "b64", {}, 0]) forgeries[`crit ${JSON.stringify(crit)}`] = forge({ ...HS, crit, b64: false, unknown: 1, exp: 1 }, good());
    const detached = `${part({ ...HS, b64: false, crit: ["b64"] })}.${JSON.stringify(good())}`;
    await refusedEverywhere({
      ...forgeries,
      "a payload that is not encoded": `${detached}.${createHmac("sha256", JWT_SECRET).update(detached).digest("base64url")}`,
      "a token in a token": forge({ ...HS, cty: "JWT" }, token(ANN)),
      "a token as JSON text": forge({ ...HS, cty: "JWT" }, JSON.stringify(token(ANN))),
      "a logout token": forge({ ...HS, typ: "logout+jwt" }, good()),
      "a DPoP proof": forge({ ...HS, typ: "dpop+jwt" }, good()),
      "JSON serialization": JSON.stringify({ protected: part(HS), payload: part(good()), signature: "" }),
    });
  });

  test("claims of wrong types, and payloads that are no claims", async () => {
    const forgeries = {};
    const wrong = {
      sub: [null, "", true, 1.5, [], {}, ["ann"], "a\0b", "u".repeat(129)],
      exp: [null, "9999999999", true, [], {}, [now() + 600], "soon"],
      nbf: ["0", true, [], {}],
      rooms: ["*", 1, {}, [1], [null], [["*"]]],
      rooms_read: ["*", 1, {}, [1]],
      role: [["admin"], 1, {}, true],
      name: [1, [], {}],
    };
    for (const [claim, values] of Object.entries(wrong)) for (const value of values) forgeries[`${claim} ${JSON.stringify(value).slice(0, 20)}`] = forge(HS, good({ [claim]: value }));
    for (const payload of ["", "{", "null", "[]", '"ann"', "7", `${JSON.stringify(good())}x`, `\ufeff${JSON.stringify(good())}`, Buffer.from([0xff, 0xfe, 0x7b])]) forgeries[`payload ${String(payload).slice(0, 10)}`] = forge(HS, payload);
    for (const exp of ["1e999", "-1e999", "NaN", "Infinity", "0x7fffffff", "9".repeat(400), "١٢٣"]) forgeries[`exp ${exp.slice(0, 10)}`] = forge(HS, `{"sub":"ann","rooms":["*"],"exp":${exp}}`);
    await refusedEverywhere(forgeries);
  });

  test("a header or a claim that is there twice counts as the last one, everywhere alike (RFC 7515 §4, RFC 7519 §4)", async () => {
    const later = now() + 600;
    await refusedEverywhere({
      alg: forge('{"alg":"HS256","alg":"none"}', good()),
      sub: forge(HS, json('"sub":"ann","sub":null')),
      rooms: forge(HS, json('"sub":"ann","rooms":"*"')),
    });
    await refusedEverywhere({ exp: forge(HS, `{"sub":"ann","exp":${later},"exp":1}`) }, "token_expired");
    // And never the first in one place and the last in another: who is Bob is Bob, and may not refresh Ann's socket.
    const bob = forge('{"alg":"none","alg":"HS256"}', json('"sub":"ann","sub":"bob"'));
    assert.deepEqual(await tried(bob), { http: 200, plain: "opened", connect: "connected", refreshPlain: "forbidden", refresh: "forbidden" });
    const customer = forge(HS, json('"sub":"ann","role":"admin","role":"customer"'));
    assert.equal((await call(server, "GET", "/metrics", { headers: { authorization: `Bearer ${customer}` } })).status, 403);
  });

  test("exp in the past, whatever kind of number it is", async () => {
    const forgeries = {};
    for (const exp of ["0", "1", "-1", "1.5", "-0.0", "1e3", "-1e15", "-9223372036854775808"]) forgeries[exp] = forge(HS, `{"sub":"ann","rooms":["*"],"exp":${exp}}`);
    await refusedEverywhere(forgeries, "token_expired");
  });

  test("other spellings of the same bytes, Unicode, and what is far too long", async () => {
    const jwt = token({ ...ANN, filler: "???>>>" });
    const [header, payload, signature] = jwt.split(".");
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // 32 bytes are 43 characters, the last of which has two bits that mean nothing.
    const last = alphabet.indexOf(signature.at(-1));
    const spellings = [1, 2, 3].map((bits) => signature.slice(0, -1) + alphabet[(last & ~3) | ((last & 3) ^ bits)]);
    const standard = (text) => text.replaceAll("-", "+").replaceAll("_", "/");
    const forgeries = Object.fromEntries(spellings.map((spelling, n) => [`a signature's spare bits, ${n + 1}`, `${header}.${payload}.${spelling}`]));
    await refusedEverywhere({
      ...forgeries,
      "padding of the signature": `${jwt}=`,
      "padding of all": [header, payload, signature].map((text) => text.padEnd(Math.ceil(text.length / 4) * 4 + 4, "=")).join("."),
      ...(standard(jwt) !== jwt && { "standard base64": standard(jwt) }),
      "a line break": `${header}.${payload}.\n${signature}`,
      "a blank": `${header}. ${payload}.${signature}`,
      "a tab": `${jwt}\t`,
      "full-width dots": jwt.replaceAll(".", "．"),
      "an invisible character": `${header}.${payload}\u200b.${signature}`,
      "a byte order mark": `\ufeff${jwt}`,
      NUL: `${jwt}\0`,
      "full-width HS256": forge({ alg: "ＨＳ２５６" }, good()),
      "HS256 and NUL": forge({ alg: "HS256\0" }, good()),
      "Bearer twice": `Bearer ${jwt}`,
      "longer than 8 KiB": forge(HS, good({ filler: "x".repeat(8 * 1024) })),
      "half a megabyte": forge(HS, good({ filler: "x".repeat(500_000) })),
      "half a megabyte of dots": ".".repeat(500_000),
      "deep JSON": forge(HS, `{"sub":"ann","exp":${now() + 600},"x":${"[".repeat(3_000)}${"]".repeat(3_000)}}`),
      "a deep header": forge(`{"alg":"HS256","x":${"[".repeat(3_000)}${"]".repeat(3_000)}}`, good()),
    });
  });

  test("and a good one is taken in each of these places", async () => {
    // With the algorithms that there are, and with numbers as JSON may write them.
    const tokens = [token(ANN), forge(HS, `{"sub":"ann","rooms":["*"],"exp":${now() + 600}.5}`), forge({ ...HS, kid: "unknown" }, good())];
    for (const [alg, kid] of [["ES256", "es"], ["RS256", "rs"], ["EdDSA", "ed"]]) tokens.push(await new SignJWT(ANN).setProtectedHeader({ alg, kid }).setExpirationTime("5m").sign(keys[kid].privateKey));
    for (const jwt of tokens) {
      assert.deepEqual(await tried(jwt), { http: 200, plain: "opened", connect: "connected", refreshPlain: "taken", refresh: "taken" });
    }
  });
});
