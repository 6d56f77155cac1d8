// The HTTP API of rooms (CONTRACT "HTTP API", "Codes"), origins, health, metrics, and the page's fallback.

import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, before, describe, test } from "node:test";
import { ADMIN, bearer, call, Client, join, JWT_SECRET, serve, SERVICE, token } from "./harness.mjs";

let server;
/** Allows two origins, opens tickets, takes bodies up to 1,000 bytes. */
let strict;
/** Without JWT_SECRET. */
let bare;
const ends = [];
const lifetime = { after: (end) => ends.push(end) };
let rooms = 0;

const room = (kind = "demo") => `${kind}:${++rooms}`;
const path = (name, rest = "") => `/rooms/${encodeURIComponent(name)}${rest}`;
const ANN = { sub: "ann", rooms: ["*"] };
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  503: "Service Unavailable",
};

/** A response that is a problem of RFC 9457 with this status and code, and nothing but. */
function problem(response, status, code, what) {
  assert.equal(response.status, status, `${what}: ${JSON.stringify(response.body)}`);
  assert.equal(response.headers.get("content-type"), "application/problem+json", what);
  const { detail, ...rest } = response.body;
  assert.deepEqual(rest, { type: "about:blank", title: TITLES[status], status, code }, what);
  assert.ok(typeof detail === "string" && detail.length > 0, what);
}

const post = (to, name, body, options) => call(to, "POST", path(name, "/events"), { as: ANN, body, ...options });
const history = (to, name, query = "") => call(to, "GET", path(name, `/history${query}`), { as: ADMIN });

/** The status of a WebSocket handshake, and the body where it was refused. */
async function handshake(to, route, headers = {}) {
  const client = new Client(`${to.ws}${route}`, { headers });
  const outcome = client.opened().then(() => ({ status: 101 }), ({ status, body }) => ({ status, body }));
  return outcome.finally(() => client.socket.terminate());
}

/** The path as it is written: `fetch` would resolve its dots. */
function raw(to, method, target, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port: to.port, method, path: target, headers }, async (response) => {
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    request.on("error", reject).end();
  });
}

after(() => Promise.all(ends.map((end) => end())));
before(async () => {
  [server, strict, bare] = await Promise.all([
    serve(lifetime),
    serve(lifetime, {
      vars: { ALLOWED_ORIGINS: "https://app.example, http://localhost:5173", OPEN_KINDS: "ticket", MAX_PAYLOAD_BYTES: 1000 },
    }),
    serve(lifetime, { vars: { JWT_SECRET: undefined, TWILIO_ACCOUNT_SID: undefined, TWILIO_AUTH_TOKEN: undefined } }),
  ]);
});

describe("history", { concurrency: 4 }, () => {
  test("after and before are exclusive, limit is 50 and at most 200, and every page is ascending", async () => {
    const name = room();
    for (let from = 1; from <= 210; from += 30) {
      await Promise.all(Array.from({ length: 30 }, () => post(server, name, { event: "note" })));
    }
    const span = (first, last) => Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => first + n);
    for (const [query, expected] of [
      ["", span(161, 210)],
      ["?limit=3", span(208, 210)],
      ["?limit=200", span(11, 210)],
      ["?limit=201", span(11, 210)],
      ["?limit=5000", span(11, 210)],
      ["?before=4", span(1, 3)],
      ["?before=101&limit=2", span(99, 100)],
      ["?before=1", []],
      ["?before=0", []],
      ["?before=9999&limit=1", [210]],
      ["?after=0&limit=2", span(1, 2)],
      ["?after=200", span(201, 210)],
      ["?after=210", []],
      ["?after=9999", []],
      ["?after=10&before=13", span(11, 12)],
      ["?after=10&before=200&limit=3", span(11, 13)],
      ["?after=12&before=12", []],
      ["?after=18446744073709551615", []],
      ["?before=18446744073709551615&limit=1", [210]],
    ]) {
      const { status, body } = await history(server, name, query);
      assert.equal(status, 200, `${query}: ${JSON.stringify(body)}`);
      assert.deepEqual(body.messages.map((message) => message.offset), expected, query);
      assert.equal(body.offset, 210, query);
      assert.match(body.epoch, /^[0-9a-f]{16}$/);
    }
    // Forwards by `after` and backwards by `before`, each to the end.
    for (const [key, edge, start] of [["after", -1, 0], ["before", 0, 211]]) {
      const seen = [];
      for (let at = start, page; page?.length !== 0; ) {
        page = (await history(server, name, `?${key}=${at}&limit=64`)).body.messages.map((message) => message.offset);
        at = page.at(edge);
        key === "after" ? seen.push(...page) : seen.unshift(...page);
      }
      assert.deepEqual(seen, span(1, 210), `paging by ${key}`);
    }
  });

  test("a message in the history has event, data, offset, at and sender, as the sockets had it", async (t) => {
    const name = room();
    const client = await join(t, server, name, ANN);
    await post(server, name, { event: "note", data: { a: [1, null] } }, { as: { sub: 7, rooms: ["*"] } });
    const { body } = await history(server, name);
    assert.deepEqual(body.messages, [await client.event("note")]);
    assert.deepEqual({ ...body.messages[0], at: 0 }, { event: "note", data: { a: [1, null] }, offset: 1, at: 0, sender: 7 });
  });

  test("a room that nobody has used has an empty history", async () => {
    const { status, body } = await history(server, room());
    assert.deepEqual([status, body.offset, body.messages], [200, 0, []]);
  });

  test("a query that is not whole numbers in range is a 400", async () => {
    for (const query of ["?limit=0", "?limit=-1", "?limit=x", "?limit=", "?limit=1.5", "?after=-1", "?after=x", "?after=", "?before=-2", "?before=1e3", "?before=18446744073709551616"]) {
      problem(await history(server, "demo:1", query), 400, "bad_request", query);
    }
  });

  test("who may join may read; role admin reads any room but the internal ones", async () => {
    const name = room();
    await post(server, name, { event: "note" });
    for (const [claims, status] of [
      [{ sub: "eve" }, 403],
      [{ sub: "eve", rooms_read: [name] }, 200],
      [{ sub: "eve", rooms: [name] }, 200],
      [SERVICE, 403],
      [ADMIN, 200],
    ]) {
      const response = await call(server, "GET", path(name, "/history"), { as: claims });
      assert.equal(response.status, status, JSON.stringify(claims));
    }
    assert.equal((await call(server, "GET", path("user:somebody", "/history"), { as: ADMIN })).status, 200);
  });
});

describe("events over HTTP", { concurrency: 4 }, () => {
  test("an event over HTTP gets its offset and reaches the sockets, the same user's too", async (t) => {
    const name = room();
    const tabs = [await join(t, server, name, ANN), await join(t, server, name, { sub: "bob", rooms: ["*"] })];
    const { status, body, headers } = await post(server, name, { event: "note", data: "hi" });
    assert.deepEqual([status, body], [200, { offset: 1, duplicate: false }]);
    assert.match(headers.get("content-type"), /^application\/json/);
    for (const tab of tabs) assert.equal((await tab.event("note")).data, "hi");
  });

  test("an id is deduplicated over HTTP and sockets alike, for one user", async (t) => {
    const name = room();
    const tab = await join(t, server, name, ANN);
    const sent = { event: "note", id: "same" };
    assert.deepEqual((await post(server, name, sent)).body, { offset: 1, duplicate: false });
    assert.deepEqual((await post(server, name, sent)).body, { offset: 1, duplicate: true });
    assert.deepEqual(await tab.ask("note", undefined, "same"), { ack: "same", offset: 1, duplicate: true });
    assert.deepEqual(await tab.ask("note", undefined, "other"), { ack: "other", offset: 2, duplicate: false });
    assert.deepEqual((await post(server, name, { ...sent, id: "other" })).body, { offset: 2, duplicate: true });
    assert.deepEqual((await post(server, name, sent, { as: { sub: "bob", rooms: ["*"] } })).body, { offset: 3, duplicate: false });
  });

  test("thirty posts of one id at once are one message", async () => {
    const name = room();
    const answers = await Promise.all(Array.from({ length: 30 }, () => post(server, name, { event: "note", id: "x" })));
    assert.deepEqual(answers.map(({ body }) => body.offset), Array(30).fill(1));
    assert.equal(answers.filter(({ body }) => !body.duplicate).length, 1);
    assert.equal((await history(server, name)).body.messages.length, 1);
  });

  test("a chat's send_message over HTTP answers the message's id", async () => {
    const name = room("chat");
    const sent = { event: "send_message", data: { message: "hi", clientMessageId: "m" } };
    const first = (await post(server, name, sent)).body;
    assert.deepEqual((await post(server, name, sent)).body, { ...first, duplicate: true });
    const [message] = (await history(server, name)).body.messages;
    assert.deepEqual([message.event, message.data.id, message.data.chatId], ["new_message", first.id, name.slice(5)]);
  });

  test("what cannot be parsed is 400, what has the wrong shape or is reserved 422, what is no JSON by its type 415", async () => {
    const name = room();
    const cases = [
      ["", 400, "bad_request"],
      ["{", 400, "bad_request"],
      ["hello", 400, "bad_request"],
      ['{"event":"a"}{"event":"b"}', 400, "bad_request"],
      ["\u0000", 400, "bad_request"],
      ["[]", 422, "invalid_payload"],
      ['["note",1]', 422, "invalid_payload"],
      ["5", 422, "invalid_payload"],
      ["null", 422, "invalid_payload"],
      ["{}", 422, "invalid_payload"],
      [{ event: 5 }, 422, "invalid_payload"],
      [{ event: "" }, 422, "invalid_payload"],
      [{ event: "e".repeat(129) }, 422, "invalid_payload"],
      [{ event: "a\nb" }, 422, "invalid_payload"],
      [{ event: "note", id: 5 }, 422, "invalid_payload"],
      [{ event: "note", id: "" }, 422, "invalid_payload"],
      [{ event: "note", id: "i".repeat(65) }, 422, "invalid_payload"],
      [{ event: "connect" }, 422, "invalid_payload"],
      [{ event: "connected" }, 422, "invalid_payload"],
      [{ event: "presence_diff" }, 422, "invalid_payload"],
      [{ event: "user_typing" }, 422, "invalid_payload"],
      [{ event: "typing", data: {} }, 422, "invalid_payload"],
      [{ event: "refresh", data: { token: "x" } }, 422, "unknown_event"],
      [`{"event":"note","data":${"[".repeat(65)}${"]".repeat(65)}}`, 422, "invalid_payload"],
    ];
    for (const [body, status, code] of cases) {
      const response = await post(server, name, body);
      problem(response, status, code, JSON.stringify(body).slice(0, 80));
    }
    for (const type of ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/jsonp"]) {
      const response = await post(server, name, '{"event":"note"}', { headers: { "content-type": type } });
      problem(response, 415, "unsupported_media_type", type);
    }
    assert.equal((await history(server, name)).body.offset, 0);
    for (const type of ["application/json", "application/json; charset=utf-8", "Application/JSON"]) {
      assert.equal((await post(server, name, { event: "note" }, { headers: { "content-type": type } })).status, 200, type);
    }
  });

  test("a body that is not UTF-8 is a 400", async () => {
    const init = { method: "POST", headers: { ...bearer(ANN), "content-type": "application/json" }, body: Buffer.from('{"event":"caf\xe9"}', "latin1") };
    const response = await fetch(server.url + path(room(), "/events"), init);
    assert.equal(response.status, 400);
  });

  test("a body of MAX_PAYLOAD_BYTES is taken and one byte more is 413, announced or not", async () => {
    const name = room();
    const sized = (bytes) => `{"event":"note","data":"${"x".repeat(bytes - 26)}"}`;
    assert.equal(sized(1000).length, 1000);
    assert.equal((await post(strict, name, sized(1000))).status, 200);
    problem(await post(strict, name, sized(1001)), 413, "payload_too_large", "announced");
    const chunks = new ReadableStream({
      start(controller) {
        // Little more than the limit: all of it is on its way before the answer is.
        for (let n = 0; n < 3; n++) controller.enqueue(Buffer.from(" ".repeat(400)));
        controller.close();
      },
    });
    const init = { method: "POST", duplex: "half", headers: { ...bearer(ANN), "content-type": "application/json" }, body: chunks };
    assert.equal((await fetch(strict.url + path(name, "/events"), init)).status, 413);
    assert.equal((await history(strict, name)).body.offset, 1);
  });

  test("the largest body that is allowed by default is stored and read back", async () => {
    const name = room();
    const data = "x".repeat(1_000_000 - 26);
    const { status, body } = await post(server, name, `{"event":"note","data":"${data}"}`);
    assert.deepEqual([status, body], [200, { offset: 1, duplicate: false }]);
    assert.ok((await history(server, name)).body.messages[0].data === data);
    problem(await post(server, name, `{"event":"note","data":"${data}x"}`), 413, "payload_too_large", "one more");
  });
});

describe("presence, members, connections, assignees", { concurrency: 4 }, () => {
  test("presence lists each person once, who came first first", async (t) => {
    const name = room();
    const asks = () => call(server, "GET", path(name, "/presence"), { as: ANN });
    assert.deepEqual((await asks()).body, { users: [] });
    await join(t, server, name, { sub: 7, name: "Seven", rooms: ["*"] });
    await join(t, server, name, { sub: 7, name: "Seven", rooms: ["*"] });
    await join(t, server, name, { sub: "bob", rooms_read: ["*"] });
    const { body } = await asks();
    assert.deepEqual(body.users.map((user) => ({ ...user, since: typeof user.since })), [
      { userId: 7, name: "Seven", since: "string" },
      { userId: "bob", since: "string" },
    ]);
    problem(await call(server, "GET", path(name, "/presence"), { as: { sub: "eve" } }), 403, "forbidden", "not in");
  });

  test("members are added, listed in the order they came, and removed, each any number of times", async () => {
    const name = room();
    const at = (user) => path(name, `/members/${encodeURIComponent(user)}`);
    const ids = ({ status, body }) => [status, body.members.map((member) => member.userId)];
    assert.deepEqual(ids(await call(server, "GET", path(name, "/members"), { as: SERVICE })), [200, []]);
    assert.deepEqual(ids(await call(server, "PUT", at("zoe"), { as: SERVICE })), [200, ["zoe"]]);
    assert.deepEqual(ids(await call(server, "PUT", at("a/b c@é"), { as: ADMIN })), [200, ["zoe", "a/b c@é"]]);
    assert.deepEqual(ids(await call(server, "PUT", at("zoe"), { as: SERVICE })), [200, ["zoe", "a/b c@é"]]);
    assert.deepEqual(ids(await call(server, "DELETE", at("zoe"), { as: SERVICE })), [200, ["a/b c@é"]]);
    assert.deepEqual(ids(await call(server, "DELETE", at("zoe"), { as: SERVICE })), [200, ["a/b c@é"]]);
    const { body } = await call(server, "GET", path(name, "/members"), { as: SERVICE });
    assert.equal(new Date(body.members[0].since).toISOString(), body.members[0].since);
  });

  test("a member by a number is the user with the integer id, and reads the history and presence", async () => {
    const name = room();
    await call(server, "PUT", path(name, "/members/7"), { as: SERVICE });
    for (const rest of ["/history", "/presence"]) {
      assert.equal((await call(server, "GET", path(name, rest), { as: { sub: 7 } })).status, 200, rest);
      assert.equal((await call(server, "GET", path(name, rest), { as: { sub: 8 } })).status, 403, rest);
    }
    assert.equal((await post(server, name, { event: "note" }, { as: { sub: 7 } })).status, 200);
    assert.equal((await post(server, name, { event: "note" }, { as: { sub: 8 } })).status, 403);
  });

  test("only service and admin touch members, connections and assignees", async () => {
    for (const [method, route] of [
      ["GET", "/rooms/demo:1/members"],
      ["PUT", "/rooms/demo:1/members/eve"],
      ["DELETE", "/rooms/demo:1/members/eve"],
      ["DELETE", "/rooms/demo:1/connections"],
      ["GET", "/api/lines/%2B15550001/assignees"],
      ["PUT", "/api/lines/%2B15550001/assignees/eve"],
      ["DELETE", "/api/lines/%2B15550001/assignees/eve"],
      ["GET", "/metrics"],
    ]) {
      for (const claims of [{ sub: "eve", rooms: ["*"] }, { sub: "eve", role: "lsm", rooms: ["*"] }, { sub: "eve", role: "Admin" }]) {
        problem(await call(server, method, route, { as: claims }), 403, "forbidden", `${method} ${route} ${JSON.stringify(claims)}`);
      }
      problem(await call(server, method, route), 401, "unauthorized", `${method} ${route}`);
      for (const claims of [SERVICE, ADMIN]) assert.equal((await call(server, method, route, { as: claims })).status, 200, `${method} ${route}`);
    }
  });

  test("a user id that is none is a 400", async () => {
    for (const user of ["%00", "%0a", "u".repeat(129)]) {
      for (const route of [`/rooms/demo:1/members/${user}`, `/api/lines/%2B1555/assignees/${user}`]) {
        problem(await call(server, "PUT", route, { as: SERVICE }), 400, "bad_request", route);
      }
      problem(await call(server, "DELETE", `/rooms/demo:1/connections?user=${user}`, { as: SERVICE }), 400, "bad_request", user);
    }
  });

  test("DELETE connections says how many it closed", async (t) => {
    const name = room();
    const clients = [];
    for (const sub of ["ann", "bob", "bob"]) clients.push(await join(t, server, name, { sub, rooms: ["*"] }));
    const disconnect = (query) => call(server, "DELETE", path(name, `/connections${query}`), { as: SERVICE });
    for (const [query, disconnected] of [["?user=nobody", 0], ["?user=bob", 2], ["?user=bob", 0], ["", 1], ["", 0]]) {
      assert.deepEqual((await disconnect(query)).body, { disconnected }, query);
    }
  });

  test("a line's assignees are the members of its room", async (t) => {
    const line = "+15550100";
    const at = (user = "") => `/api/lines/${encodeURIComponent(line)}/assignees${user && `/${user}`}`;
    assert.deepEqual((await call(server, "GET", at(), { as: ADMIN })).body, { assignees: [] });
    problem(await call(server, "GET", path(`line:${line}`, "/history"), { as: { sub: "bob" } }), 403, "forbidden", "before");
    assert.deepEqual((await call(server, "PUT", at("bob"), { as: SERVICE })).body, { assignees: ["bob"] });
    const members = await call(server, "GET", path(`line:${line}`, "/members"), { as: SERVICE });
    assert.deepEqual(members.body.members.map((member) => member.userId), ["bob"]);
    for (const name of [`line:${line}`, `sms:${line}:+15559999`]) {
      assert.equal((await call(server, "GET", path(name, "/history"), { as: { sub: "bob" } })).status, 200, name);
      problem(await call(server, "GET", path(name, "/history"), { as: { sub: "eve" } }), 403, "forbidden", name);
    }
    const bob = await join(t, server, `line:${line}`, { sub: "bob" });
    await bob.ask("mark_read");
    assert.deepEqual((await call(server, "DELETE", at("bob"), { as: SERVICE })).body, { assignees: [] });
    assert.equal((await bob.closed).code, 4503);
    problem(await call(server, "GET", path(`sms:${line}:+15559999`, "/history"), { as: { sub: "bob" } }), 403, "forbidden", "after");
  });

  test("who works a line no more is closed in its conversations too", async (t) => {
    const at = "/api/lines/%2B15550101/assignees/bob";
    await call(server, "PUT", at, { as: SERVICE });
    const bob = await join(t, server, "sms:+15550101:+15559999", { sub: "bob" });
    await bob.ask("mark_read");
    await call(server, "DELETE", at, { as: SERVICE });
    const closed = await Promise.race([bob.closed, bob.frame(() => false, 3000).catch(() => ({ code: "none: still open" }))]);
    assert.equal(closed.code, 4503);
  });

  test("a line of Twilio's is found percent-encoded or not, and WhatsApp's is another", async () => {
    await call(server, "PUT", "/api/lines/%2B15550200/assignees/a", { as: SERVICE });
    await call(server, "PUT", "/api/lines/whatsapp%3A%2B15550200/assignees/b", { as: SERVICE });
    for (const [line, assignees] of [["+15550200", ["a"]], ["%2B15550200", ["a"]], ["whatsapp:+15550200", ["b"]], ["whatsapp%3a%2b15550200", ["b"]]]) {
      assert.deepEqual((await call(server, "GET", `/api/lines/${line}/assignees`, { as: ADMIN })).body, { assignees }, line);
    }
    problem(await call(server, "GET", "/api/lines/a%2Fb/assignees", { as: ADMIN }), 400, "bad_request", "slash");
    problem(await call(server, "GET", "/api/lines/a%20b/assignees", { as: ADMIN }), 400, "bad_request", "space");
  });
});

describe("names and routes", { concurrency: 4 }, () => {
  test("a room is the same percent-encoded or not", async () => {
    await post(server, "chat:lab", { event: "send_message", data: { message: "x" } });
    for (const written of ["chat:lab", "chat%3Alab", "chat%3alab", "%63hat:lab"]) {
      const { status, body } = await call(server, "GET", `/rooms/${written}/history`, { as: ADMIN });
      assert.deepEqual([status, body.offset], [200, 1], written);
    }
    for (const written of ["sms:+15551:+15552", "sms%3A%2B15551%3A%2B15552"]) {
      assert.equal((await call(server, "GET", `/rooms/${written}/history`, { as: ADMIN })).status, 200, written);
    }
  });

  test("a bad room name is a 400 on every route, an internal room a 403", async () => {
    const names = ["nokind", "Chat:1", "chat:", ":1", "chat:a%2Fb", "chat%2F1", "chat:a%20b", "chat:%00", "chat:%C3%A9", "%ff", "chat:%ff", `k:${"i".repeat(129)}`, "..%2Fchat:1", "chat:1%3Fx"];
    const routes = [["GET", ""], ["GET", "/history"], ["GET", "/presence"], ["POST", "/events"], ["GET", "/members"], ["PUT", "/members/u"], ["DELETE", "/connections"]];
    for (const name of names) {
      for (const [method, rest] of routes) {
        const response = await call(server, method, `/rooms/${name}${rest}`, { as: { ...ADMIN, rooms: ["*"] }, body: method === "POST" ? { event: "note" } : undefined });
        problem(response, 400, "bad_request", `${method} ${name}${rest}`);
      }
      assert.equal((await handshake(server, `/rooms/${name}?token=${token(ANN)}`)).status, 400, name);
    }
    for (const name of ["lobby:0", "all:chat", "all:%2A", "lobby%3A0"]) {
      for (const [method, rest] of routes) {
        const response = await call(server, method, `/rooms/${name}${rest}`, { as: { ...ADMIN, rooms: ["*"] }, body: method === "POST" ? { event: "note" } : undefined });
        const bad = name.includes("%2A"); // no room's name at all
        problem(response, bad ? 400 : 403, bad ? "bad_request" : "forbidden", `${method} ${name}${rest}`);
      }
    }
  });

  test("a room's URL without an upgrade is a 400", async () => {
    problem(await call(server, "GET", path("demo:1"), { as: ANN }), 400, "bad_request", "no upgrade");
  });

  test("an unknown route of ours is a 404, whatever the method and the token", async () => {
    for (const route of ["/api", "/api/", "/api/nothing", "/api/lines/1/nothing", "/rooms", "/rooms/demo:1/nothing", "/rooms/demo:1/history/1", "/webhooks/nothing", "/webhooks/twilio/nothing"]) {
      for (const method of ["GET", "POST"]) problem(await call(server, method, route), 404, "not_found", `${method} ${route}`);
      const navigation = await call(server, "GET", route, { headers: { accept: "text/html" } });
      problem(navigation, 404, "not_found", `navigation to ${route}`);
    }
  });

  test("a method that a route does not have is a 405 that names those it has", async () => {
    for (const [method, route, allowed] of [
      ["POST", "/health", "GET"],
      ["DELETE", "/metrics", "GET"],
      ["POST", "/rooms/demo:1", "GET"],
      ["PUT", "/rooms/demo:1/history", "GET"],
      ["POST", "/rooms/demo:1/presence", "GET"],
      ["GET", "/rooms/demo:1/events", "POST"],
      ["PUT", "/rooms/demo:1/members", "GET"],
      ["GET", "/rooms/demo:1/members/u", "PUT, DELETE"],
      ["PATCH", "/rooms/demo:1/members/u", "PUT, DELETE"],
      ["GET", "/rooms/demo:1/connections", "DELETE"],
      ["POST", "/api/lines/1/assignees", "GET"],
      ["GET", "/api/lines/1/assignees/u", "PUT, DELETE"],
      ["PUT", "/api/webhooks/twilio", "GET, POST"],
      ["DELETE", "/api/socket", "GET"],
      ["POST", "/", "GET"],
      ["POST", "/index.html", "GET"],
    ]) {
      const response = await call(server, method, route, { as: ADMIN });
      problem(response, 405, "method_not_allowed", `${method} ${route}`);
      const named = new Set(response.headers.get("allow").split(/, */));
      for (const one of allowed.split(", ")) assert.ok(named.has(one), `${method} ${route}: Allow is ${[...named]}`);
    }
  });

  test("HEAD is answered like GET, without a body", async () => {
    for (const [route, status] of [["/health", 200], ["/rooms/demo:1/history", 200], ["/rooms/demo:1/events", 405], ["/", 200], ["/api/nothing", 404]]) {
      const response = await fetch(server.url + route, { method: "HEAD", headers: bearer(ADMIN) });
      assert.deepEqual([response.status, await response.text()], [status, ""], route);
    }
  });
});

describe("health, metrics, configuration", { concurrency: 3 }, () => {
  test("health says ok by each of its names, to anyone, from any origin", async () => {
    for (const route of ["/health", "/api/socket", "/api/webhooks/twilio"]) {
      const { status, body } = await call(strict, "GET", route, { headers: { origin: "https://evil.example" } });
      assert.equal(status, 200, route);
      assert.deepEqual([body.status, body.service], ["ok", "dialtone"], route);
      assert.match(body.version, /^\d+\.\d+\.\d+/);
      assert.equal(new Date(body.timestamp).toISOString(), body.timestamp);
    }
  });

  test("without JWT_SECRET health is a 503 that names it, and every authenticated route a 503 not_configured", async () => {
    const { status, body } = await call(bare, "GET", "/health");
    assert.equal(status, 503);
    assert.match(JSON.stringify(body), /JWT_SECRET/);
    for (const [method, route] of [["GET", "/rooms/demo:1/history"], ["POST", "/rooms/demo:1/events"], ["GET", "/rooms/demo:1"], ["GET", "/metrics"], ["PUT", "/api/lines/1/assignees/u"]]) {
      problem(await call(bare, method, route, { as: ADMIN }), 503, "not_configured", `${method} ${route}`);
      problem(await call(bare, method, route), 503, "not_configured", `${method} ${route} without a token`);
    }
    const refusal = await handshake(bare, `/rooms/demo:1?token=${token(ANN)}`);
    assert.deepEqual([refusal.status, refusal.body.code], [503, "not_configured"]);
    problem(await call(bare, "POST", "/webhooks/twilio/inbound"), 503, "not_configured", "the webhook");
    assert.equal((await fetch(bare.url + "/")).status, 200, "the page is there");
  });

  test("a bad variable is a 503 that names it and not its value", async () => {
    const cases = [
      { JWT_SECRET: "s3cr3t-but-short" },
      { JWT_SECRET_PREVIOUS: "0ld-but-short" },
      { JWT_PUBLIC_KEYS: '[{"kty":"oct","k":"c2VjcmV0"}]' },
      { JWT_PUBLIC_KEYS: "not-json" },
      { ALLOWED_ORIGINS: "https://app.example/a-path" },
      { OPEN_KINDS: "ticket,user" },
      { PUBLIC_BASE_URL: "dialtone.example" },
      { TWILIO_ACCOUNT_SID: "ACnot-a-sid" },
      { TWILIO_AUTH_TOKEN: "has a-space" },
      { HISTORY_MAX_MESSAGES: "-1000" },
      { MAX_PAYLOAD_BYTES: "1e6" },
    ];
    for (let from = 0; from < cases.length; from += 3) {
      await Promise.all(
        cases.slice(from, from + 3).map(async (vars) => {
          const [[name, value]] = Object.entries(vars);
          const broken = await serve(lifetime, { vars });
          const health = await call(broken, "GET", "/health");
          const room = await call(broken, "GET", "/rooms/demo:1/history", { as: ADMIN });
          assert.equal(health.status, 503, name);
          problem(room, 503, "not_configured", name);
          for (const text of [JSON.stringify(health.body), JSON.stringify(room.body), broken.logs.join("")]) {
            assert.ok(!text.includes(value), `${name}: its value is in ${text}`);
          }
          assert.match(JSON.stringify(health.body), new RegExp(name));
          assert.match(room.body.detail, new RegExp(name));
          await broken.stop();
        }),
      );
    }
  });

  test("metrics are Prometheus' text and count what happens", async () => {
    const read = async () => {
      const { status, headers, body } = await call(server, "GET", "/metrics", { as: SERVICE });
      assert.equal(status, 200);
      assert.match(headers.get("content-type"), /^text\/plain/);
      return Object.fromEntries([...body.matchAll(/^(dialtone_\S+) (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]));
    };
    const before = await read();
    for (const cause of ["constructor", "fetch", "message", "close", "error", "alarm", "timer"]) {
      assert.equal(typeof before[`dialtone_wakes_total{cause="${cause}"}`], "number", cause);
    }
    const name = room();
    for (const id of ["1", "2", "2"]) await post(server, name, { event: "note", id });
    const now = await read();
    // Other tests run on this server, too.
    assert.ok(now.dialtone_publications_total >= before.dialtone_publications_total + 2);
    assert.ok(now.dialtone_duplicates_total >= before.dialtone_duplicates_total + 1);
    assert.ok(now['dialtone_wakes_total{cause="constructor"}'] > before['dialtone_wakes_total{cause="constructor"}']);
  });
});

describe("origins", { concurrency: 4 }, () => {
  const APP = "https://app.example";

  test("an allowed origin gets its CORS headers on answers and on errors alike", async () => {
    for (const [route, options, status] of [
      [path("demo:1", "/history"), { as: ADMIN }, 200],
      [path("demo:1", "/history"), {}, 401],
      [path("demo:1", "/history"), { as: { sub: "eve" } }, 403],
      [path("demo:1", "/history?limit=0"), { as: ADMIN }, 400],
      [path("nokind", "/history"), { as: ADMIN }, 400],
      ["/api/nothing", { as: ADMIN }, 404],
      [path("demo:1", "/events"), { as: ADMIN }, 405],
    ]) {
      for (const origin of [APP, "http://localhost:5173"]) {
        const response = await call(strict, "GET", route, { ...options, headers: { origin } });
        assert.equal(response.status, status, route);
        assert.equal(response.headers.get("access-control-allow-origin"), origin, `${status} ${route}`);
        assert.match(response.headers.get("vary") ?? "", /Origin/i, `${status} ${route}`);
        assert.equal(response.headers.get("access-control-allow-credentials"), null);
      }
    }
  });

  test("a preflight of an allowed origin says what it may send, without a token", async () => {
    for (const route of [path("demo:1", "/events"), path("demo:1", "/members/u"), "/api/lines/1/assignees", "/metrics"]) {
      const headers = { origin: APP, "access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type" };
      const response = await call(strict, "OPTIONS", route, { headers });
      assert.deepEqual([response.status, response.body], [204, ""], route);
      assert.equal(response.headers.get("access-control-allow-origin"), APP);
      const list = (name) => response.headers.get(name).toLowerCase().split(/, */);
      for (const method of ["get", "post", "put", "delete"]) assert.ok(list("access-control-allow-methods").includes(method), method);
      for (const header of ["authorization", "content-type"]) assert.ok(list("access-control-allow-headers").includes(header), header);
    }
  });

  test("another origin is refused with 403 origin_not_allowed: a request, a preflight, a WebSocket", async () => {
    for (const origin of ["https://evil.example", "https://app.example.evil", "http://app.example", "https://app.example:8443", "https://x.app.example", "null", "http://localhost:5174"]) {
      const answer = await call(strict, "GET", path("demo:1", "/history"), { as: ADMIN, headers: { origin } });
      problem(answer, 403, "origin_not_allowed", `GET from ${origin}`);
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
      const preflight = await call(strict, "OPTIONS", path("demo:1", "/events"), { headers: { origin, "access-control-request-method": "POST" } });
      problem(preflight, 403, "origin_not_allowed", `OPTIONS from ${origin}`);
      const refusal = await handshake(strict, `/rooms/demo:1?token=${token(ANN)}`, { origin });
      assert.deepEqual([refusal.status, refusal.body?.code], [403, "origin_not_allowed"], `WebSocket from ${origin}`);
    }
  });

  test("no origin, the server's own and the allowed ones open a WebSocket", async () => {
    for (const [to, headers] of [
      [strict, {}],
      [strict, { origin: strict.url }],
      [strict, { origin: APP }],
      [strict, { origin: "HTTPS://APP.example:443" }],
      [server, { origin: server.url }],
    ]) {
      assert.equal((await handshake(to, `/rooms/demo:1?token=${token(ANN)}`, headers)).status, 101, JSON.stringify(headers));
    }
    assert.equal((await handshake(server, `/rooms/demo:1?token=${token(ANN)}`, { origin: APP })).status, 403, "none is allowed by default");
  });

  test("the server's own origin gets no CORS headers and needs none", async () => {
    const { status, headers } = await call(strict, "GET", path("demo:1", "/history"), { as: ADMIN, headers: { origin: strict.url } });
    assert.deepEqual([status, headers.get("access-control-allow-origin")], [200, null]);
  });
});

describe("headers that look internal", () => {
  test("internal headers from a client change nothing", async (t) => {
    const connect = JSON.stringify({ caller: { claims: { user: "root", role: "admin", expires_at: 9e15 }, access: "full" } });
    const headers = { "x-dialtone-connect": connect, "x-dialtone-caller": connect, "x-dialtone-peer": "1", "cf-ray": "x", "x-forwarded-host": "evil.example", "cf-worker": "x" };
    const name = room();
    problem(await call(server, "GET", path(name, "/history"), { headers }), 401, "unauthorized", "no token");
    problem(await call(server, "GET", path(name, "/history"), { as: { sub: "eve" }, headers }), 403, "forbidden", "no grant");
    problem(await call(server, "PUT", path(name, "/members/eve"), { as: { sub: "eve" }, headers }), 403, "forbidden", "no role");
    assert.equal((await handshake(server, path(name), headers)).status, 401);
    assert.equal((await handshake(server, `${path(name)}?token=${token({ sub: "eve" })}`, headers)).status, 403);
    const ann = await join(t, server, name, ANN, { headers });
    assert.equal(ann.frames[0].data.userId, "ann");
    assert.deepEqual((await post(server, name, { event: "note" }, { headers })).body, { offset: 1, duplicate: false });
    assert.equal((await history(server, name)).body.messages[0].sender, "ann");
  });
});

describe("the page", { concurrency: 4 }, () => {
  const NAVIGATION = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };

  test("/ is the page, its files have their types, and nothing is sniffed", async () => {
    for (const [route, type] of [["/", /^text\/html/], ["/style.css", /^text\/css/], ["/app.js", /^text\/javascript/]]) {
      const response = await fetch(server.url + route);
      assert.equal(response.status, 200, route);
      assert.match(response.headers.get("content-type"), type, route);
      assert.equal(response.headers.get("x-content-type-options"), "nosniff", route);
      await response.arrayBuffer();
    }
  });

  test("an unknown path is the page for a navigation and a 404 for anything else", async () => {
    const home = await (await fetch(server.url + "/")).text();
    for (const route of ["/inbox/42", "/nothing", "/nothing.js", "/a/b/c?d=e"]) {
      const page = await call(server, "GET", route, { headers: NAVIGATION });
      assert.deepEqual([page.status, page.body], [200, home], route);
      for (const accept of ["*/*", "application/json", "image/png,*/*"]) {
        problem(await call(server, "GET", route, { headers: { accept } }), 404, "not_found", `${route} for ${accept}`);
      }
    }
  });

  test("nothing outside public/ is served", async () => {
    for (const target of ["/../wrangler.toml", "/..%2fwrangler.toml", "/%2e%2e/wrangler.toml", "/..\\wrangler.toml", "//etc/passwd", "/.dev.vars", "/%2e%2e%2f.dev.vars", "/wrangler.toml", "/build/index.js"]) {
      const { status, text } = await raw(server, "GET", target);
      assert.ok([400, 404].includes(status), `${target}: ${status}`);
      assert.ok(!/JWT_SECRET|compatibility_date|root:/.test(text), target);
      assert.ok(!text.includes(JWT_SECRET));
    }
  });
});
