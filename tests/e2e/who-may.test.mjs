// Who may hear what (CONTRACT, DESIGN §4): members, grants, open kinds, admins, one's own user room; and who is removed is
// out at once, on every lobby.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ADMIN, call, Client, closedByServer, cutWhile, emitted, ioConnected, join, onEachLobby, refused, serve, SERVICE, token } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 };
const LOBBIES = 4;

/** Four lobbies. */
let server;
/** Opens tickets, jobs and brands to everyone. */
let open;
const ends = [];
let count = 0;

const user = (name) => `${name}-${++count}`;
const room = (kind) => `${kind}:${++count}`;
const kindOf = (name) => name.split(":")[0];
const idOf = (name) => name.slice(name.indexOf(":") + 1);
const members = (name, method, sub) => call(server, method, `/rooms/${encodeURIComponent(name)}/members/${sub}`, { as: SERVICE });

/** Each kind's namespace, and what its clients send to join. */
const JOIN = {
  demo: { namespace: "/", event: "join", data: (name) => name },
  ticket: { namespace: "/", event: "join", data: (name) => ({ room: name }) },
  chat: { namespace: "/chat", event: "join_chat", data: (name) => ({ chatId: idOf(name) }) },
  job: { namespace: "/jobs", event: "subscribe-job", data: idOf },
  brand: { namespace: "/analytics", event: "subscribe-brand", data: idOf },
  user: { namespace: "/notifications", event: "subscribe-user", data: idOf },
};
const joinRoom = (client, name) => client.ask(JOIN[kindOf(name)].event, JOIN[kindOf(name)].data(name));
const namespaceOf = (name) => JOIN[kindOf(name)].namespace;

/** `"ok"`, or the code of the refusal, of a Socket.IO client that joins; a plain WebSocket must be told the same. */
async function mayJoin(t, to, name, claims) {
  const client = await ioConnected(t, to, claims, { namespace: namespaceOf(name) });
  const ack = await joinRoom(client, name);
  const plain = new Client(`${to.ws}/rooms/${encodeURIComponent(name)}?token=${token(claims)}`);
  t.after(() => plain.socket.terminate());
  const opened = await plain.opened().then(() => "ok", ({ body }) => body.code);
  return [ack.ok ? "ok" : ack.error.code, opened];
}

before(async () => {
  const lifetime = { after: (end) => ends.push(end) };
  [server, open] = await Promise.all([serve(lifetime, { vars: { ...ROOMY, LOBBIES } }), serve(lifetime, { vars: { ...ROOMY, OPEN_KINDS: "ticket,job,brand" } })]);
});
after(() => Promise.all(ends.map((end) => end())));

describe("who may join", { concurrency: 6, timeout: 120_000 }, () => {
  for (const kind of ["demo", "ticket", "chat", "job", "brand"]) {
    test(`a ${kind} is joined with a grant, to send or to read, or by its members, and by nobody else`, async (t) => {
      const [name, member] = [room(kind), user("member")];
      assert.equal((await members(name, "PUT", member)).status, 200);
      for (const [claims, outcome] of [
        [{ sub: "x" }, "forbidden"],
        [{ sub: "x", role: "customer" }, "forbidden"],
        [{ sub: "x", rooms: [`${name}0`, `${kind}x:*`] }, "forbidden"],
        [{ sub: "x", rooms: [name] }, "ok"],
        [{ sub: "x", rooms: [`${kind}:*`] }, "ok"],
        [{ sub: "x", rooms_read: [`${kind}:*`] }, "ok"],
        [{ sub: member }, "ok"],
        [ADMIN, kind === "chat" ? "ok" : "forbidden"],
        [{ sub: "l", role: "lsm" }, kind === "chat" ? "ok" : "forbidden"],
      ]) {
        assert.deepEqual(await mayJoin(t, server, name, claims), [outcome, outcome], JSON.stringify(claims));
      }
    });
  }

  test("OPEN_KINDS opens those kinds to anyone with a token, and no other", async (t) => {
    for (const [kind, outcome] of [["ticket", "ok"], ["job", "ok"], ["brand", "ok"], ["chat", "forbidden"], ["demo", "forbidden"]]) {
      assert.deepEqual(await mayJoin(t, open, room(kind), { sub: "anybody" }), [outcome, outcome], kind);
    }
  });

  test("who is made a member may join at once, with the token and the socket they have", async (t) => {
    for (const kind of ["ticket", "chat", "job", "brand"]) {
      const [name, sub] = [room(kind), user("guest")];
      const guest = await ioConnected(t, server, { sub }, { namespace: namespaceOf(name) });
      assert.equal((await joinRoom(guest, name)).error?.code, "forbidden", kind);
      await members(name, "PUT", sub);
      assert.equal((await joinRoom(guest, name)).ok, true, kind);
      await emitted(server, { room: name, event: "note", data: 1 });
      assert.equal(await guest.event("note"), 1);
    }
  });

  test("one's own user room is one's own: on `/` from the start, on /notifications by subscribe-user, elsewhere not at all", async (t) => {
    const sub = user("ann");
    const clients = {};
    for (const namespace of ["/", "/chat", "/jobs", "/notifications", "/analytics"]) clients[namespace] = await ioConnected(t, server, { sub }, { namespace });
    const eve = await ioConnected(t, server, { sub: "eve", rooms: ["*"], role: "admin" });
    assert.equal((await eve.ask("join", `user:${sub}`)).error?.code, "forbidden", "whatever the grant, whatever the role");
    assert.equal((await joinRoom(clients["/notifications"], `user:${sub}`)).ok, true);
    await emitted(server, { room: `user:${sub}`, event: "note", data: "/" });
    await emitted(server, { namespace: "/notifications", room: `user:${sub}`, event: "note", data: "/notifications" });
    for (const namespace of ["/", "/notifications"]) assert.equal(await clients[namespace].event("note"), namespace);
    for (const namespace of Object.keys(clients)) await emitted(server, { namespace, event: "fence", data: sub });
    for (const [namespace, client] of Object.entries(clients)) {
      await client.event("fence", (data) => data === sub);
      assert.deepEqual(client.all("note"), ["/", "/notifications"].filter((where) => where === namespace), namespace);
    }
    assert.deepEqual(eve.all("note"), []);
  });

  test("users whose ids a room's name cannot hold as they are have each a room of their own, too", async (t) => {
    for (const [one, two] of [["auth0|7", "auth0_7"], ["张三", "李四"], ["ann b", "ann_b"], ["a/b", "a|b"]]) {
      const [first, second] = [await ioConnected(t, server, { sub: one }), await ioConnected(t, server, { sub: two })];
      const body = { type: "alert", title: "private", message: `for ${one}`, severity: "info" };
      assert.equal((await call(server, "POST", `/api/users/${encodeURIComponent(one)}/notifications`, { as: SERVICE, body })).status, 200, one);
      const unread = async (sub) => (await call(server, "GET", "/api/notifications?unread=1", { as: { sub } })).body.unread;
      assert.deepEqual([await unread(one), await unread(two)], [1, 0], `${two} reads what is ${one}'s`);
      assert.equal((await first.ask("message_sent", { phoneNumberId: "1", to: "2", body: "mine", timestamp: "2026-01-05T10:00:00.000Z" })).ok, true);
      await first.event("message_updated");
      await emitted(server, { event: "fence", data: one });
      await second.event("fence", (data) => data === one);
      assert.deepEqual(second.all("message_updated"), [], `${two} hears what is ${one}'s`);
    }
  });

  test("an admin is in admins:all and admin:{id} from the start, and hears what is emitted there; nobody else does", async (t) => {
    const sub = user("root");
    const [root, ann] = [await ioConnected(t, server, { sub, role: "admin" }), await ioConnected(t, server, { sub: "ann", rooms: ["*"] })];
    for (const [name, data] of [["admins:all", `all ${sub}`], [`admin:${sub}`, "one"]]) {
      await emitted(server, { room: name, event: "alarm", data });
      await root.event("alarm", (found) => found === data);
      assert.equal((await ann.ask("join", name)).error?.code, "forbidden", name);
    }
    await emitted(server, { event: "fence", data: sub });
    await ann.event("fence", (data) => data === sub);
    assert.deepEqual(ann.all("alarm"), []);
  });

  test("a namespace serves its own kinds alone: another's room is wrong_namespace, an internal one forbidden", async (t) => {
    const ann = await ioConnected(t, server, { sub: "ann", rooms: ["*"] });
    for (const kind of ["chat", "job", "brand"]) assert.equal((await ann.ask("join", room(kind))).error?.code, "wrong_namespace", kind);
    for (const name of ["lobby:0", "all:chat"]) assert.equal((await ann.ask("join", name)).error?.code, "forbidden", name);
    for (const [namespace, event] of [["/jobs", "subscribe-job"], ["/analytics", "subscribe-brand"]]) {
      const client = await ann.namespace(namespace);
      for (const bad of [[], [{}], [null], ["no id"], [""], [["1"]]]) {
        const answer = await client.ask(event, ...bad);
        assert.deepEqual([answer.ok, answer.error?.code], [false, "invalid_payload"], `${event} ${JSON.stringify(bad)}`);
      }
      assert.equal((await client.ask("join", room("demo"))).error?.code, "unknown_event");
      client.socket.emit(event, {});
      assert.deepEqual([(await client.event("error")).code, (await client.event("error")).event], ["invalid_payload", event]);
    }
  });

  test("a job's id may be text, a number, or {jobId}, a brand's likewise; who may not gets `forbidden`, as `error` without a callback", async (t) => {
    for (const [namespace, event, field, kind] of [["/jobs", "subscribe-job", "jobId", "job"], ["/analytics", "subscribe-brand", "brandId", "brand"]]) {
      const id = 1_000_000 + ++count;
      const client = await ioConnected(t, server, { sub: "ann", rooms: [`${kind}:${id}`] }, { namespace });
      for (const data of [String(id), id, { [field]: id }, { [field]: String(id) }]) {
        const ack = await client.ask(event, data);
        assert.deepEqual({ ...ack, epoch: typeof ack.epoch }, { ok: true, room: `${kind}:${id}`, epoch: "string", offset: 0 }, JSON.stringify(data));
      }
      assert.equal(String((await client.event("subscribed"))[field]), String(id));
      client.socket.emit(event, "another");
      assert.deepEqual([(await client.event("error")).code, (await client.event("error")).event], ["forbidden", event]);
      assert.deepEqual([client.all("connected"), client.all("presence_state"), client.all("presence_diff")], [[], [], []]);
    }
  });

  test("clients publish no job's status, no brand's event, no notification: not by socket, not by HTTP", async (t) => {
    for (const [name, event] of [[room("job"), "job:status-changed"], [room("brand"), "analytics:sync-started"]]) {
      const ann = await ioConnected(t, server, { sub: "ann", rooms: ["*"] }, { namespace: namespaceOf(name) });
      assert.equal((await joinRoom(ann, name)).ok, true);
      for (const sent of [event, "send", "note"]) assert.equal((await ann.ask(sent, { room: name, event, data: {} })).error?.code, "unknown_event", sent);
      const answer = await call(server, "POST", `/rooms/${encodeURIComponent(name)}/events`, { as: { sub: "ann", rooms: ["*"] }, body: { event, data: {} } });
      assert.ok(answer.status >= 400 && answer.status < 500, `${name}: ${answer.status}`);
      const plain = await join(t, server, name, { sub: "ann", rooms: ["*"] });
      assert.ok((await plain.ask(event, {})).error, name);
    }
    refused(await call(server, "POST", "/api/emit", { as: { sub: "ann", rooms: ["*"] }, body: { room: "job:1", event: "note" } }), 403, "forbidden");
  });
});

describe("who is removed", { concurrency: 3, timeout: 120_000 }, () => {
  for (const kind of ["ticket", "chat", "job", "brand"]) {
    test(`from a ${kind} is out at once on every lobby, at home in the room, on a plain socket, and after a cut; a bystander is not`, async (t) => {
      const [name, sub] = [room(kind), user("guest")];
      const namespace = namespaceOf(name);
      await members(name, "PUT", sub);
      // One of the guest's and one of somebody else's on each lobby: what the bystander hears came past the guest.
      const guests = await onEachLobby(t, server, LOBBIES, { sub }, { namespace });
      const bystanders = await onEachLobby(t, server, LOBBIES, { sub: user("by"), rooms: [name] }, { namespace });
      for (const [claims, list] of [[{ sub }, guests], [{ sub: user("by"), rooms: [name] }, bystanders]]) list.push(await ioConnected(t, server, claims, { namespace, query: { room: name } }));
      assert.equal(new Set(guests.map(({ home }) => home)).size, LOBBIES + 1);
      for (const client of [...guests, ...bystanders]) assert.equal((await joinRoom(client, name)).ok, true, client.home);
      const plain = await join(t, server, name, { sub });
      await emitted(server, { room: name, event: "note", data: "before" });
      for (const client of [...guests, ...bystanders]) await client.event("note");

      const [unlucky] = guests;
      await cutWhile(unlucky, async () => {
        assert.equal((await members(name, "DELETE", sub)).status, 200);
        await emitted(server, { room: name, event: "note", data: "after" });
        for (const client of bystanders) await client.event("note", (data) => data === "after");
      });
      assert.equal((await closedByServer(plain)).code, 4503);
      await emitted(server, { room: name, event: "note", data: "later" });
      for (const client of bystanders) await client.event("note", (data) => data === "later");
      for (const client of guests) assert.deepEqual(client.all("note"), ["before"], client.home);
      for (const client of guests) {
        const here = client.socket.connected ? client : await ioConnected(t, server, { sub }, { namespace });
        assert.equal((await joinRoom(here, name)).error?.code, "forbidden", client.home);
      }
      await members(name, "PUT", sub);
      const again = await ioConnected(t, server, { sub }, { namespace });
      assert.equal((await joinRoom(again, name)).ok, true, "and may be a member again");
    });
  }

  test("from one room is in the others still", async (t) => {
    const [job, other, sub] = [room("job"), room("job"), user("guest")];
    for (const name of [job, other]) await members(name, "PUT", sub);
    const guest = await ioConnected(t, server, { sub }, { namespace: "/jobs" });
    for (const name of [job, other]) assert.equal((await joinRoom(guest, name)).ok, true);
    await members(job, "DELETE", sub);
    await emitted(server, { rooms: [job, other], event: "note", data: 1 });
    await emitted(server, { room: job, event: "note", data: "only in the room that is closed" });
    await emitted(server, { room: other, event: "note", data: 2 });
    await guest.event("note", (data) => data === 2);
    assert.deepEqual(guest.all("note"), [1, 2]);
  });

  test("DELETE connections disconnects that user's sockets of /jobs, /notifications and /analytics on every lobby, and nobody else's", async (t) => {
    const sub = user("bob");
    for (const name of [room("job"), room("brand"), `user:${sub}`]) {
      const namespace = namespaceOf(name);
      const tabs = await onEachLobby(t, server, LOBBIES, { sub, rooms: ["*"] }, { namespace });
      const other = await ioConnected(t, server, ADMIN, { namespace });
      const wanted = kindOf(name) === "user" ? [...tabs, other] : tabs;
      for (const client of wanted) assert.equal((await joinRoom(client, name)).ok, true, name);
      const gone = tabs.map((tab) => tab.disconnected());
      assert.equal((await call(server, "DELETE", `/rooms/${encodeURIComponent(name)}/connections?user=${sub}`, { as: SERVICE })).status, 200);
      await Promise.all(gone);
      assert.ok(other.socket.connected);
    }
  });
});
