// Tokens that public keys have signed, and the issuer's key set (CONTRACT "Token", `JWT_JWKS_URL`): npm jose signs, WebCrypto
// on workerd verifies, and the issuer is a server of this test's that does what issuers do, and what they should not.

import assert from "node:assert/strict";
import { constants, createHmac, generateKeyPairSync, sign as signWith } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { before, describe, test } from "node:test";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import { call, Client, eventually, freePort, io, ioConnected, serve, sleep, token } from "./harness.mjs";

const ANN = { sub: "ann", rooms: ["*"] };
const ALGORITHMS = ["RS256", "ES256", "EdDSA"];
const HISTORY = "/rooms/demo%3A1/history";

/** By algorithm: this issuer's pair, the one it has next, and a stranger's. */
let own, next, strangers;

const pairs = async () => Object.fromEntries(await Promise.all(ALGORITHMS.map(async (alg) => [alg, await generateKeyPair(alg, { extractable: true })])));
const jwk = async (pair, more) => ({ ...(await exportJWK(pair.publicKey)), ...more });
const seconds = (offset) => Math.floor(Date.now() / 1000) + offset;
const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");

/** Signed by `pair`; `exp` in seconds from now. */
const sign = (alg, pair, { claims = ANN, kid = `own-${alg}`, exp = 600, ...header } = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).setExpirationTime(seconds(exp)).sign(pair.privateKey);

const http = (to, jwt) => call(to, "GET", HISTORY, { headers: { authorization: `Bearer ${jwt}` } });

/** Answered so over HTTP, and the answer repeats nothing of the token. */
async function answered(to, jwt, status, code, what) {
  const { status: got, body } = await http(to, jwt);
  assert.deepEqual([got, body.code], [status, code], `${what}: ${JSON.stringify(body)}`);
  assert.ok(!JSON.stringify(body).includes(jwt.split(".")[1]), `${what}: the answer repeats the token`);
}
const accepted = (to, jwt, what) => answered(to, jwt, 200, undefined, what);
const refused = (to, jwt, what, code = "unauthorized") => answered(to, jwt, 401, code, what);

/** The issuer: `answer(request, response)` or its `keys`; `requests` says how often it was asked. */
class Issuer {
  requests = 0;
  keys = [];

  static async start(t, keys = []) {
    const issuer = new Issuer();
    issuer.keys = keys;
    issuer.server = createServer((request, response) => {
      issuer.requests++;
      if (issuer.answer) return issuer.answer(request, response);
      response.setHeader("content-type", "application/jwk-set+json").end(JSON.stringify({ keys: issuer.keys }));
    }).listen(0, "127.0.0.1");
    await once(issuer.server, "listening");
    issuer.url = `http://127.0.0.1:${issuer.server.address().port}/jwks.json`;
    t.after(() => issuer.down());
    return issuer;
  }

  /** It answers no more. */
  down() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** An issuer and a server that trusts it. */
async function trusting(t, keys, vars = {}) {
  const issuer = await Issuer.start(t, keys);
  return { issuer, server: await serve(t, { vars: { JWT_JWKS_URL: issuer.url, ...vars } }) };
}

const ownKeys = () => Promise.all(ALGORITHMS.map((alg) => jwk(own[alg], { kid: `own-${alg}`, alg, use: "sig" })));

before(async () => {
  [own, next, strangers] = await Promise.all([pairs(), pairs(), pairs()]);
});

describe("an issuer's key set", { concurrency: 2, timeout: 120_000 }, () => {
  test("RS256, ES256 and EdDSA tokens are accepted by the keys of JWT_JWKS_URL, wherever a token is read, for one fetch", async (t) => {
    const { issuer, server } = await trusting(t, await ownKeys());
    await Promise.all(Array.from({ length: 30 }, async (_, n) => accepted(server, await sign(ALGORITHMS[n % 3], own[ALGORITHMS[n % 3]]), `the first, ${n}`)));
    assert.equal(issuer.requests, 1, "thirty tokens at once are one fetch");
    for (const alg of ALGORITHMS) {
      const jwt = await sign(alg, own[alg]);
      await accepted(server, await sign(alg, own[alg], { kid: undefined }), `${alg} without a kid`);
      const plain = new Client(`${server.ws}/rooms/demo%3A1`, { protocols: ["dialtone.v1", `bearer.${jwt}`] });
      t.after(() => plain.socket.terminate());
      await plain.opened();
      assert.equal((await plain.event("connected")).data.userId, "ann", alg);
      assert.equal((await plain.ask("refresh", { token: jwt })).error, undefined, alg);
      for (const transports of [["websocket"], ["polling"]]) {
        const socket = await ioConnected(t, server, jwt, { transports });
        assert.equal((await socket.event("connected")).userId, "ann", alg);
        assert.deepEqual(await socket.ask("refresh", { token: jwt }), { ok: true }, alg);
        const atTheDoor = await ioConnected(t, server, undefined, { transports, query: { token: jwt } });
        assert.equal((await atTheDoor.event("connected")).userId, "ann", alg);
      }
      assert.ok(!server.logs.join("").includes(jwt.split(".")[2]), "no token is logged");
    }
    await accepted(server, token(ANN), "the secret is good too");
    assert.equal(issuer.requests, 1);
  });

  test("what no key of the set has signed is refused, and a good signature alone makes it token_expired", async (t) => {
    const secret = "a symmetric key that an issuer has published, to its regret";
    const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const [p384, spare] = await Promise.all([generateKeyPair("ES384", { extractable: true }), generateKeyPair("RS256", { extractable: true })]);
    const keys = [
      { kty: "oct", kid: "oct", alg: "HS256", k: Buffer.from(secret).toString("base64url") },
      { ...small.publicKey.export({ format: "jwk" }), kid: "small", alg: "RS256" },
      await jwk(spare, { kid: "enc", use: "enc" }),
      await jwk(spare, { kid: "pss", alg: "PS256" }),
      await jwk(p384, { kid: "p384" }),
      { ...(await exportJWK(next.ES256.privateKey)), kid: "private" },
      { ...(await jwk(own.ES256)), kid: "off", x: Buffer.alloc(32, 1).toString("base64url") },
      ...[null, 1, "x", [], {}, { kty: "EC" }],
      await jwk(next.ES256, { kid: "twice" }),
      await jwk(own.ES256, { kid: "twice" }),
      ...(await ownKeys()),
    ];
    const { server } = await trusting(t, keys);
    const rs = (key, kid, padding = constants.RSA_PKCS1_PADDING, alg = "RS256") => {
      const input = `${part({ alg, kid })}.${part({ ...ANN, exp: seconds(600) })}`;
      const options = padding === constants.RSA_PKCS1_PSS_PADDING ? { padding, saltLength: 32 } : { padding };
      return `${input}.${signWith("sha256", Buffer.from(input), { key, ...options }).toString("base64url")}`;
    };
    await accepted(server, rs(own.RS256.privateKey, "own-RS256"), "RS256 by node:crypto");
    for (const pair of [own.ES256, next.ES256]) await accepted(server, await sign("ES256", pair, { kid: "twice" }), "one of two keys of a kid");
    for (const alg of ALGORITHMS) {
      await refused(server, await sign(alg, strangers[alg]), `a stranger's ${alg} under a known kid`);
      await refused(server, await sign(alg, strangers[alg], { kid: undefined }), `a stranger's ${alg} without a kid`);
      await refused(server, await sign(alg, own[alg], { kid: "own-nothing" }), `${alg} under an unknown kid`);
      await refused(server, await sign(alg, own[alg], { exp: -60 }), `${alg}, expired`, "token_expired");
      await refused(server, await sign(alg, strangers[alg], { exp: -60 }), `${alg}, expired and forged`);
      for (const other of ALGORITHMS.filter((other) => other !== alg)) {
        await refused(server, await sign(alg, own[alg], { kid: `own-${other}` }), `${alg} under the kid of ${other}'s key`);
        const [, payload, signature] = (await sign(alg, own[alg])).split(".");
        await refused(server, `${part({ alg: other, kid: `own-${other}` })}.${payload}.${signature}`, `${alg} said to be ${other}`);
      }
      // The public key, as whoever wants to pass it off as a secret would take it.
      const spki = await exportSPKI(own[alg].publicKey);
      const found = await exportJWK(own[alg].publicKey);
      for (const key of [spki, spki.trim(), JSON.stringify(found), JSON.stringify(await jwk(own[alg], { kid: `own-${alg}`, alg, use: "sig" }))]) {
        for (const header of [{ alg: "HS256", kid: `own-${alg}` }, { alg }, { alg, kid: `own-${alg}` }]) {
          const input = `${part(header)}.${part({ ...ANN, exp: seconds(600) })}`;
          await refused(server, `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`, `HMAC with ${alg}'s public key`);
        }
      }
      const [, payload, signature] = (await sign(alg, own[alg])).split(".");
      for (const [what, bad] of Object.entries({ none: "", half: signature.slice(0, 40), long: `${signature}AAAA`, zeros: "A".repeat(signature.length - (signature.length % 4)) })) {
        await refused(server, `${part({ alg, kid: `own-${alg}` })}.${payload}.${bad}`, `${alg} with a signature that is ${what}`);
      }
      for (const header of [{ alg: "none" }, { alg: "none", kid: `own-${alg}` }]) await refused(server, `${part(header)}.${payload}.`, "alg none");
    }
    for (const [what, jwt] of Object.entries({
      "RS256 with PSS padding": rs(own.RS256.privateKey, "own-RS256", constants.RSA_PKCS1_PSS_PADDING),
      "PS256": rs(own.RS256.privateKey, "own-RS256", constants.RSA_PKCS1_PSS_PADDING, "PS256"),
      "a key for PS256": rs(spare.privateKey, "pss"),
      "a key for encryption": rs(spare.privateKey, "enc"),
      "an RSA key of 1024 bits": rs(small.privateKey, "small"),
      "an RSA key of 1024 bits, without a kid": rs(small.privateKey, undefined),
      "a symmetric key of the set": token(ANN, { secret, header: { kid: "oct" } }),
      "a key on another curve": await sign("ES384", p384, { kid: "p384" }),
      "a private key": await sign("ES256", next.ES256, { kid: "private" }),
      "a point that is on no curve": await sign("ES256", own.ES256, { kid: "off" }),
    })) {
      await refused(server, jwt, what);
    }
    const error = await io(t, server, await sign("RS256", strangers.RS256)).connected().then(() => assert.fail("connected"), (error) => error);
    assert.equal(error.data.code, "unauthorized");
    const late = await io(t, server, await sign("RS256", own.RS256, { exp: -60 })).connected().then(() => assert.fail("connected"), (error) => error);
    assert.equal(late.data.code, "token_expired");
  });

  test("the issuer rotates its keys under live sockets: they refresh and stay, and unknown kids ask it once a minute", async (t) => {
    const { issuer, server } = await trusting(t, await ownKeys());
    const first = await sign("RS256", own.RS256);
    const socket = await ioConnected(t, server, first);
    const plain = new Client(`${server.ws}/rooms/demo%3A1?token=${first}`);
    t.after(() => plain.socket.terminate());
    await plain.opened();
    await plain.event("presence_state");
    issuer.keys = await Promise.all(ALGORITHMS.map((alg) => jwk(next[alg], { kid: `next-${alg}` })));
    const fresh = await sign("RS256", next.RS256, { kid: "next-RS256" });
    const asked = socket.ask("refresh", { token: fresh });
    assert.equal((await socket.ask("test")).ok, true, "nothing waits for a refresh");
    assert.deepEqual(await asked, { ok: true });
    assert.equal((await plain.ask("refresh", { token: fresh })).error, undefined);
    const stranger = await sign("RS256", next.RS256, { kid: "next-RS256", claims: { sub: "bob" } });
    assert.equal((await socket.ask("refresh", { token: stranger })).error.code, "forbidden");
    assert.equal((await plain.ask("refresh", { token: await sign("ES256", strangers.ES256, { kid: "next-ES256" }) })).error.code, "unauthorized");
    assert.equal(issuer.requests, 2);
    await refused(server, first, "a token of a key that was withdrawn");
    for (let n = 0; n < 10; n++) await refused(server, await sign("ES256", own.ES256, { kid: `unknown-${n}` }), "an unknown kid");
    assert.equal(issuer.requests, 2, "unknown kids ask the issuer at most once a minute");
    assert.equal((await socket.ask("test")).ok, true);
    assert.equal((await plain.ask("note", 1)).error, undefined);
  });

  test("while the issuer is down its known keys go on working, and an unknown kid is refused", async (t) => {
    const { issuer, server } = await trusting(t, await ownKeys());
    await accepted(server, await sign("ES256", own.ES256), "before");
    await issuer.down();
    await refused(server, await sign("ES256", next.ES256, { kid: "next" }), "an unknown kid");
    for (const alg of ALGORITHMS) await accepted(server, await sign(alg, own[alg]), `${alg}, known`);
  });

  test("before the first set has come nobody can say: 503 unavailable, and clients come back by themselves", async (t) => {
    const port = await freePort();
    const server = await serve(t, { vars: { JWT_JWKS_URL: `http://127.0.0.1:${port}/`, JWT_PUBLIC_KEYS: JSON.stringify([await jwk(own.EdDSA, { kid: "own-EdDSA" })]) } });
    const jwt = await sign("RS256", own.RS256);
    const answer = await http(server, jwt);
    assert.deepEqual([answer.status, answer.body.code, answer.headers.get("retry-after")], [503, "unavailable", "5"]);
    const upgrade = await new Client(`${server.ws}/rooms/demo%3A1?token=${jwt}`).opened().then(() => assert.fail("opened"), (error) => error);
    assert.deepEqual([upgrade.status, upgrade.body.code], [503, "unavailable"]);
    await accepted(server, token(ANN), "a secret's token");
    await accepted(server, await sign("EdDSA", own.EdDSA), "a token of JWT_PUBLIC_KEYS");
    const alive = await ioConnected(t, server, ANN);
    assert.equal((await alive.ask("refresh", { token: jwt })).error.code, "unavailable");
    const waiting = ["websocket", "polling"].map((transport) => io(t, server, jwt, { transports: [transport], reconnection: true, reconnectionDelayMax: 500 }));
    waiting.push(io(t, server, undefined, { query: { token: jwt }, reconnection: true, reconnectionDelayMax: 500 }));
    let errors = 0;
    for (const { socket } of waiting.slice(0, 2)) socket.on("connect_error", () => errors++);
    await sleep(1_000);
    assert.ok(waiting.every(({ socket }) => !socket.connected && socket.active), "they go on trying");
    assert.equal(errors, 0, "nobody is told that the token is bad");
    const keys = await ownKeys();
    const issuer = createServer((_, response) => response.end(JSON.stringify({ keys }))).listen(port, "127.0.0.1");
    t.after(() => issuer.close());
    await eventually("all are connected", () => waiting.every(({ socket }) => socket.connected), 15_000);
    assert.equal((await alive.ask("test")).ok, true, "whoever was connected stays");
  });

  test("an answer that is no key set, too long, elsewhere or never there is none, and nothing else waits for it", async (t) => {
    const keys = JSON.stringify({ keys: await ownKeys() });
    const jwt = await sign("ES256", own.ES256);
    let elsewhere = 0;
    const other = createServer((_, response) => (elsewhere++, response.end(keys))).listen(0, "127.0.0.1");
    await once(other, "listening");
    t.after(() => other.close());
    let cut;
    const answers = {
      "500": (_, response) => response.writeHead(500).end(keys),
      "404": (_, response) => response.writeHead(404).end(keys),
      "204": (_, response) => response.writeHead(204).end(),
      HTML: (_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>Sign in</title>"),
      garbage: (_, response) => response.end(Buffer.from([0xff, 0xfe, 0, 1, 2])),
      "half of it": (_, response) => response.end(keys.slice(0, keys.length / 2)),
      "a list": (_, response) => response.end(JSON.stringify(JSON.parse(keys).keys)),
      nothing: (_, response) => response.end(),
      "five megabytes": (_, response) => {
        cut = once(response, "close");
        response.write(keys.slice(0, -1));
        response.end(" ".repeat(5_000_000) + "}");
      },
      "a redirect": (_, response) => response.writeHead(302, { location: `http://127.0.0.1:${other.address().port}/` }).end(),
      "a cut connection": (request) => request.socket.destroy(),
    };
    for (const [what, answer] of Object.entries(answers)) {
      const { issuer, server } = await trusting(t);
      issuer.answer = answer;
      await answered(server, jwt, 503, "unavailable", what);
      await accepted(server, token(ANN), `HS256, and ${what}`);
      await server.stop();
    }
    await cut;
    assert.equal(elsewhere, 0, "no redirect is followed");
  });

  test("an issuer that hangs is given up after ten seconds, and holds nobody up who does not need it", async (t) => {
    const { issuer, server } = await trusting(t);
    issuer.answer = () => {};
    const start = Date.now();
    const jwt = await sign("ES256", own.ES256);
    const hanging = Promise.all(Array.from({ length: 5 }, () => answered(server, jwt, 503, "unavailable", "hangs")));
    await sleep(200);
    await accepted(server, token(ANN), "HS256");
    const socket = await ioConnected(t, server, ANN);
    assert.equal((await socket.ask("test")).ok, true);
    assert.ok(Date.now() - start < 5_000);
    await hanging;
    const took = Date.now() - start;
    assert.ok(took >= 9_000 && took < 20_000, `${took} ms`);
    assert.equal(issuer.requests, 1, "who came meanwhile waited for that one");
  });

  test("JWT_JWKS_URL is https, or this machine; alone it is a key, and a bad one is a 503 that names it and not its value", async (t) => {
    const issuer = await Issuer.start(t, await ownKeys());
    const alone = await serve(t, { vars: { JWT_SECRET: undefined, JWT_JWKS_URL: issuer.url } });
    assert.equal((await call(alone, "GET", "/health")).status, 200);
    await accepted(alone, await sign("EdDSA", own.EdDSA), "with no secret at all");
    await refused(alone, token(ANN), "HS256 where there is no secret");
    for (const url of ["http://id.example/jwks-secret-path", "ftp://id.example/jwks-secret-path", "nonsense-secret-path"]) {
      const server = await serve(t, { vars: { JWT_JWKS_URL: url } });
      const { status, body } = await call(server, "GET", "/health");
      assert.equal(status, 503, url);
      assert.match(JSON.stringify(body), /JWT_JWKS_URL/);
      assert.doesNotMatch(JSON.stringify(body), /secret-path/);
      await server.stop();
    }
  });
});
