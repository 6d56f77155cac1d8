// SOCKET_IO_PARSER=msgpack: stock clients with socket.io-msgpack-parser, on both transports.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { before, describe, test } from "node:test";
import { io, ioConnected, join, serve } from "./harness.mjs";

const parser = createRequire(import.meta.url)("socket.io-msgpack-parser");
const person = (sub) => ({ sub, rooms: ["demo:*", "chat:*"] });

describe("MessagePack", () => {
  let server;
  const cleanUp = [];
  before(async () => {
    server = await serve({ after: (run) => cleanUp.push(run) }, { vars: { SOCKET_IO_PARSER: "msgpack" } });
  });

  for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
    test(`over ${transports.join(", then ")}: events, acks, binary, refusals, several namespaces`, async (t) => {
      const room = `demo:${transports.join("-")}`;
      const ann = await ioConnected(t, server, person("ann"), { parser, transports });
      const bob = await ioConnected(t, server, person("bob"), { parser, transports });
      assert.equal((await ann.event("connected")).userId, "ann");
      for (const client of [ann, bob]) assert.equal((await client.ask("join", { room })).ok, true);
      const plain = await join(t, server, room, person("carl"));
      const data = { n: 1.5, list: [null, true, -7, 2 ** 40], text: "é💬", bytes: Buffer.from([1, 2, 3]) };
      assert.deepEqual(await ann.ask("send", { room, event: "note", data }), { ok: true, offset: 1, duplicate: false });
      const heard = await bob.event("note");
      assert.deepEqual({ ...heard, bytes: [...heard.bytes] }, { ...data, bytes: [1, 2, 3] });
      assert.deepEqual((await plain.event("note")).data, { ...data, bytes: { $binary: "AQID" } });
      assert.equal((await ann.ask("nonsense")).error.code, "unknown_event");
      const chat = await ann.namespace("/chat");
      assert.equal((await chat.ask("join_chat", { chatId: transports.join("-") })).ok, true);
      await assert.rejects(ann.namespace("/nowhere"), /Invalid namespace/);
      await assert.rejects(io(t, server, undefined, { parser, transports }).connected(), (error) => error.data.code === "unauthorized");
    });
  }

  test("a client with the usual parser is closed, and the others go on", async (t) => {
    const ann = await ioConnected(t, server, person("ann"), { parser });
    await assert.rejects(
      Promise.race([io(t, server, person("bob")).connected(), new Promise((_, reject) => setTimeout(reject, 2_000, new Error("never")))]),
    );
    assert.equal((await ann.ask("test", 1)).ok, true);
  });

  test("the server ends", async () => {
    for (const run of cleanUp) await run();
  });
});
