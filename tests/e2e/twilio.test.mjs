// Twilio's inbound webhook (CONTRACT "HTTP API"): whose requests are taken, what becomes of them, and for whom.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import http from "node:http";
import { createRequire } from "node:module";
import { after, test } from "node:test";
import { ROOT } from "../tools/tools.mjs";
import { judge, requests } from "../vectors/twilio-requests.mjs";
import { ACCOUNT_SID, ADMIN, AUTH_TOKEN, call, Client, closedByServer, CONTACT, eventually, history, INBOUND, inbound, join, LINE, messageSid, received, serve, SERVICE, token } from "./harness.mjs";

const twilio = createRequire(import.meta.url)("twilio/lib/webhooks/webhooks");

/** For the tests that need no other configuration; each has lines of its own. */
const server = await serve({ after });
let lines = 0;
const newLine = () => `+1555020${String(++lines).padStart(4, "0")}`;

/** Sends exactly this, as fetch would not. */
const send = ({ port }, { method, target, headers, body }) =>
  new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, method, path: target, headers }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode));
    });
    request.on("error", reject).end(body);
  });

const assign = async (line, user) => {
  const { status, body } = await call(server, "PUT", `/api/lines/${encodeURIComponent(line)}/assignees/${user}`, { as: SERVICE });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
};

const newMessages = (client) => client.frames.filter((frame) => frame.event === "new_message");
const sids = async (room) => (await received(server, room)).map(({ messageSid: sid }) => sid);

function assertAccepted({ status, headers, body }) {
  assert.deepEqual([status, headers.get("content-type").split(";")[0], body], [200, "text/xml", "<Response/>"]);
}

const rows = requests({ base: server.url, token: AUTH_TOKEN, accountSid: ACCOUNT_SID, twilio });

test(`npm twilio and the webhook agree about each of ${rows.length} requests, and only the genuine ones leave a message`, async (t) => {
  assert.ok(rows.length >= 40, `${rows.length} rows`);
  const disagreements = [];
  for (const row of rows) {
    const genuine = judge(row);
    assert.equal(genuine, row.expectAccepted, `npm twilio on: ${row.name}`);
    const status = await send(server, row);
    const refusal = row.headers["Content-Type"] === "text/plain" ? 415 : 403;
    if (status !== (genuine ? 200 : refusal)) disagreements.push(`${row.name}: ${status}, npm twilio ${genuine ? "accepts" : "refuses"} it`);
  }
  assert.deepEqual(disagreements, []);
  const genuine = rows.filter((row) => row.expectAccepted);
  t.diagnostic(`${genuine.length} accepted, ${rows.length - genuine.length} refused`);
  const stored = await Promise.all(
    [`sms:${LINE}:${CONTACT}`, `sms:whatsapp:${LINE}:whatsapp:${CONTACT}`, `sms:whatsapp:${LINE}:whatsapp:US.ABC123XYZ`].map(sids),
  );
  assert.deepEqual(stored.flat().sort(), genuine.map((row) => row.messageSid).sort());
});

test("an SMS is in its conversation, its line and its assignee's own room once the webhook's 200 is there, and on their sockets", async (t) => {
  const line = newLine();
  assert.deepEqual(await assign(line, "ann"), { assignees: ["ann"] });
  const rooms = [`sms:${line}:${CONTACT}`, `line:${line}`, "user:ann"];
  const sockets = [];
  for (const room of rooms) sockets.push(await join(t, server, room, { sub: "ann" }));
  const before = Date.now();

  const posted = await inbound(server, { To: line, Body: "Grüße & <b>1+1=2</b> 👍", NumMedia: "0", FromCity: "" });
  const answered = Date.now();
  const histories = await Promise.all(rooms.map((room) => history(server, room)));

  assertAccepted(posted);
  const [{ data }] = histories[0].messages;
  assert.deepEqual(data, {
    phoneNumberId: line,
    from: CONTACT,
    to: line,
    body: "Grüße & <b>1+1=2</b> 👍",
    direction: "inbound",
    timestamp: data.timestamp,
    messageSid: posted.params.MessageSid,
    media: [],
    channel: "sms",
  });
  assert.match(data.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Date.parse(data.timestamp) >= before - 1000 && Date.parse(data.timestamp) <= answered + 1000, data.timestamp);
  for (const [at, room] of rooms.entries()) {
    const message = histories[at].messages.find((message) => message.data.messageSid === data.messageSid);
    assert.deepEqual([message?.event, message?.data], ["new_message", data], `history of ${room}`);
    const frame = await sockets[at].event("new_message");
    assert.deepEqual([frame.data, frame.offset, frame.at], [data, message.offset, message.at], `frame in ${room}`);
  }
});

test("MMS, WhatsApp, short codes and names are addressed and described as the contract says", async () => {
  const line = newLine();
  const whatsapp = `whatsapp:${line}`;
  const media = { NumMedia: "2", MediaUrl0: "https://api.twilio.com/a?b=c&d", MediaContentType0: "image/png", MediaUrl1: "https://api.twilio.com/e", MediaContentType1: "video/mp4" };
  const table = [
    {
      what: "an MMS without a text",
      fields: { To: line, Body: "", ...media, MessageSid: `MM${"a".repeat(32)}` },
      room: `sms:${line}:${CONTACT}`,
      data: {
        body: "",
        channel: "sms",
        messageSid: `MM${"a".repeat(32)}`,
        media: [{ url: "https://api.twilio.com/a?b=c&d", contentType: "image/png" }, { url: "https://api.twilio.com/e", contentType: "video/mp4" }],
      },
    },
    {
      what: "media that is no web address",
      fields: { To: line, From: "+15550100003", NumMedia: "1", MediaUrl0: "javascript:alert(1)", MediaContentType0: "text/html" },
      room: `sms:${line}:+15550100003`,
      data: { from: "+15550100003", media: [] },
    },
    {
      what: "WhatsApp",
      fields: { To: whatsapp, From: `whatsapp:${CONTACT}`, ProfileName: "Zoë 🙂", WaId: "15550100001" },
      room: `sms:${whatsapp}:whatsapp:${CONTACT}`,
      data: { phoneNumberId: whatsapp, from: CONTACT, to: line, channel: "whatsapp", profileName: "Zoë 🙂" },
    },
    {
      what: "a WhatsApp user who has no number",
      fields: { To: whatsapp, From: "whatsapp:US.ABC123XYZ" },
      room: `sms:${whatsapp}:whatsapp:US.ABC123XYZ`,
      data: { phoneNumberId: whatsapp, from: "US.ABC123XYZ", to: line, channel: "whatsapp" },
    },
    { what: "a short code", fields: { To: line, From: "12345" }, room: `sms:${line}:12345`, data: { from: "12345", channel: "sms" } },
    { what: "a sender with a name", fields: { To: line, From: "ACME" }, room: `sms:${line}:ACME`, data: { from: "ACME", channel: "sms" } },
    { what: "a NUL in the text", fields: { To: line, From: "+15550100004", Body: "a\0b" }, room: `sms:${line}:+15550100004`, data: { from: "+15550100004", body: "ab" } },
  ];
  for (const { what, fields, room, data } of table) {
    const posted = await inbound(server, fields);
    assertAccepted(posted);
    const { messages } = await history(server, room);
    assert.equal(messages.length, 1, `${what}: ${room}`);
    const common = { phoneNumberId: line, from: CONTACT, to: line, body: "hello", direction: "inbound", messageSid: posted.params.MessageSid, media: [], channel: "sms" };
    assert.deepEqual(messages[0].data, { ...common, timestamp: messages[0].data.timestamp, ...data }, what);
  }
  const onLine = async (address) => (await received(server, `line:${address}`)).map(({ from }) => from);
  assert.deepEqual(await onLine(line), [CONTACT, "+15550100003", "12345", "ACME", "+15550100004"]);
  assert.deepEqual(await onLine(whatsapp), [CONTACT, "US.ABC123XYZ"]);
});

test("twenty concurrent posts of one MessageSid are all answered 200 and give one message in each room", async (t) => {
  const line = newLine();
  await assign(line, "bob");
  const rooms = [`sms:${line}:${CONTACT}`, `line:${line}`, "user:bob"];
  const sockets = await Promise.all(rooms.map((room) => join(t, server, room, { sub: "bob" })));
  const MessageSid = messageSid();
  const posts = await Promise.all(Array.from({ length: 20 }, () => inbound(server, { MessageSid, To: line })));
  posts.forEach(assertAccepted);
  const last = await inbound(server, { To: line, Body: "the last" });
  assertAccepted(last);
  const expected = [MessageSid, last.params.MessageSid];
  for (const [at, room] of rooms.entries()) {
    assert.deepEqual(await sids(room), expected, room);
    await sockets[at].frame((frame) => frame.data?.body === "the last");
    assert.deepEqual(newMessages(sockets[at]).map(({ data }) => data.messageSid), expected, `the socket in ${room}`);
  }
  assertAccepted(await inbound(server, { MessageSid, To: line }));
  assert.deepEqual(await sids(rooms[0]), expected, "once more, later");
});

test("the webhook works by all of its three paths, and each knows what came by the others", async () => {
  const line = newLine();
  const MessageSid = messageSid();
  const expected = [MessageSid];
  for (const path of [INBOUND, "/api/webhooks/inbound-sms", "/api/webhooks/twilio"]) {
    assertAccepted(await inbound(server, { To: line, MessageSid }, { path }));
    const posted = await inbound(server, { To: line, Body: path }, { path });
    assertAccepted(posted);
    expected.push(posted.params.MessageSid);
    assert.equal((await inbound(server, { To: line }, { path, authToken: "not-the-token" })).status, 403, path);
  }
  assert.deepEqual(await sids(`sms:${line}:${CONTACT}`), expected);
});

test("while tokens rotate both sign, and PUBLIC_BASE_URL is what is signed, not the address that was called", async (t) => {
  const base = "https://hooks.dialtone.example";
  const rotating = await serve(t, { vars: { TWILIO_AUTH_TOKEN_NEXT: "the-token-of-tomorrow", PUBLIC_BASE_URL: `${base}/` } });
  for (const [what, options, status] of [
    ["today's token", { base }, 200],
    ["tomorrow's token", { base, authToken: "the-token-of-tomorrow" }, 200],
    ["another token", { base, authToken: "the-token-of-yesterday" }, 403],
    ["the address called", { base: rotating.url }, 403],
    ["another host", { base: "https://hooks.dialtone.example.org" }, 403],
    ["http for https", { base: "http://hooks.dialtone.example" }, 403],
  ]) {
    assert.equal((await inbound(rotating, {}, options)).status, status, what);
  }
});

test("what is forged, malformed, foreign or too big is refused by its own code, leaves nothing, and nothing secret is logged", async (t) => {
  const refusing = await serve(t);
  const secretText = "the-words-of-a-customer";
  const set = (name, value) => (request) => { request.headers[name] = value; };
  const sized = (bytes) => {
    const empty = new URLSearchParams({ AccountSid: ACCOUNT_SID, MessageSid: messageSid(), From: CONTACT, To: LINE, Body: "", NumMedia: "0" });
    return "x".repeat(bytes - empty.toString().length);
  };
  const signatures = [];
  for (const [what, fields, options, status, code] of [
    ["forged", {}, { authToken: "guessed" }, 403, "forbidden"],
    ["tampered", {}, { tamper: (request) => { request.body = request.body.replace("customer", "stranger"); } }, 403, "forbidden"],
    ["unsigned", {}, { tamper: (request) => { delete request.headers["x-twilio-signature"]; } }, 403, "forbidden"],
    ["text", {}, { tamper: set("content-type", "text/plain") }, 415, "unsupported_media_type"],
    ["multipart", {}, { tamper: set("content-type", "multipart/form-data; boundary=x") }, 415, "unsupported_media_type"],
    ["without From", { From: undefined }, {}, 400, "bad_request"],
    ["with an empty From", { From: "" }, {}, 400, "bad_request"],
    ["without To", { To: undefined }, {}, 400, "bad_request"],
    ["without MessageSid", { MessageSid: undefined }, {}, 400, "bad_request"],
    ["with a MessageSid that is none", { MessageSid: "SM1" }, {}, 400, "bad_request"],
    ["with a MessageSid of another thing", { MessageSid: `CA${"0".repeat(32)}` }, {}, 400, "bad_request"],
    ["another account's", { AccountSid: `AC${"f".repeat(32)}` }, {}, 403, "forbidden"],
    ["without an account", { AccountSid: undefined }, {}, 403, "forbidden"],
    ["one byte over 1 MB", { Body: sized(1_000_001) }, {}, 413, "payload_too_large"],
    ["over 1 MB and forged", { Body: sized(3_000_000) }, { authToken: "guessed" }, 413, "payload_too_large"],
  ]) {
    const refused = await inbound(refusing, { Body: secretText, ...fields }, options);
    if (refused.signature) signatures.push(refused.signature);
    const type = refused.headers.get("content-type").split(";")[0];
    assert.deepEqual([refused.status, refused.body.code, refused.body.status, type], [status, code, status, "application/problem+json"], what);
    assert.doesNotMatch(JSON.stringify(refused.body), new RegExp(`${secretText}|${AUTH_TOKEN}`), what);
  }
  const room = `sms:${LINE}:${CONTACT}`;
  assert.deepEqual((await history(refusing, room)).messages, []);
  assertAccepted(await inbound(refusing, { Body: sized(1_000_000) }));
  const accepted = await inbound(refusing, { Body: secretText });
  assertAccepted(accepted);
  assert.equal((await history(refusing, room)).messages.length, 2);

  const logged = (what) => refusing.logs.join("").split("\n").filter((line) => line.includes(what)).length;
  await eventually("a line in the log for every refusal of a signature or of a field", () => logged("webhook_refused") >= 11);
  await eventually("a line in the log for each message", () => logged("webhook_accepted") === 2);
  for (const secret of [secretText, "xxxxxxxx", AUTH_TOKEN, "guessed", ...signatures, accepted.signature, CONTACT]) {
    assert.ok(!refusing.logs.join("").includes(secret), `the log says ${secret.slice(0, 30)}:\n${refusing.logs.join("").slice(0, 2000)}`);
  }
});

test("without a token of Twilio's the webhook answers 503, and the rest works", async (t) => {
  const bare = await serve(t, { vars: { TWILIO_AUTH_TOKEN: undefined } });
  for (const authToken of [AUTH_TOKEN, ""]) {
    const { status, body } = await inbound(bare, {}, { authToken });
    assert.deepEqual([status, body.code], [503, "not_configured"]);
  }
  await join(t, bare, "demo:1", { sub: "ann", rooms: ["demo:1"] });
});

test("who is assigned to a line gets its messages from then on, and who is removed gets nothing more", async (t) => {
  const line = newLine();
  const path = `/api/lines/${encodeURIComponent(line)}/assignees`;
  assert.deepEqual((await call(server, "PUT", `${path}/eve`, { as: { sub: "eve" } })).status, 403, "nobody assigns oneself");
  const eve = await join(t, server, "user:eve", { sub: "eve" });
  const other = await join(t, server, "user:joe", { sub: "joe" });
  assertAccepted(await inbound(server, { To: line, Body: "before" }));

  await assign(line, "joe");
  assert.deepEqual(await assign(line, "eve"), { assignees: ["joe", "eve"] });
  const onLine = await join(t, server, `line:${line}`, { sub: "eve" });
  assertAccepted(await inbound(server, { To: line, Body: "during" }));
  for (const socket of [eve, other, onLine]) assert.equal((await socket.event("new_message")).data.body, "during");

  const removed = await call(server, "DELETE", `${path}/eve`, { as: SERVICE });
  assert.deepEqual([removed.status, removed.body], [200, { assignees: ["joe"] }]);
  assert.equal((await closedByServer(onLine)).code, 4503, "the socket in the line's room");
  assertAccepted(await inbound(server, { To: line, Body: "after" }));
  await other.frame((frame) => frame.data?.body === "after");
  await eve.ask("mark_read", {}); // its ack comes after whatever was sent before it
  assert.deepEqual(newMessages(eve).map(({ data }) => data.body), ["during"]);
  assert.deepEqual((await history(server, "user:eve")).messages.map(({ data }) => data.body), ["during"]);
  for (const room of [`line:${line}`, `sms:${line}:${CONTACT}`]) {
    const refused = new Client(`${server.ws}/rooms/${encodeURIComponent(room)}?token=${token({ sub: "eve" })}`);
    await assert.rejects(refused.opened(), { status: 403 }, room);
  }
});

test("who is removed from a line hears nothing more of its conversations on a socket that was open already", async (t) => {
  const line = newLine();
  const room = `sms:${line}:${CONTACT}`;
  await assign(line, "pat");
  const [pat, admin] = [await join(t, server, room, { sub: "pat" }), await join(t, server, room, ADMIN)];
  assertAccepted(await inbound(server, { To: line, Body: "during" }));
  await pat.event("new_message");
  await call(server, "DELETE", `/api/lines/${encodeURIComponent(line)}/assignees/pat`, { as: SERVICE });
  assertAccepted(await inbound(server, { To: line, Body: "after" }));
  await admin.frame((frame) => frame.data?.body === "after");
  assert.deepEqual(newMessages(pat).map(({ data }) => data.body), ["during"]);
});

test("`npm run sms` signs a message that the server takes, and says why where it does not", async () => {
  const line = newLine();
  const sms = (args, env = {}) =>
    new Promise((resolve) => {
      const vars = { ...process.env, TWILIO_ACCOUNT_SID: ACCOUNT_SID, TWILIO_AUTH_TOKEN: AUTH_TOKEN, PUBLIC_BASE_URL: "", ...env };
      const command = ["run", "--silent", "sms", "--", "--url", server.url, "--to", line, ...args];
      execFile("npm", command, { cwd: ROOT, env: vars }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
    });
  const sent = await sms(["--from", CONTACT, "--body", "it's + me & you"]);
  assert.match(sent.stdout, /^200 OK {2}SM[0-9a-f]{32}\n$/, sent.stderr);
  const whatsapp = await sms(["--from", CONTACT, "--whatsapp", "--name", "Zoë", "--media", "https://example.com/a.png"]);
  assert.match(whatsapp.stdout, /^200 OK {2}MM[0-9a-f]{32}\n$/, whatsapp.stderr);
  const forged = await sms(["--from", CONTACT], { TWILIO_AUTH_TOKEN: "guessed" });
  assert.deepEqual([forged.code, /^403 /.test(forged.stdout), /not signed by Twilio/.test(forged.stderr)], [1, true, true]);

  const [plain] = (await history(server, `sms:${line}:${CONTACT}`)).messages;
  assert.deepEqual([plain.data.body, plain.data.channel], ["it's + me & you", "sms"]);
  const [picture] = (await history(server, `sms:whatsapp:${line}:whatsapp:${CONTACT}`)).messages;
  assert.deepEqual(
    [picture.data.profileName, picture.data.channel, picture.data.media],
    ["Zoë", "whatsapp", [{ url: "https://example.com/a.png", contentType: "image/png" }]],
  );
});

test("only who is assigned, granted or an admin hears a line or a conversation", async (t) => {
  const line = newLine();
  const conversation = `sms:${line}:${CONTACT}`;
  for (const [room, claims, admitted] of [
    [conversation, { sub: "x" }, false],
    [conversation, { sub: "x", rooms: [`line:${newLine()}`, `sms:${LINE}:*`] }, false],
    [conversation, { sub: "x", rooms: [`line:${line}`] }, true],
    [conversation, { sub: "x", rooms: [`sms:${line}:*`] }, true],
    [conversation, ADMIN, true],
    [`line:${line}`, { sub: "x" }, false],
    [`line:${line}`, ADMIN, true],
    ["user:ann", ADMIN, false],
    ["user:ann", { sub: "x", rooms: ["*"] }, false],
  ]) {
    const joined = await join(t, server, room, claims).then(() => true, (error) => (assert.equal(error.status, 403), false));
    assert.equal(joined, admitted, `${room} for ${JSON.stringify(claims)}`);
  }
});
