// What is logged: one JSON line an event, and never a secret, a token, a signature or what people write (README, "Watch"). All of
// them carry marks here, traffic of every kind goes through, and then workerd's whole output is searched.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { accepted, ACCOUNT_SID, ADMIN, call, Client, crash, emit, engine, engineSocket, eventually, freePort, handshake, inbound, io, ioConnected, join, LINE, messageOf, newNumber, persistDir, rawConnect, serve, SERVICE, sleep, token, webhook } from "./harness.mjs";
import { TwilioApi } from "../tools/twilio-api.mjs";

/** What must appear nowhere, by what it is. */
class Marks extends Map {
  make(what, text = `mark-${randomBytes(9).toString("hex")}`) {
    this.set(`${what} #${this.size}`, text);
    return text;
  }

  /** A token's payload and signature. */
  token(claims, options) {
    const jwt = token(claims, options);
    for (const part of jwt.split(".").slice(1)) if (part.length > 20) this.make("a part of a token", part);
    return jwt;
  }

  /** Those that the text has, as they are or as a URL, base64 or JSON writes them. */
  in(text) {
    const spellings = (mark) => [mark, encodeURIComponent(mark), Buffer.from(mark).toString("base64"), Buffer.from(mark).toString("base64url"), JSON.stringify(mark).slice(1, -1)];
    return [...this].filter(([, mark]) => spellings(mark).some((one) => text.includes(one))).map(([what]) => what);
  }
}

const EVIL = "https://evil.example";

test("neither secrets, tokens, signatures nor what people write is in workerd's output, and each line of ours is JSON", { timeout: 180_000 }, async (t) => {
  const secrets = new Marks();
  const bodies = new Marks();
  const secret = secrets.make("JWT_SECRET", `mark-${randomBytes(24).toString("hex")}`);
  const previous = secrets.make("JWT_SECRET_PREVIOUS", `mark-${randomBytes(24).toString("hex")}`);
  const authToken = secrets.make("TWILIO_AUTH_TOKEN", randomBytes(16).toString("hex"));
  const nextToken = secrets.make("TWILIO_AUTH_TOKEN_NEXT", randomBytes(16).toString("hex"));
  const signingKey = secrets.make("TWILIO_SIGNING_KEYS", `mark${randomBytes(20).toString("hex")}`);
  const webhookSecret = secrets.make("EVENT_WEBHOOK_SECRET");
  const api = await TwilioApi.start({ accountSid: ACCOUNT_SID, authToken });
  t.after(() => api.close());
  const backend = createServer((_, response) => response.writeHead(500).end(bodies.make("what a backend answered"))).listen(0, "127.0.0.1");
  await once(backend, "listening");
  t.after(() => (backend.closeAllConnections(), backend.close()));
  const options = {
    port: await freePort(),
    persist: persistDir(),
    vars: {
      JWT_SECRET: secret,
      JWT_SECRET_PREVIOUS: previous,
      TWILIO_AUTH_TOKEN: authToken,
      TWILIO_AUTH_TOKEN_NEXT: nextToken,
      TWILIO_SIGNING_KEYS: JSON.stringify({ KY1: signingKey }),
      TWILIO_API_BASE: api.url,
      EVENT_WEBHOOK_URL: `http://127.0.0.1:${backend.address().port}/`,
      EVENT_WEBHOOK_SECRET: webhookSecret,
      JWT_JWKS_URL: `http://127.0.0.1:${backend.address().port}/jwks`,
    },
  };
  let server = await serve(t, options);
  const logs = [server.logs];
  /** What was answered, and said to sockets that are no one's who may read it. */
  const answers = [];
  const say = (what) => bodies.make(what);
  const jwt = (claims, more) => secrets.token(claims, { secret, ...more });
  const person = (sub) => ({ sub, rooms: ["*"] });
  const by = (claims) => ({ authorization: `Bearer ${jwt(claims)}` });
  const ask = async (method, route, { as, headers, ...rest } = {}) => {
    const answer = await call(server, method, route, { headers: { ...(as && by(as)), ...headers }, ...rest });
    answers.push(JSON.stringify(answer.body), JSON.stringify([...answer.headers]));
    return answer;
  };
  const refusal = (client) => client.opened().then(() => assert.fail("opened"), (error) => answers.push(error.message));

  // A plain WebSocket, its token in each of its places; bad frames; a refresh, good and bad.
  const room = "demo:1";
  const query = new Client(`${server.ws}/rooms/${room}?token=${jwt(person("ann"))}`);
  const header = new Client(`${server.ws}/rooms/${room}`, { headers: by(person("bob")) });
  const protocol = new Client(`${server.ws}/rooms/${room}`, { protocols: ["dialtone.v1", `bearer.${jwt(person("cat"), { secret: previous })}`] });
  for (const client of [query, header, protocol]) {
    t.after(() => client.socket.terminate());
    await client.opened();
    await client.event("connected");
  }
  await query.ask("note", { text: say("a relay's event") });
  for (const frame of [say("no JSON"), `{"event":"${say("an event's name")}"`, `{"event":${JSON.stringify(say("no id"))},"id":7}`, Buffer.from(say("binary"))]) query.send(frame);
  await query.ask("typing", { isTyping: say("the wrong type") });
  await query.ask("refresh", { token: jwt(person("ann")) });
  await header.ask("refresh", { token: jwt(person("eve")) });
  await header.ask("refresh", { token: say("no token") });
  await header.ask("refresh", { token: jwt(person("bob"), { secret: "another secret of more than 32 bytes!" }) });
  await protocol.ask(say("an event's long name").repeat(10), 1);
  query.send(say("too much ").repeat(1) + "x".repeat(1_000_100));
  await query.closed;

  // Handshakes that are refused, from a strange page too.
  for (const [route, more] of [
    [`/rooms/${room}?token=${say("a bad token")}`, {}],
    [`/rooms/${room}`, { headers: { authorization: `Bearer ${say("a bad header")}` } }],
    [`/rooms/${room}`, { protocols: ["dialtone.v1", `bearer.${say("a-bad-protocol").replaceAll(" ", "-")}`] }],
    [`/rooms/${room}?token=${jwt(person("ann"))}`, { headers: { origin: EVIL } }],
    [`/rooms/nokind?token=${jwt(person("ann"))}`, {}],
    [`/rooms/${room}?since=${say("no position")}&token=${jwt(person("ann"))}`, {}],
    [`/socket.io/?EIO=4&transport=websocket&sid=lobby:0.${say("no sid")}`, {}],
  ]) await refusal(new Client(server.ws + route, more));

  // Socket.IO over both transports, good and bad.
  const dan = await ioConnected(t, server, jwt(person("dan")));
  const pol = await ioConnected(t, server, jwt(person("pol")), { transports: ["polling"] });
  const chat = await ioConnected(t, server, jwt({ ...person("adm"), role: "admin" }), { namespace: "/chat" });
  await dan.ask("join", room);
  await pol.ask("join", { room });
  await dan.ask("send", { room, event: "note", data: say("sent over Socket.IO") });
  await pol.ask("send", { room, event: "note", data: Buffer.from(say("binary over polling")) });
  await dan.ask(say("an unknown event"), say("its argument"));
  await dan.ask("join", { room: say("no room") });
  await dan.ask("message_sent", { phoneNumberId: LINE, to: newNumber(), body: say("said to be sent") });
  await dan.ask("refresh", { token: jwt(person("dan")) });
  await dan.ask("refresh", { token: say("no token either") });
  dan.socket.emit(say("nobody acks"), 1);
  await ask("PUT", "/rooms/chat:9/members/away", { as: SERVICE });
  await chat.ask("join_chat", { chatId: "9" });
  await chat.ask("send_message", { chatId: "9", message: say("a chat's message"), clientMessageId: say("a client's id") });
  await chat.ask("send_message", { chatId: "9", message: say("a chat's bad message"), message_type: say("a type") });
  for (const bad of [say("no token in auth"), jwt(person("eve"), { header: { alg: "none" } }), jwt({ ...person("eve"), exp: 1 }), jwt({ sub: 1.5 })]) {
    await io(t, server, bad).connected().then(() => assert.fail("connected"), ({ message }) => answers.push(message));
  }
  const { sid } = await handshake(server, { token: jwt(person("ann")) });
  for (const [method, parameters, more] of [
    ["POST", { sid }, { body: `40{"token":"${jwt(person("ann"))}"}` }],
    ["POST", { sid }, { body: say("no packet") }],
    ["POST", { sid: `lobby:0.${say("a sid")}` }, { body: say("a body for nobody") }],
    ["GET", { transport: say("a transport") }, {}],
    ["GET", { EIO: say("a version") }, {}],
    ["GET", { token: say("a token at the handshake") }, {}],
    ["GET", {}, { headers: { origin: EVIL, authorization: `Bearer ${jwt(person("ann"))}` } }],
    ["GET", { room: say("a home") }, {}],
  ]) answers.push((await engine(server, method, parameters, more)).text);
  const raw = engineSocket(t, server);
  await raw.opened();
  raw.send(`40/${say("namespace")},{"token":"${jwt(person("ann"))}"}`);
  raw.send(`42["${say("before CONNECT")}"]`);
  await raw.closed;

  // HTTP.
  const id = say("an id");
  await emit(server, {}).catch(() => {});
  for (const [method, route, more] of [
    ["POST", "/api/emit", { as: SERVICE, body: { room, event: "note", data: { text: say("emitted") }, id } }],
    ["POST", "/api/emit", { as: SERVICE, body: { room: say("a bad room"), event: "note", data: say("emitted nowhere") } }],
    ["POST", "/api/emit", { as: SERVICE, body: `{"room": ${JSON.stringify(say("unparsable"))}` }],
    ["POST", "/api/emit", { as: SERVICE, body: { rooms: say("the wrong type"), event: 7 } }],
    ["POST", "/api/emit", { as: person("ann"), body: { room, event: "note", data: say("not hers to emit") } }],
    ["POST", `/rooms/${room}/events`, { as: person("ann"), body: { event: "note", data: say("over HTTP"), id: say("its id") } }],
    ["POST", `/rooms/${room}/events`, { as: person("ann"), body: say("a form"), headers: { "content-type": "application/x-www-form-urlencoded" } }],
    ["POST", "/api/users/ann/notifications", { as: SERVICE, body: { type: "alert", title: say("a title"), message: say("a notification"), severity: "info" } }],
    ["POST", "/api/users/ann/notifications", { as: SERVICE, body: { type: say("a bad type"), title: "t", message: say("a bad notification"), severity: "info" } }],
    ["POST", "/api/jobs/7", { as: SERVICE, body: { status: say("a bad status"), error: say("a job's error") } }],
    ["GET", `/rooms/${room}/history?limit=${say("a limit")}`, { as: person("ann") }],
    ["GET", `/rooms/${room}/history?token=${jwt(person("ann"))}`, {}],
    ["GET", `/rooms/${room}/history?token=${say("a bad token in a query")}`, {}],
    ["GET", `/rooms/${room}/history`, { as: person("ann"), headers: { origin: EVIL } }],
    ["GET", `/rooms/${room}/history`, { headers: { authorization: `Basic ${say("a password")}` } }],
    ["GET", `/rooms/${room}/history`, { headers: { cookie: `session=${say("a cookie")}` } }],
    ["DELETE", `/rooms/${room}/connections?user=${encodeURIComponent(`\u0000${say("a user")}`)}`, { as: SERVICE }],
    ["GET", "/metrics", { as: person("ann") }],
    ["GET", "/metrics", { as: SERVICE }],
    ["GET", "/health", {}],
  ]) await ask(method, route, more);
  const unknown = jwt(person("ann"), { header: { alg: "RS256", kid: say("a kid") } });
  await ask("GET", `/rooms/${room}/history`, { headers: { authorization: `Bearer ${unknown}` } });

  // Twilio, in and out.
  const contact = newNumber();
  const taken = await inbound(server, { From: contact, Body: say("an SMS"), ProfileName: say("a name") }, { authToken });
  secrets.make("a signature", taken.signature);
  assert.equal(taken.status, 200);
  const rotated = await inbound(server, { From: contact, Body: say("an SMS by the next token") }, { authToken: nextToken });
  assert.equal(rotated.status, 200);
  for (const [fields, more] of [
    [{ Body: say("a forged SMS") }, { authToken: "f".repeat(32) }],
    [{ Body: say("a tampered SMS") }, { authToken, tamper: (request) => (request.body += `&More=${say("more")}`) }],
    [{ Body: say("another account's"), AccountSid: `AC${"f".repeat(32)}` }, { authToken }],
    [{ Body: say("no number"), From: say("nobody") }, { authToken }],
    [{ Body: say("bad media"), NumMedia: "1", MediaUrl0: `https://${say("a-host")}.example/x` }, { authToken }],
  ]) {
    const answer = await inbound(server, fields, more);
    secrets.make("a signature", answer.signature);
    answers.push(JSON.stringify(answer.body));
  }
  const status = await webhook(server, "/webhooks/twilio/status?room=sms:x&id=1", { MessageSid: say("no sid"), MessageStatus: say("no status") }, { authToken });
  answers.push(JSON.stringify(status.body));
  const admin = { headers: by(ADMIN), as: undefined };
  await accepted(server, LINE, contact, { id: "m-1", body: say("sent out") }, admin);
  await messageOfWith(server, contact, "m-1", by(ADMIN));
  api.next(LINE, { status: 400, code: 21211, message: say("Twilio's sentence") }, { status: 500 });
  for (const id of ["m-2", "m-3"]) await accepted(server, LINE, contact, { id, body: say("sent out, not taken") }, admin);
  await eventually("both were tried", () => api.requests.filter(({ method }) => method === "POST").length >= 3, 20_000);
  await ask("POST", `/api/lines/${encodeURIComponent(LINE)}/conversations/${encodeURIComponent(contact)}/messages`, { as: ADMIN, body: { id: "m-4", body: say("too long ").repeat(200) } });

  // Being thrown out, a crash, and coming back.
  await ask("DELETE", "/rooms/user:dan/connections?user=dan", { as: SERVICE });
  await ask("DELETE", `/rooms/${room}/connections?user=bob`, { as: SERVICE });
  await header.closed;
  await crash(server);
  server = await serve(t, options);
  logs.push(server.logs);
  const back = await rawConnect(t, server, person("ann"), { query: { recovery: "1", token: jwt(person("ann")) }, pid: say("a pid"), offset: say("an offset") }).catch(() => {});
  back?.socket.terminate();
  const again = await inbound(server, { From: contact, Body: say("an SMS after the crash") }, { authToken });
  assert.equal(again.status, 200);
  await eventually("a post that failed is logged", () => logs.flat().join("").includes("event_webhook_failed"), 20_000);

  const output = logs.flat().join("");
  assert.ok(secrets.size > 60 && bodies.size > 50, `${secrets.size} and ${bodies.size} marks`);
  assert.deepEqual(secrets.in(output), [], output);
  assert.deepEqual(bodies.in(output), [], output);
  const events = new Set();
  for (const line of output.split("\n").filter(Boolean)) {
    if (!line.includes("{") && isOfWorkerd(line)) continue;
    const { level, event, ...fields } = JSON.parse(line);
    assert.ok(["info", "error"].includes(level) && /^[a-z]+(_[a-z]+)+$|^[a-z]+$/.test(event), line);
    for (const value of Object.values(fields)) assert.ok(value === null || ["string", "number", "boolean"].includes(typeof value), line);
    events.add(event);
  }
  for (const event of ["disconnected", "event_webhook_failed", "jwks_failed", "twilio_call_failed", "webhook_accepted", "webhook_refused"]) assert.ok(events.has(event), `${event} among ${[...events]}`);
  assert.ok(!events.has("panic") && !events.has("worker_error"), output);
  for (const answer of answers) assert.deepEqual(secrets.in(answer), [], answer);

  // The search finds what is there.
  assert.deepEqual(secrets.in(`?token=${encodeURIComponent(authToken)}`), ["TWILIO_AUTH_TOKEN #2"]);
});

/** The stand-in has taken it. */
const messageOfWith = (server, contact, id, headers) =>
  eventually(`${id} is sent`, async () => {
    const { body } = await call(server, "GET", `/api/lines/${encodeURIComponent(LINE)}/conversations/${encodeURIComponent(contact)}/messages`, { headers });
    return body.messages?.some(({ data }) => data.id === id && data.messageSid);
  });

/** What the runtime itself writes of connections that end; and this package's line about how it ended. */
const isOfWorkerd = (line) => /^workerd\/|^kj\/|^workerd ended with |^stack: |^\s*$/.test(line);
