// Who is let in over Socket.IO, and for how long (CONTRACT "Token", "Socket.IO"): connect_error, exp, origins, CORS.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { bearer, engine, engineSocket, handshake, io, ioConnected, rawConnect, serve, sleep, token } from "./harness.mjs";

const APP = "https://app.example";
const STRANGER = "https://evil.example";

let server;
/** Allows any origin. */
let open;
const ends = [];

const person = (sub, more) => ({ sub, rooms: ["*"], ...more });
const seconds = (offset) => Math.floor(Date.now() / 1000) + offset;

/** The client's connect_error. */
const refusal = (client) => client.connected().then(() => assert.fail("connected"), (error) => error);

before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  [server, open] = await Promise.all([serve(lifetime, { vars: { ALLOWED_ORIGINS: `${APP},https://other.example` } }), serve(lifetime, { vars: { ALLOWED_ORIGINS: "*" } })]);
});
after(() => Promise.all(ends.map((end) => end())));

describe("who is let in over Socket.IO", { concurrency: 8, timeout: 60_000 }, () => {
  test("a refused CONNECT is a connect_error with a message and its code in data", async (t) => {
    for (const transports of [["websocket"], ["polling"]]) {
      for (const namespace of ["/", "/chat"]) {
        for (const [what, claims, code] of [
          ["no token", undefined, "unauthorized"],
          ["no token at all", "", "unauthorized"],
          ["garbage", "garbage", "unauthorized"],
          ["another secret", token(person("ann"), { secret: "another secret of more than thirty-two bytes" }), "unauthorized"],
          ["alg none", token(person("ann"), { header: { alg: "none" } }), "unauthorized"],
          ["expired", token(person("ann", { exp: seconds(-60) })), "token_expired"],
        ]) {
          const { message, data } = await refusal(io(t, server, claims, { namespace, transports }));
          assert.deepEqual([typeof message, data?.code], ["string", code], `${what} on ${namespace}: ${message}`);
        }
      }
    }
  });

  test("auth that is no object of strings is refused as unauthorized, and the connection may try again", async (t) => {
    const client = engineSocket(t, server);
    await client.opened();
    const refusals = () => client.frames.filter((frame) => frame.startsWith("44"));
    const tries = ["", "{}", '{"token":7}', '{"token":null}', '{"token":{}}', '{"token":["a"]}'];
    for (const [n, auth] of tries.entries()) {
      client.send(`40${auth}`);
      await client.frame(() => refusals().length === n + 1);
      assert.equal(JSON.parse(refusals()[n].slice(2)).data.code, "unauthorized", auth);
    }
    client.send(`40${JSON.stringify({ token: token(person("ann")) })}`);
    await client.frame((frame) => frame.startsWith("40"));
  });

  test("an unknown namespace is refused with Socket.IO's own words, with a token and without", async (t) => {
    for (const claims of [person("ann"), undefined]) {
      for (const namespace of ["/nowhere", "/chat/", "/Chat", "/ünï"]) {
        const { message, data } = await refusal(io(t, server, claims, { namespace }));
        assert.equal(message, "Invalid namespace");
        assert.ok(data === undefined || data.code === "invalid_namespace", JSON.stringify(data));
      }
    }
  });

  test("the token may be in the handshake: as a header, in the query, as a subprotocol", async (t) => {
    const jwt = token(person("ann"));
    for (const [what, options] of [
      ["header, websocket", { extraHeaders: { authorization: `Bearer ${jwt}` } }],
      ["header, polling", { extraHeaders: { authorization: `Bearer ${jwt}` }, transports: ["polling"] }],
      ["query", { query: { token: jwt } }],
      ["query, upgraded", { query: { token: jwt }, transports: ["polling", "websocket"] }],
    ]) {
      const client = await ioConnected(t, server, undefined, options);
      assert.equal((await client.event("connected")).userId, "ann", what);
    }
  });

  test("a bad token in the handshake does not get in", async (t) => {
    for (const options of [{ extraHeaders: { authorization: "Bearer garbage" } }, { query: { token: "garbage" } }]) {
      const error = await refusal(io(t, server, undefined, options));
      // Refused as HTTP or at CONNECT.
      assert.ok(error.data?.code === "unauthorized" || error.type === "TransportError", String(error));
    }
  });

  test("a socket is disconnected when its token expires, and not before; one that refreshed stays", async (t) => {
    const exp = seconds(4);
    const ann = await ioConnected(t, server, person("ann", { exp }));
    const polling = await ioConnected(t, server, person("pol", { exp }), { transports: ["polling"] });
    const fresh = await ioConnected(t, server, person("fresh", { exp }));
    const other = await ioConnected(t, server, person("other"));
    const gone = [ann, polling].map((client) => client.disconnected().then(() => Date.now()));
    assert.equal((await fresh.ask("refresh", { token: token(person("fresh", { exp: seconds(60) })) })).ok, true);
    for (const at of await Promise.all(gone)) assert.ok(at >= exp * 1000 && at < exp * 1000 + 9_000, `${at - exp * 1000} ms after exp`);
    await sleep(6_500);
    for (const client of [fresh, other]) {
      assert.ok(client.socket.connected);
      assert.deepEqual(await client.ask("test"), { ok: true });
    }
  });

  test("each namespace has a token of its own: one that expires takes no other along", async (t) => {
    const ann = await ioConnected(t, server, person("ann"));
    const chat = await ann.namespace("/chat", { auth: { token: token(person("bob", { exp: seconds(3) })) } });
    assert.deepEqual([(await ann.event("connected")).userId, (await chat.event("connected")).userId], ["ann", "bob"]);
    await chat.disconnected();
    assert.deepEqual(await ann.ask("test"), { ok: true });
  });

  test("polling answers an allowed origin with its CORS headers, errors too, and a stranger with 403 and none", async () => {
    const { sid } = await handshake(server, {}, { origin: APP });
    for (const [what, method, query, status, options] of [
      ["a handshake", "GET", {}, 200, {}],
      ["a POST", "POST", { sid }, 200, { body: "3" }],
      ["an unknown sid", "GET", { sid: "lobby:0.unknown" }, 400, {}],
      ["a bad transport", "GET", { transport: "pigeon" }, 400, {}],
    ]) {
      const allowed = await engine(server, method, query, { ...options, headers: { origin: APP } });
      assert.deepEqual([allowed.status, allowed.headers.get("access-control-allow-origin")], [status, APP], what);
      assert.match(allowed.headers.get("vary") ?? "", /origin/i, what);
      const refused = await engine(server, method, query, { ...options, headers: { origin: STRANGER } });
      assert.deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [403, null], what);
    }
    for (const origin of [undefined, server.url]) {
      const { status } = await engine(server, "GET", {}, { headers: origin ? { origin } : {} });
      assert.equal(status, 200, `Origin: ${origin}`);
    }
  });

  test("a preflight for polling says what may be sent, to an allowed origin alone", async () => {
    const headers = { "access-control-request-method": "POST", "access-control-request-headers": "content-type,authorization" };
    const allowed = await engine(server, "OPTIONS", {}, { headers: { ...headers, origin: APP } });
    assert.ok([200, 204].includes(allowed.status), String(allowed.status));
    assert.equal(allowed.headers.get("access-control-allow-origin"), APP);
    assert.match(allowed.headers.get("access-control-allow-methods"), /GET.*POST|\*/);
    assert.match(allowed.headers.get("access-control-allow-headers"), /content-type.*authorization|authorization.*content-type|\*/i);
    const refused = await engine(server, "OPTIONS", {}, { headers: { ...headers, origin: STRANGER } });
    assert.equal(refused.headers.get("access-control-allow-origin"), null);
    const any = await engine(open, "OPTIONS", {}, { headers: { ...headers, origin: STRANGER } });
    assert.ok([STRANGER, "*"].includes(any.headers.get("access-control-allow-origin")));
  });

  test("a page that sends credentials is answered as CORS wants it: with its own origin and not with a star", async (t) => {
    const { headers } = await engine(server, "GET", {}, { headers: { origin: APP } });
    if (headers.get("access-control-allow-credentials") === "true") assert.equal(headers.get("access-control-allow-origin"), APP);
    const client = await ioConnected(t, server, person("ann"), { extraHeaders: { origin: APP }, transports: ["polling", "websocket"], withCredentials: true });
    assert.deepEqual(await client.ask("test"), { ok: true });
  });

  test("a WebSocket of a strange origin is refused with 403, one of an allowed or no origin is not", async (t) => {
    await assert.rejects(engineSocket(t, server, {}, { headers: { origin: STRANGER } }).opened(), ({ status }) => status === 403);
    for (const headers of [{ origin: APP }, { origin: server.url }, {}]) await engineSocket(t, server, {}, { headers }).opened();
    await engineSocket(t, open, {}, { headers: { origin: STRANGER } }).opened();
  });

  test("a token neither reaches a log nor comes back in an answer", async (t) => {
    const jwt = token(person("ann"));
    const client = await rawConnect(t, server, person("ann"), { query: { token: jwt } });
    await client.askRaw("nonsense", jwt);
    const refused = await engine(server, "GET", { token: jwt, transport: "pigeon" }, { headers: bearer(person("ann")) });
    assert.ok(!refused.text.includes(jwt));
    const secrets = [jwt.split(".")[2], jwt.split(".")[1]];
    for (const secret of secrets) assert.ok(!server.logs.join("").includes(secret));
  });
});
