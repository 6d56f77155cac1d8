// Tokens (CONTRACT "Token"): where they are read, which are refused, with which keys, and what they grant.

import assert from "node:assert/strict";
import { createHmac, createPublicKey } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { ADMIN, call, Client, join, JWT_SECRET, serve, SERVICE, token } from "./harness.mjs";

const PREVIOUS = "the-secret-before-this-one-of-32-bytes-or-more";
const ISSUER = "https://issuer.example/";
const AUDIENCE = "dialtone-test";
const ANN = { sub: "ann", rooms: ["*"] };
const HOUR = 3600;

let keys;
/** HS256 with rotation, two ES256 keys and an RSA key with a `kid`, one EdDSA key without. */
let server;
/** Issuer and audience are checked; the user is in `userId`. */
let strict;
const ends = [];

const now = () => Math.floor(Date.now() / 1000);
const part = (json) => Buffer.from(typeof json === "string" ? json : JSON.stringify(json)).toString("base64url");
const hmac = (hash, key, text) => createHmac(hash, key).update(text).digest("base64url");

/** A token of any header, payload and HMAC. */
function forge(header, payload, { hash = "sha256", key = JWT_SECRET } = {}) {
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${hmac(hash, key, signed)}`;
}

const sign = (alg, key, claims = ANN, header = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg, ...header }).setExpirationTime("10m").sign(key);

const http = (to, jwt, route = "/rooms/demo%3A1/history") => call(to, "GET", route, { headers: jwt === undefined ? {} : { authorization: `Bearer ${jwt}` } });

/** The outcome of a WebSocket handshake: 101, or the status and code with which it was refused. */
async function handshake(to, { query = "", protocols = [], headers = {}, room = "demo:1" } = {}) {
  const client = new Client(`${to.ws}/rooms/${encodeURIComponent(room)}${query}`, { protocols, headers });
  try {
    await client.opened();
    const { userId } = (await client.event("connected")).data;
    return { status: 101, userId, protocol: client.socket.protocol };
  } catch (error) {
    return { status: error.status, code: error.body?.code, type: error.message };
  } finally {
    client.socket.terminate();
  }
}

/** Refused everywhere: over HTTP as a problem, on a WebSocket as the handshake's answer, in each place. */
async function refused(to, jwt, what, code = "unauthorized") {
  const answer = await http(to, jwt);
  assert.deepEqual([answer.status, answer.body.code, answer.headers.get("content-type")], [401, code, "application/problem+json"], what);
  assert.ok(jwt === undefined || jwt.length < 20 || !JSON.stringify(answer.body).includes(jwt), `${what}: the answer repeats the token`);
  const query = jwt === undefined ? "" : `?${new URLSearchParams({ token: jwt })}`;
  const byQuery = await handshake(to, { query });
  assert.deepEqual([byQuery.status, byQuery.code], [401, code], `${what}, in the query`);
  if (jwt === undefined) return;
  const byHeader = await handshake(to, { headers: { authorization: `Bearer ${jwt}` } });
  assert.deepEqual([byHeader.status, byHeader.code], [401, code], `${what}, in the header`);
}

async function accepted(to, jwt, userId, what) {
  const answer = await http(to, jwt);
  assert.equal(answer.status, 200, `${what}: ${JSON.stringify(answer.body)}`);
  const socket = await handshake(to, { query: `?token=${jwt}` });
  assert.deepEqual([socket.status, socket.userId], [101, userId], what);
}

after(() => Promise.all(ends.map((end) => end())));
before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  const options = { extractable: true };
  keys = {
    es1: await generateKeyPair("ES256", options),
    es2: await generateKeyPair("ES256", options),
    ed: await generateKeyPair("EdDSA", { ...options, crv: "Ed25519" }),
    rs: await generateKeyPair("RS256", options),
    stranger: await generateKeyPair("ES256", options),
    strangerEd: await generateKeyPair("EdDSA", { ...options, crv: "Ed25519" }),
    strangerRs: await generateKeyPair("RS256", options),
  };
  const jwk = async (key, more) => ({ ...(await exportJWK(key.publicKey)), ...more });
  const set = [await jwk(keys.es1, { kid: "one", alg: "ES256", use: "sig" }), await jwk(keys.es2, { kid: "two" }), await jwk(keys.ed, { alg: "EdDSA" }), await jwk(keys.rs, { kid: "rsa" })];
  [server, strict] = await Promise.all([
    serve(lifetime, { vars: { JWT_SECRET_PREVIOUS: PREVIOUS, JWT_PUBLIC_KEYS: JSON.stringify(set) } }),
    serve(lifetime, { vars: { JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE, JWT_USER_CLAIM: "userId" } }),
  ]);
});

describe("where the token is read", { concurrency: 4 }, () => {
  test("each place holds a token, and the first found wins even where a later one is better", async () => {
    const of = (sub) => token({ sub, rooms: ["*"] });
    const header = (jwt) => ({ authorization: `Bearer ${jwt}` });
    const query = (jwt) => `?${new URLSearchParams({ token: jwt })}`;
    const bad = token({ sub: "bad", exp: 1 });
    for (const [what, options, expected] of [
      ["the header", { headers: header(of("h")) }, "h"],
      ["the header, another case", { headers: { authorization: `bEaReR   ${of("h")}` } }, "h"],
      ["the subprotocol", { protocols: ["dialtone.v1", `bearer.${of("p")}`] }, "p"],
      ["the subprotocol, token first", { protocols: [`bearer.${of("p")}`, "dialtone.v1"] }, "p"],
      ["the query", { query: query(of("q")) }, "q"],
      ["all three", { headers: header(of("h")), protocols: ["dialtone.v1", `bearer.${of("p")}`], query: query(of("q")) }, "h"],
      ["the last two", { protocols: ["dialtone.v1", `bearer.${of("p")}`], query: query(of("q")) }, "p"],
      ["a subprotocol without a token, and the query", { protocols: ["dialtone.v1"], query: query(of("q")) }, "q"],
      ["another scheme, and the query", { headers: { authorization: "Basic dTpw" }, query: query(of("q")) }, "q"],
      ["a bad header, a good query", { headers: header(bad), query: query(of("q")) }, 401],
      ["a bad subprotocol, a good query", { protocols: ["dialtone.v1", `bearer.${bad}`], query: query(of("q")) }, 401],
      ["a good header, a bad query", { headers: header(of("h")), query: query(bad) }, "h"],
      ["an empty query", { query: "?token=" }, 401],
      ["nothing", {}, 401],
    ]) {
      const outcome = await handshake(server, options);
      assert.equal(outcome.userId ?? outcome.status, expected, `${what}: ${outcome.type}`);
    }
  });

  test("HTTP takes the token from the header, and from the query too", async () => {
    const byQuery = await call(server, "GET", `/rooms/demo%3A1/history?token=${token(ANN)}`);
    assert.equal(byQuery.status, 200);
    const both = await call(server, "GET", `/rooms/demo%3A1/history?token=${token(ANN)}`, { as: { ...ANN, exp: 1 } });
    assert.deepEqual([both.status, both.body.code], [401, "token_expired"]);
  });

  test("the subprotocol is answered with dialtone.v1 and the token is not echoed", async (t) => {
    const jwt = token(ANN);
    const client = new Client(`${server.ws}/rooms/demo%3A1`, { protocols: ["dialtone.v1", `bearer.${jwt}`] });
    t.after(() => client.socket.terminate());
    const upgraded = new Promise((resolve) => client.socket.on("upgrade", resolve));
    await client.opened();
    const { headers } = await upgraded;
    assert.equal(headers["sec-websocket-protocol"], "dialtone.v1");
    await client.event("presence_state");
    for (const text of [JSON.stringify(headers), JSON.stringify(client.frames)]) assert.ok(!text.includes(jwt));
  });

  test("who offers no subprotocol is answered none", async (t) => {
    const client = await join(t, server, "demo:1", ANN);
    assert.equal(client.socket.protocol, "");
  });
});

describe("tokens that are refused", { concurrency: 2 }, () => {
  test("every bad token is a 401 problem over HTTP and a refused handshake on a WebSocket", async () => {
    const good = { ...ANN, exp: now() + HOUR };
    const jwt = token(good);
    const [header, payload, signature] = jwt.split(".");
    const HS = { alg: "HS256", typ: "JWT" };
    const flipped = Buffer.from(signature, "base64url");
    flipped[0] ^= 1;
    const cases = {
      "no token": undefined,
      garbage: "garbage",
      "two dots": "..",
      "two parts": `${header}.${payload}`,
      "four parts": `${jwt}.x`,
      "no signature": `${header}.${payload}.`,
      "signature of zeros": `${header}.${payload}.${part("\0".repeat(32))}`,
      "one bit of the signature": `${header}.${payload}.${flipped.toString("base64url")}`,
      "half of the signature": `${header}.${payload}.${signature.slice(0, 20)}`,
      padding: `${jwt}=`,
      "tampered payload": `${header}.${part({ ...good, role: "admin" })}.${signature}`,
      "tampered header": `${part({ ...HS, kid: "x" })}.${payload}.${signature}`,
      "another secret": token(good, { secret: "another-secret-of-more-than-thirty-two-bytes" }),
      "the empty secret": token(good, { secret: "" }),
      "the secret with a line break": token(good, { secret: `${JWT_SECRET}\n` }),
      "alg none": `${part({ alg: "none" })}.${payload}.`,
      "alg none, signed": forge({ alg: "none" }, good),
      "alg nOnE": `${part({ alg: "nOnE" })}.${payload}.`,
      "alg missing": forge({ typ: "JWT" }, good),
      "alg empty": forge({ alg: "" }, good),
      "alg an array": forge({ alg: ["HS256"] }, good),
      "alg in lower case": forge({ alg: "hs256" }, good),
      "HS384 with the right secret": forge({ alg: "HS384" }, good, { hash: "sha384" }),
      "HS512 with the right secret": forge({ alg: "HS512" }, good, { hash: "sha512" }),
      "HS384 in name only": forge({ alg: "HS384" }, good),
      "RS256 in name only": forge({ alg: "RS256" }, good),
      "ES256 in name only": forge({ alg: "ES256" }, good),
      "EdDSA in name only": forge({ alg: "EdDSA" }, good),
      "crit of b64": forge({ ...HS, crit: ["b64"], b64: false }, good),
      "crit of exp": forge({ ...HS, crit: ["exp"], exp: good.exp }, good),
      "crit empty": forge({ ...HS, crit: [] }, good),
      "typ of something else": forge({ ...HS, typ: "secevent+jwt" }, good),
      "kid not a string": forge({ ...HS, kid: 1 }, good),
      "a header that is an array": forge([HS], good),
      "a header that is no JSON": forge("{", good),
      "a payload that is an array": forge(HS, [good]),
      "a payload that is no JSON": forge(HS, "x"),
      "a payload that is null": forge(HS, "null"),
      "no exp": forge(HS, ANN),
      "exp null": forge(HS, { ...ANN, exp: null }),
      "exp as text": forge(HS, { ...ANN, exp: String(good.exp) }),
      "exp of 1e999": forge(HS, '{"sub":"ann","rooms":["*"],"exp":1e999}'),
      "nbf in an hour": forge(HS, { ...good, nbf: now() + HOUR }),
      "nbf in a minute": forge(HS, { ...good, nbf: now() + 60 }),
      "nbf as text": forge(HS, { ...good, nbf: "0" }),
      "no sub": forge(HS, { exp: good.exp }),
      "sub empty": forge(HS, { ...good, sub: "" }),
      "sub null": forge(HS, { ...good, sub: null }),
      "sub a fraction": forge(HS, { ...good, sub: 1.5 }),
      "sub an object": forge(HS, { ...good, sub: { id: 1 } }),
      "sub too long": forge(HS, { ...good, sub: "u".repeat(129) }),
      "sub with NUL": forge(HS, { ...good, sub: "a\0b" }),
      "sub past 64 bits": forge(HS, `{"sub":99999999999999999999,"exp":${good.exp}}`),
      "rooms not an array": forge(HS, { ...good, rooms: "*" }),
      "rooms not of text": forge(HS, { ...good, rooms: [1] }),
      "rooms_read not an array": forge(HS, { ...good, rooms_read: { 0: "*" } }),
      "a hundred and one grants": forge(HS, { ...good, rooms: Array.from({ length: 101 }, (_, n) => `d:${n}`) }),
      "role not text": forge(HS, { ...good, role: ["admin"] }),
      "longer than 8 KiB": forge(HS, { ...good, filler: "x".repeat(8 * 1024) }),
    };
    for (const [what, bad] of Object.entries(cases)) await refused(server, bad, what);
  });

  test("an expired token says so, but only if nothing else is wrong with it", async () => {
    for (const exp of [now() - 6, now() - HOUR, 0, -1, 1.5]) {
      await refused(server, token({ ...ANN, exp }), `exp ${exp}`, "token_expired");
    }
    await refused(server, token({ ...ANN, exp: 1 }, { secret: "x".repeat(40) }), "expired and forged");
    await refused(server, token({ ...ANN, exp: 1, sub: null }), "expired and of nobody");
  });

  test("five seconds of leeway are given to exp and nbf", async () => {
    assert.equal((await http(server, token({ ...ANN, exp: now() - 1 }))).status, 200);
    assert.equal((await http(server, token({ ...ANN, nbf: now() + 3 }))).status, 200);
  });

  test("an Authorization header with a bad token is refused whatever its form", async () => {
    for (const authorization of ["Bearer", "Bearer ", "Bearer x y", `Bearer "${token(ANN)}"`, `Token ${token(ANN)}`, token(ANN), `Bearer ${token(ANN)}, Bearer x`]) {
      const { status, body } = await call(server, "GET", "/rooms/demo%3A1/history", { headers: { authorization } });
      assert.deepEqual([status, body.code], [401, "unauthorized"], authorization.slice(0, 20));
    }
  });
});

describe("keys", { concurrency: 4 }, () => {
  test("while rotating, the secret and the previous one are accepted, and no third", async () => {
    await accepted(server, token(ANN), "ann", "current");
    await accepted(server, token(ANN, { secret: PREVIOUS }), "ann", "previous");
    await refused(server, token(ANN, { secret: "the-secret-before-the-one-before-this" }), "the one before");
    await refused(strict, token({ ...ANN, userId: "ann", iss: ISSUER, aud: AUDIENCE }, { secret: PREVIOUS }), "previous where none is configured");
  });

  test("ES256, EdDSA and RS256 tokens are accepted by the keys of JWT_PUBLIC_KEYS, by kid or by trying", async () => {
    for (const [what, alg, pair, header] of [
      ["ES256 by its kid", "ES256", keys.es1, { kid: "one" }],
      ["ES256 by the other kid", "ES256", keys.es2, { kid: "two", typ: "at+jwt" }],
      ["ES256 without a kid", "ES256", keys.es2, {}],
      ["EdDSA without a kid", "EdDSA", keys.ed, {}],
      ["EdDSA under a kid, where the key has none", "EdDSA", keys.ed, { kid: "any" }],
      ["Ed25519 by RFC 9864's name", "Ed25519", keys.ed, {}],
      ["RS256 by its kid", "RS256", keys.rs, { kid: "rsa" }],
      ["RS256 without a kid", "RS256", keys.rs, {}],
    ]) {
      await accepted(server, await sign(alg, pair.privateKey, { ...ANN, sub: 7 }, header), 7, what);
    }
  });

  test("signatures of strangers, and by a key whose kid is another, are refused", async () => {
    for (const [what, alg, pair, header] of [
      ["a stranger", "ES256", keys.stranger, {}],
      ["a stranger with a known kid", "ES256", keys.stranger, { kid: "one" }],
      ["the second key under the first's kid", "ES256", keys.es2, { kid: "one" }],
      ["an EdDSA stranger", "EdDSA", keys.strangerEd, {}],
      ["an RS256 stranger", "RS256", keys.strangerRs, { kid: "rsa" }],
      ["a good key under an unknown kid", "ES256", keys.es1, { kid: "three" }],
      ["a good key under the kid of another type's key", "ES256", keys.es1, { kid: "rsa" }],
    ]) {
      await refused(server, await sign(alg, pair.privateKey, ANN, header), what);
    }
    const strange = await sign("ES256", keys.es1.privateKey, { ...ANN, userId: "ann", iss: ISSUER, aud: AUDIENCE });
    await refused(strict, strange, "ES256 where no public key is configured");
    const expired = await new SignJWT(ANN).setProtectedHeader({ alg: "ES256" }).setExpirationTime(1000).sign(keys.es1.privateKey);
    await refused(server, expired, "expired", "token_expired");
    await refused(server, await new SignJWT(ANN).setProtectedHeader({ alg: "ES256" }).sign(keys.es1.privateKey), "ES256 without exp");
  });

  test("a public key is no HMAC secret: no confusion of algorithms", async () => {
    for (const pair of [keys.es1, keys.ed, keys.rs]) {
      const jwk = await exportJWK(pair.publicKey);
      const spki = await exportSPKI(pair.publicKey);
      const der = createPublicKey(spki).export({ format: "der", type: "spki" });
      for (const key of [spki, spki.trim(), der, JSON.stringify(jwk), jwk.x ?? jwk.n, Buffer.from(jwk.x ?? jwk.n, "base64url")]) {
        for (const header of [{ alg: "HS256" }, { alg: "HS256", kid: "one" }, { alg: "ES256", kid: "one" }, { alg: "EdDSA" }]) {
          await refused(server, forge(header, { ...ANN, exp: now() + HOUR }, { key }), `${JSON.stringify(header)} with ${String(key).slice(0, 30)}`);
        }
      }
      const own = forge({ alg: "HS256", jwk }, { ...ANN, exp: now() + HOUR }, { key: jwk.x ?? jwk.n });
      await refused(server, own, "a key in the header");
    }
  });

  test("one key's signature under another algorithm's name is refused", async () => {
    const [, payload, signature] = (await sign("ES256", keys.es1.privateKey)).split(".");
    for (const alg of ["EdDSA", "ES384", "ES256K", "RS256", "PS256", "none"]) {
      await refused(server, `${part({ alg })}.${payload}.${signature}`, alg);
    }
    const [header] = (await sign("ES256", keys.es1.privateKey)).split(".");
    for (const zeros of [0, 1, 63, 64, 65, 128]) {
      await refused(server, `${header}.${payload}.${Buffer.alloc(zeros).toString("base64url")}`, `a signature of ${zeros} zeros`);
    }
  });
});

describe("issuer, audience and the user's claim", { concurrency: 2 }, () => {
  const claims = { userId: 42, sub: "not-this", rooms: ["*"], iss: ISSUER, aud: AUDIENCE };

  test("iss and aud are required once configured, and the user is in JWT_USER_CLAIM", async () => {
    await accepted(strict, token(claims), 42, "all there");
    await accepted(strict, token({ ...claims, aud: ["other", AUDIENCE] }), 42, "one of several audiences");
    await accepted(strict, token({ ...claims, sub: undefined, userId: "u1" }), "u1", "text");
  });

  test("a wrong or missing iss, aud or user is refused", async () => {
    for (const [what, change] of Object.entries({
      "no iss": { iss: undefined },
      "another iss": { iss: "https://evil.example/" },
      "iss without its slash": { iss: ISSUER.slice(0, -1) },
      "iss in an array": { iss: [ISSUER] },
      "no aud": { aud: undefined },
      "another aud": { aud: "other" },
      "other auds": { aud: ["other", "another"] },
      "aud empty": { aud: [] },
      "aud in another case": { aud: AUDIENCE.toUpperCase() },
      "aud as a part": { aud: `${AUDIENCE}-2` },
      "no userId": { userId: undefined },
    })) {
      await refused(strict, token({ ...claims, ...change }), what);
    }
  });

  test("where they are not configured iss and aud are not looked at", async () => {
    await accepted(server, token({ ...ANN, iss: "anyone", aud: "anything" }), "ann", "unchecked");
  });
});

describe("what a token grants", { concurrency: 2 }, () => {
  /** Nothing, reading, or sending. */
  async function access(room, claims) {
    const route = `/rooms/${encodeURIComponent(room)}`;
    const joined = (await handshake(server, { room, query: `?${new URLSearchParams({ token: token(claims) })}` })).status;
    const sent = (await call(server, "POST", `${route}/events`, { as: claims, body: { event: "typing", data: { isTyping: false } } })).status;
    const present = (await call(server, "GET", `${route}/presence`, { as: claims })).status;
    assert.equal(joined === 101, present === 200, `${room} ${JSON.stringify(claims)}: joining and presence differ`);
    assert.ok([101, 403].includes(joined) && [200, 403].includes(sent), `${room} ${JSON.stringify(claims)}: ${joined} ${sent}`);
    if (joined === 403) return sent === 403 ? "nothing" : "sends without joining";
    return sent === 200 ? "sends" : "reads";
  }

  test("a grant opens exactly the rooms it names, rooms to send and rooms_read to read", async () => {
    const u = (more) => ({ sub: "u1", ...more });
    for (const [room, claims, expected] of [
      ["demo:1", u(), "nothing"],
      ["demo:1", u({ rooms: [] }), "nothing"],
      ["demo:1", u({ rooms: ["demo:1"] }), "sends"],
      ["demo:1", u({ rooms: ["demo:*"] }), "sends"],
      ["demo:12", u({ rooms: ["demo:1*"] }), "sends"],
      ["demo:2", u({ rooms: ["demo:1*"] }), "nothing"],
      ["demo:12", u({ rooms: ["demo:1"] }), "nothing"],
      ["demo:1", u({ rooms: ["demo:12"] }), "nothing"],
      ["demos:1", u({ rooms: ["demo:*"] }), "nothing"],
      ["demo:1", u({ rooms: ["Demo:1", "demo:", "demo", "*:1", "de**", " demo:1"] }), "nothing"],
      ["demo:1", u({ rooms: ["*"] }), "sends"],
      ["demo:1", u({ rooms_read: ["*"] }), "reads"],
      ["demo:1", u({ rooms_read: ["demo:1"] }), "reads"],
      ["demo:1", u({ rooms: ["demo:1"], rooms_read: ["*"] }), "sends"],
      ["demo:2", u({ rooms: ["demo:1"], rooms_read: ["*"] }), "reads"],
      ["demo:1", ADMIN, "nothing"],
      ["demo:1", SERVICE, "nothing"],
      // A person's own rooms are theirs alone.
      ["user:u1", u(), "sends"],
      ["user:u1", { sub: "u2", rooms: ["*", "user:u1"] }, "nothing"],
      ["user:u1", ADMIN, "nothing"],
      ["user:7", { sub: 7 }, "sends"],
      ["user:7", { sub: "7" }, "sends"],
      ["admin:root", ADMIN, "sends"],
      ["admin:root", { sub: "root", rooms: ["*"] }, "nothing"],
      ["admin:u1", ADMIN, "nothing"],
      ["admins:all", ADMIN, "sends"],
      ["admins:all", { sub: "u1", role: "lsm", rooms: ["*"] }, "nothing"],
      // Chats: by grant; admin and lsm always.
      ["chat:1", u(), "nothing"],
      ["chat:1", u({ role: "customer" }), "nothing"],
      ["chat:1", u({ role: "lsm" }), "sends"],
      ["chat:1", ADMIN, "sends"],
      ["chat:1", u({ rooms_read: ["chat:1"] }), "reads"],
      // Lines and their conversations: a line's grant is its conversations' too.
      ["line:+1555", u(), "nothing"],
      ["line:+1555", ADMIN, "sends"],
      ["line:+1555", u({ rooms: ["line:+1555"] }), "sends"],
      ["sms:+1555:+1666", u(), "nothing"],
      ["sms:+1555:+1666", u({ rooms: ["line:+1555"] }), "sends"],
      ["sms:+1555:+1666", u({ rooms_read: ["line:+1555"] }), "reads"],
      ["sms:+1556:+1666", u({ rooms: ["line:+1555"] }), "nothing"],
      ["sms:+1555:+1666", u({ rooms: ["sms:+1555:*"] }), "sends"],
      ["sms:whatsapp:+1555:+1666", u({ rooms: ["line:+1555"] }), "nothing"],
      ["sms:whatsapp:+1555:whatsapp:+1666", u({ rooms: ["line:whatsapp:+1555"] }), "sends"],
      // Nobody, ever.
      ["lobby:0", { ...ADMIN, rooms: ["*", "lobby:*"] }, "nothing"],
      ["all:chat", { ...SERVICE, rooms: ["*", "all:chat"] }, "nothing"],
    ]) {
      assert.equal(await access(room, claims), expected, `${room} ${JSON.stringify(claims)}`);
    }
  });

  test("a hundred grants are taken", async () => {
    const rooms = Array.from({ length: 100 }, (_, n) => `d:${n}`);
    assert.equal(await access("d:99", { sub: "u1", rooms }), "sends");
  });
});
