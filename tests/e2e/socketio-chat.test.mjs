// Socket.IO on `/chat` (CONTRACT "`/chat`"): stock clients, old and new, over each transport.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { call, crash, freePort, history, ioConnected, join, persistDir, serve, SERVICE, sleep, STOCK_CLIENTS } from "./harness.mjs";

const ROOMY = { RATE_EVENTS_PER_SECOND: 1_000, RATE_BURST: 10_000 };
const TRANSPORTS = [["websocket"], ["polling"], ["polling", "websocket"]];
const VARIANTS = Object.keys(STOCK_CLIENTS).flatMap((version) => TRANSPORTS.map((transports) => ({ version, transports })));

let server;
const ends = [];
let count = 0;

const newChat = () => `chat-${++count}`;
/** Someone who may do everything in every room. */
const person = (sub, more) => ({ sub, rooms: ["*"], ...more });

const onChat = (t, to, claims, options) => ioConnected(t, to, claims, { ...options, namespace: "/chat" });

/** Connected and in the chat, past its `joined_chat`. */
async function enter(t, to, chatId, claims, options) {
  const client = await onChat(t, to, claims, options);
  const ack = await client.ask("join_chat", { chatId });
  assert.equal(ack.ok, true, JSON.stringify(ack));
  await client.event("joined_chat", (data) => data.chatId === chatId);
  return client;
}

/** All of `clients` have everything that `sender` caused in the chat until now. */
async function fence(sender, clients, chatId) {
  const message = `fence ${++count}`;
  assert.equal((await sender.ask("send_message", { chatId, message })).ok, true);
  for (const client of clients) await client.event("new_message", (data) => data.message === message);
}

async function refusedBy(client, code, event, ...args) {
  const answer = await client.ask(event, ...args);
  assert.deepEqual([answer.ok, answer.error?.code, typeof answer.error?.message], [false, code, "string"], `${event} ${JSON.stringify(args).slice(0, 200)}: ${JSON.stringify(answer)}`);
}

before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: ROOMY });
});
after(() => Promise.all(ends.map((end) => end())));

for (const variant of VARIANTS) {
  const { version, transports } = variant;
  describe(`/chat with socket.io-client ${version} over ${transports.join(", then ")}`, { concurrency: 6, timeout: 120_000 }, () => {
    test("a client that connects to the chat gets `connected` with a message and its user id", async (t) => {
      const ann = await onChat(t, server, person(42), variant);
      const { message, userId } = await ann.event("connected");
      assert.deepEqual([typeof message, userId], ["string", 42]);
    });

    test("join_chat is answered joined_chat, and the others hear user_joined; leave_chat likewise", async (t) => {
      const chatId = newChat();
      const ann = await enter(t, server, chatId, person("ann"), variant);
      const { message, ...joined } = await ann.event("joined_chat");
      assert.deepEqual([typeof message, joined], ["string", { chatId }]);
      const bob = await enter(t, server, chatId, person(7), variant);
      assert.deepEqual(await ann.event("user_joined"), { userId: 7, chatId });
      assert.equal((await bob.ask("leave_chat", { chatId })).ok, true);
      assert.deepEqual(await bob.event("left_chat"), { chatId });
      assert.deepEqual(await ann.event("user_left"), { userId: 7, chatId });
      assert.deepEqual([ann.all("user_joined").length, bob.all("user_joined"), bob.all("user_left")], [1, [], []]);
      await refusedBy(bob, "not_in_room", "send_message", { chatId, message: "hi" });
    });

    test("send_message reaches all, the sender too, as new_message with the seed's fields, and is in the history", async (t) => {
      const chatId = newChat();
      const ann = await enter(t, server, chatId, person(7, { role: "customer" }), variant);
      const bob = await enter(t, server, chatId, person("bob", { role: "provider" }), variant);
      const ack = await ann.ask("send_message", { chatId, message: "hi é💬", message_type: "image" });
      assert.deepEqual({ ...ack, id: typeof ack.id }, { ok: true, id: "string", offset: 1, duplicate: false });
      for (const client of [ann, bob]) {
        const { created_at, ...rest } = await client.event("new_message");
        assert.equal(new Date(created_at).toISOString(), created_at);
        assert.deepEqual(rest, { id: ack.id, chatId, sender_type: "customer", sender_id: 7, message: "hi é💬", message_type: "image" });
      }
      const second = await bob.ask("send_message", { chatId, message: "plain" });
      assert.notEqual(second.id, ack.id);
      const answer = await ann.event("new_message", ({ id }) => id === second.id);
      assert.deepEqual([answer.message_type, answer.sender_type, answer.sender_id], ["text", "provider", "bob"]);
      const { messages } = await history(server, `chat:${chatId}`);
      assert.deepEqual(messages.map(({ event, data }) => [event, data.id]), [["new_message", ack.id], ["new_message", second.id]]);
    });

    test("the same clientMessageId again gets the same id and sends nothing, from another tab too", async (t) => {
      const chatId = newChat();
      const [ann, tab] = [await enter(t, server, chatId, person("ann"), variant), await enter(t, server, chatId, person("ann"), variant)];
      const bob = await enter(t, server, chatId, person("bob"), variant);
      const sent = { chatId, message: "once", clientMessageId: "m-1" };
      const first = await ann.ask("send_message", sent);
      assert.equal(first.duplicate, false);
      for (const client of [ann, tab]) assert.deepEqual(await client.ask("send_message", sent), { ...first, duplicate: true });
      const other = await bob.ask("send_message", sent);
      assert.deepEqual([other.duplicate, other.id === first.id], [false, false], "another user's");
      await fence(bob, [ann, bob], chatId);
      assert.deepEqual(bob.all("new_message").map(({ sender_id }) => sender_id), ["ann", "bob", "bob"]);
    });

    test("typing in a chat reaches the others as user_typing, and is over by itself", async (t) => {
      const chatId = newChat();
      const ann = await enter(t, server, chatId, person("ann"), variant);
      const bob = await enter(t, server, chatId, person("bob"), variant);
      assert.equal((await ann.ask("typing", { chatId, isTyping: true })).ok, true);
      assert.deepEqual(await bob.event("user_typing"), { userId: "ann", isTyping: true, chatId });
      await bob.event("user_typing", ({ isTyping }) => isTyping === false);
      assert.deepEqual(ann.all("user_typing"), []);
    });

    test("mark_read in a chat becomes messages_read with the user and the chat", async (t) => {
      const chatId = newChat();
      const ann = await enter(t, server, chatId, person("ann"), variant);
      const bob = await enter(t, server, chatId, person("bob"), variant);
      await bob.ask("send_message", { chatId, message: "read me" });
      assert.equal((await ann.ask("mark_read", { chatId })).ok, true);
      const read = await bob.event("messages_read");
      assert.deepEqual([read.userId, read.chatId, "room" in read], ["ann", chatId, false]);
    });

    test("user_joined and user_left are by user: the first tab in, the last one out", async (t) => {
      const chatId = newChat();
      const watcher = await enter(t, server, chatId, person("watcher"), variant);
      const one = await enter(t, server, chatId, person("bob"), variant);
      const two = await enter(t, server, chatId, person("bob"), variant);
      await one.ask("leave_chat", { chatId });
      await fence(two, [watcher], chatId);
      assert.deepEqual([watcher.all("user_joined").length, watcher.all("user_left").length], [1, 0]);
      await two.ask("leave_chat", { chatId });
      assert.deepEqual(await watcher.event("user_left"), { userId: "bob", chatId });
    });

    test("a disconnect leaves every chat, once the grace is over", async (t) => {
      const [first, second] = [newChat(), newChat()];
      const watcher = await enter(t, server, first, person("watcher"), variant);
      await watcher.ask("join_chat", { chatId: second });
      const bob = await enter(t, server, first, person("bob"), variant);
      await bob.ask("join_chat", { chatId: second });
      const start = Date.now();
      bob.close();
      for (const chatId of [first, second]) assert.equal((await watcher.event("user_left", (data) => data.chatId === chatId, 12_000)).userId, "bob");
      const took = Date.now() - start;
      assert.ok(took > 4_000, `${took} ms`);
      assert.deepEqual(watcher.all("user_left").length, 2);
    });

    test("a chat's bad messages are refused with their code, and it goes on", async (t) => {
      const chatId = newChat();
      const ann = await enter(t, server, chatId, person("ann"), variant);
      const nobody = await onChat(t, server, { sub: "nobody" }, variant);
      for (const data of [
        { chatId, message: "" },
        { chatId, message: " \n\t\u00a0" },
        { chatId, message: "x".repeat(10_001) },
        { chatId, message: "hi", message_type: "video" },
        { chatId, message: 7 },
        { chatId },
        { message: "no chat" },
        { chatId: "no chat's id", message: "hi" },
        "text",
        null,
      ]) {
        await refusedBy(ann, "invalid_payload", "send_message", data);
      }
      await refusedBy(ann, "invalid_payload", "join_chat", {});
      await refusedBy(ann, "invalid_payload", "typing", { chatId, isTyping: 1 });
      await refusedBy(ann, "not_in_room", "send_message", { chatId: newChat(), message: "hi" });
      await refusedBy(ann, "unknown_event", "send", { room: `chat:${chatId}`, event: "note", data: 1 });
      await refusedBy(ann, "unknown_event", "new_message", { chatId, message: "forged" });
      await refusedBy(nobody, "forbidden", "join_chat", { chatId });
      const longest = await ann.ask("send_message", { chatId, message: "é".repeat(10_000) });
      assert.deepEqual([longest.ok, longest.offset], [true, 1]);
    });

    test("a chat's plain WebSockets and Socket.IO clients are one chat", async (t) => {
      const chatId = newChat();
      const ann = await enter(t, server, chatId, person("ann"), variant);
      const plain = await join(t, server, `chat:${chatId}`, person("bob"));
      assert.deepEqual(await ann.event("user_joined"), { userId: "bob", chatId });
      const ack = await plain.ask("send_message", { message: "from plain" });
      assert.equal((await ann.event("new_message")).id, ack.id);
      const { id } = await ann.ask("send_message", { chatId, message: "from Socket.IO" });
      const heard = await plain.frame((frame) => frame.event === "new_message" && frame.offset === 2);
      assert.deepEqual([heard.data.id, heard.data.chatId, heard.data.sender_id], [id, chatId, "ann"]);
      await ann.ask("typing", { chatId, isTyping: true });
      assert.equal((await plain.event("user_typing")).data.userId, "ann");
    });
  });
}

describe("/chat whatever the client", { concurrency: 6, timeout: 120_000 }, () => {
  test("the same clientMessageId gets the same id after kill -9 too", async (t) => {
    const [persist, port, chatId] = [persistDir(), await freePort(), newChat()];
    const sent = { chatId, message: "once", clientMessageId: "m-1" };
    const before = await serve(t, { persist, port });
    const first = await (await enter(t, before, chatId, person("ann"))).ask("send_message", sent);
    assert.equal(first.duplicate, false);
    await crash(before);
    const next = await serve(t, { persist, port });
    const ann = await enter(t, next, chatId, person("ann"));
    const bob = await enter(t, next, chatId, person("bob"));
    assert.deepEqual(await ann.ask("send_message", sent), { ...first, duplicate: true });
    await fence(ann, [bob], chatId);
    assert.equal(bob.all("new_message").length, 1, "the fence alone");
    assert.equal((await history(next, `chat:${chatId}`)).messages.length, 2);
  });

  test("members, grants and the roles admin and lsm open a chat, and nothing else does", async (t) => {
    const chatId = newChat();
    const member = `member-${++count}`;
    await call(server, "PUT", `/rooms/${encodeURIComponent(`chat:${chatId}`)}/members/${member}`, { as: SERVICE });
    for (const claims of [{ sub: member }, { sub: "granted", rooms: [`chat:${chatId}`] }, { sub: "a", role: "admin" }, { sub: "l", role: "lsm" }]) await enter(t, server, chatId, claims);
    for (const claims of [{ sub: "stranger" }, { sub: "p", role: "provider" }, { sub: "other", rooms: [`chat:${chatId}x`] }]) {
      await refusedBy(await onChat(t, server, claims), "forbidden", "join_chat", { chatId });
    }
  });

  test("a reconnect within the grace is neither a user_left nor a user_joined", async (t) => {
    const chatId = newChat();
    const watcher = await enter(t, server, chatId, person("watcher"));
    const bob = await enter(t, server, chatId, person("bob"));
    bob.close();
    await sleep(500);
    const again = await enter(t, server, chatId, person("bob"));
    await sleep(7_000);
    await fence(again, [watcher], chatId);
    assert.deepEqual([watcher.all("user_joined").length, watcher.all("user_left").length], [1, 0]);
  });

  test("joining a chat twice is joining it once", async (t) => {
    const chatId = newChat();
    const watcher = await enter(t, server, chatId, person("watcher"));
    const bob = await enter(t, server, chatId, person("bob"));
    assert.equal((await bob.ask("join_chat", { chatId })).ok, true);
    await fence(watcher, [bob], chatId);
    assert.deepEqual([watcher.all("user_joined").length, bob.all("new_message").length], [1, 1]);
  });
});
