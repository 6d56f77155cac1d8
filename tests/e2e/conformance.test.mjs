// `npm run serve:conformance`: what the official suites of Engine.IO and Socket.IO expect of their server. The suites
// themselves are run from outside (README, "Proof"); these guard that there is something to run them against.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { Client, engineSocket, serve, sleep } from "./harness.mjs";

const BUILD_MS = 20 * 60_000;

describe("the official suites' server", { timeout: BUILD_MS }, () => {
  let server;
  const cleanUp = [];
  before(async () => {
    server = await serve({ after: (run) => cleanUp.push(run) }, { conformance: true });
  });

  const echo = (query) => `${server.url}/engine.io/?${new URLSearchParams({ EIO: "4", transport: "polling", ...query })}`;

  /** Connected to a namespace by hand: past its CONNECT reply. */
  async function connected(t, packet = "40", where = server) {
    const client = engineSocket(t, where);
    await client.frame((frame) => frame.startsWith("0"));
    client.send(packet);
    const reply = await client.frame((frame) => frame.startsWith("40"));
    client.connect = JSON.parse(reply.slice(reply.indexOf("{")));
    return client;
  }

  test("the handshake has the suites' timings, and /engine.io/ echoes over both transports", async (t) => {
    const { sid, ...rest } = JSON.parse((await (await fetch(echo())).text()).slice(1));
    assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 300, pingTimeout: 200, maxPayload: 1_000_000 });
    const posted = await fetch(echo({ sid }), { method: "POST", body: "4hi\x1ebAQIDBA==" });
    assert.equal(await posted.text(), "ok");
    assert.equal(await (await fetch(echo({ sid }))).text(), "4hi\x1ebAQIDBA==");
    const client = new Client(`${server.ws}/engine.io/?EIO=4&transport=websocket`);
    t.after(() => client.socket.terminate());
    await client.frame((frame) => frame.startsWith("0"));
    client.send("4over there");
    await client.frame((frame) => frame === "4over there");
  });

  test("a client that never says anything is closed, and its TCP connection ends, after interval and time-out", async (t) => {
    const client = new Client(`${server.ws}/engine.io/?EIO=4&transport=websocket`);
    t.after(() => client.socket.terminate());
    await Promise.race([client.closed, sleep(5_000).then(() => assert.fail("still open"))]);
  });

  for (const name of ["", "/custom,"]) {
    test(`${name || "/"}: auth comes first, messages come back, acks carry their arguments`, async (t) => {
      const client = await connected(t, `40${name}{"token":"123"}`);
      assert.deepEqual(Object.keys(client.connect), ["sid"]);
      assert.equal(client.frames.at(2) ?? (await client.frame((frame) => frame.startsWith("42"))), `42${name}["auth",{"token":"123"}]`);
      client.send(`42${name}["message",1,"2",{"3":[true]}]`);
      await client.frame((frame) => frame === `42${name}["message-back",1,"2",{"3":[true]}]`);
      client.send(`42${name}["message"]`);
      await client.frame((frame) => frame === `42${name}["message-back"]`);
      client.send(`42${name}7["message-with-ack",1,null]`);
      await client.frame((frame) => frame === `43${name}7[1,null]`);
      client.send(`42${name}["nobody knows this"]`);
      client.send(`42${name}8["message-with-ack"]`);
      await client.frame((frame) => frame === `43${name}8[]`);
    });
  }

  test("an unknown namespace is refused in the protocol's own words", async (t) => {
    const client = await connected(t);
    client.send("40/random");
    await client.frame((frame) => frame === '44/random,{"message":"Invalid namespace"}');
  });

  test("with RECOVERY_WINDOW_MS what was sent to a socket alone is recovered too, before CONNECT", async (t) => {
    const where = await serve(t, { conformance: true, vars: { RECOVERY_WINDOW_MS: 60_000 } });
    const first = await connected(t, "40", where);
    const { pid, sid } = first.connect;
    const auth = JSON.parse((await first.frame((frame) => frame.startsWith("42"))).slice(2));
    first.send('42["message",1]');
    await first.frame((frame) => frame.includes("message-back"));
    first.socket.terminate();
    const again = engineSocket(t, where);
    await again.frame((frame) => frame.startsWith("0"));
    again.send(`40${JSON.stringify({ pid, offset: auth.at(-1) })}`);
    const connect = await again.frame((frame) => frame.startsWith("40"));
    assert.deepEqual(JSON.parse(connect.slice(2)), { sid, pid });
    const missed = again.frames.slice(1, again.frames.indexOf(connect)).filter((frame) => frame.startsWith("42"));
    assert.deepEqual(missed.map((frame) => JSON.parse(frame.slice(2)).slice(0, 2)), [["message-back", 1]]);
  });

  test("the server ends when it is told to", async () => {
    for (const run of cleanUp) await run();
    assert.ok(server.child.exitCode !== null || server.child.signalCode !== null);
  });
});
