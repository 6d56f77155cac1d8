// The page's connection (CONTRACT "The page"): its status is true, nothing is lost, nothing is twice.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { button, isMarked, log, mark, messageField, messageSays, openConversation, PATIENCE_MS, rowSays, said, scene, shows, showsExactly, signIn, status, statusText, tokenField, walk, write } from "./browser.mjs";
import { ADMIN, call, crash, eventually, freePort, history, persistDir, receive, serve, serveWithTwilio, sleep, token } from "./harness.mjs";

const accountOf = (api) => ({ TWILIO_API_BASE: api.url });
/** What was sent from a line to Twilio, by its text. */
const postsOf = (api, line) => api.posts(line).map(({ form }) => form.Body);
const waits = (page, text) => messageSays(page, text, /waiting/i);
const waitsNoMore = (page) => eventually("nothing waits", async () => !/waiting/i.test(await said(log(page))), PATIENCE_MS);

/** Each try to connect from here on. What a connection that is closing still has to say is none: it has a session's id. */
function recordTries(page) {
  const tries = [];
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.pathname === "/socket.io/" && !url.searchParams.has("sid")) tries.push(request.url());
  });
  return tries;
}

/** Each text that the status had from here on, with its time. */
async function recordStatus(page) {
  await page.evaluate(() => {
    const element = document.querySelector("[role=status], output");
    window.statuses = [];
    const note = () => window.statuses.at(-1)?.text === element.textContent.trim() || window.statuses.push({ at: Date.now(), text: element.textContent.trim() });
    new MutationObserver(note).observe(element, { subtree: true, childList: true, characterData: true });
    note();
  });
  return () => page.evaluate(() => window.statuses);
}

describe("the connection", { concurrency: 4 }, () => {
  walk("the server is killed and started again on the same port: the status says so all the while, nothing is missing, nothing is twice", async (t, open) => {
    const where = { persist: persistDir(), port: await freePort() };
    const { api, server } = await serveWithTwilio(t, where);
    const { line, contact, ann, bob, room } = await scene(server);
    const [chat, lobby] = [`chat:c-${line.slice(1)}`, `demo:l-${line.slice(1)}`];
    const claims = { rooms: ["chat:*", "demo:*"] };
    await receive(server, line, contact, "SMS before");
    const inbox = await signIn(await open(server), ann);
    const talk = await signIn(await open(server), { ...bob, ...claims }, { room: chat });
    const relay = await signIn(await open(server), { ...bob, ...claims }, { room: lobby });
    const pages = [inbox, talk, relay];
    await openConversation(inbox, contact);
    await showsExactly(inbox, ["SMS before"]);
    await write(inbox, "sent before");
    await write(talk, "chat before");
    await write(relay, "relay before");
    await eventually("Twilio has it", () => api.taken(line).length === 1);
    for (const [page, text] of [[talk, "chat before"], [relay, "relay before"]]) await shows(page, text);
    await Promise.all(pages.map(waitsNoMore));

    const statuses = await Promise.all(pages.map(recordStatus));
    for (const page of pages) page.mayLoseServer = true;
    for (const page of pages) await mark(page);
    const downAt = Date.now();
    await crash(server);
    for (const page of pages) await status(page, /^reconnecting/);
    const knownAt = Date.now();
    for (const [page, text] of [[inbox, "sent while away"], [talk, "chat while away"], [relay, "relay while away"]]) {
      await write(page, text);
      await waits(page, text);
    }
    await api.callback(api.taken(line)[0], "sent").catch(() => {}); // nobody is there to hear it
    // Where the tabs cannot see it: they are surely not there yet when this arrives.
    const elsewhere = await serve(t, { persist: where.persist, vars: accountOf(api) });
    await receive(elsewhere, line, contact, "SMS meanwhile");
    assert.equal(await api.callback(api.taken(line)[0], "delivered", { url: api.taken(line)[0].callback.replace(server.url, elsewhere.url) }), 204);
    for (const [where, event, data] of [[chat, "send_message", { message: "chat meanwhile" }], [lobby, "message", { text: "relay meanwhile" }]]) {
      assert.equal((await call(elsewhere, "POST", `/rooms/${where}/events`, { as: { sub: "zoe", ...claims }, body: { event, data } })).status, 200);
    }
    await elsewhere.stop();
    const upAt = Date.now();
    const next = await serve(t, { ...where, vars: accountOf(api) });
    for (const page of pages) {
      await button(page, "Reconnect now").click({ timeout: 2_000 }).catch(() => {}); // it may be back by itself
      await status(page, /^connected/);
    }
    await receive(next, line, contact, "SMS after");
    await shows(inbox, "SMS after");
    await Promise.all(pages.map(waitsNoMore));
    await eventually("Twilio has it", () => api.taken(line).length === 2);
    await receive(next, line, contact, "SMS last");
    await shows(inbox, "SMS last");

    // In the log's order, which the page's is to be.
    const logged = (await history(next, room)).messages.filter(({ event }) => /^(new_message|message_updated)$/.test(event)).map(({ data }) => data.body);
    assert.deepEqual([...logged].sort(), ["SMS after", "SMS before", "SMS last", "SMS meanwhile", "sent before", "sent while away"]);
    await showsExactly(inbox, logged);
    await messageSays(inbox, "sent before", /\bdelivered\b/i);
    await showsExactly(talk, ["chat before", "chat meanwhile", "chat while away"]);
    await showsExactly(relay, ["relay before", "relay meanwhile", "relay while away"]);
    assert.deepEqual(postsOf(api, line), ["sent before", "sent while away"], "each once");
    for (const room of [chat, lobby]) assert.equal((await history(next, room)).messages.filter(({ data }) => /while away/.test(JSON.stringify(data))).length, 1, room);
    await rowSays(inbox, contact, /SMS last/);
    for (const [n, page] of pages.entries()) {
      assert.ok(await isMarked(page), "the page was not loaded again");
      // It asks first whether it has caught up, and waits for the other namespaces.
      const saysSo = async () => (await statuses[n]()).some(({ text }) => /back after \d+ s/i.test(text));
      await eventually("it says of its return", saysSo, 8_000);
      const all = await statuses[n]();
      const away = all.filter(({ at }) => at > knownAt && at < upAt);
      assert.deepEqual(away.filter(({ text }) => /^connected/.test(text)), [], "it never says connected while it is not");
      assert.ok(all.find(({ text }) => /^reconnecting/.test(text)).at - downAt < 10_000, "it is quick to say so");
    }
  });

  walk("the countdown is true: it counts down to the next try, no try comes before, and Reconnect now does not wait", async (t, open) => {
    const where = { port: await freePort(), persist: persistDir() };
    const server = await serve(t, where);
    // By the page's own clock: what a browser reports comes late on a loaded machine.
    const noteTries = () => {
      window.tries = [];
      const { open } = XMLHttpRequest.prototype;
      XMLHttpRequest.prototype.open = function (...args) {
        if (String(args[1]).includes("/socket.io/")) window.tries.push(Date.now());
        return open.apply(this, args);
      };
    };
    const page = await open(server, { before: (page) => page.addInitScript(noteTries) });
    await signIn(page, { sub: "ann", name: "Ann Archer" });
    page.mayLoseServer = true;
    const statuses = await recordStatus(page);
    await crash(server);
    // A wait of 4 s at least, so that a loaded machine's lateness is small beside it.
    const seconds = (text) => Number(text.match(/^reconnecting in (\d+) s/)?.[1] ?? NaN);
    const long = await eventually("a wait of four seconds", async () => (await statuses()).find(({ text }) => seconds(text) >= 4), 90_000);
    const due = long.at + seconds(long.text) * 1000;
    while (Date.now() < due - 500) await sleep(50);
    const triesSoFar = () => page.evaluate(() => window.tries);
    assert.deepEqual((await triesSoFar()).filter((at) => at > long.at + 50 && at < due - 1_500), [], "no try before it is due");
    await eventually("the try when it is due", async () => (await triesSoFar()).some((at) => at >= due - 1_500), 10_000);
    const tries = await triesSoFar();
    for (const { text } of await statuses()) assert.match(text, /^(connected|reconnecting)/, "a word of the contract, first");
    const counted = (await statuses()).map(({ at, text }) => ({ at, n: seconds(text) })).filter(({ n }) => !Number.isNaN(n));
    for (const [n, one] of counted.entries()) {
      const last = counted[n - 1];
      const isAnother = last === undefined || tries.some((at) => at > last.at - 600 && at < one.at + 600);
      assert.ok(isAnother || one.n < last.n, `it only counts down until it tries: ${JSON.stringify(counted.map(({ n }) => n))}`);
    }

    await serve(t, where);
    await button(page, "Reconnect now").click({ timeout: 5_000 }).catch(() => {});
    await status(page, /^connected/);
  });

  walk("without a network the page says offline, what is written waits, and goes out once when it is back", async (t, open) => {
    const { api, server } = await serveWithTwilio(t);
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    page.mayLoseServer = true;
    await page.context().setOffline(true);
    await status(page, /^offline/);
    for (const text of ["One", "Two"]) {
      await write(page, text);
      await waits(page, text);
    }
    await receive(server, line, contact, "While you were away");
    assert.deepEqual(postsOf(api, line), []);
    await page.context().setOffline(false);
    await status(page, /^connected/);
    await shows(page, "While you were away");
    await waitsNoMore(page);
    await eventually("Twilio has both", () => api.taken(line).length >= 2);
    await sleep(500); // and no more
    assert.deepEqual(postsOf(api, line), ["One", "Two"], "in the order they were written, each once");
    await showsExactly(page, ["Hello?", "While you were away", "One", "Two"]);
  });

  walk("an answer that is lost on its way, and a reload while it is, send the message once", async (t, open) => {
    const { api, server } = await serveWithTwilio(t);
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    page.mayLoseServer = true;
    let lost = 0;
    await page.route("**/messages", async (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      if (lost < 2) await route.fetch(); // it has arrived
      lost++;
      return route.abort();
    });
    await write(page, "Only once");
    await eventually("the server has it", () => lost > 0, PATIENCE_MS);
    await page.reload();
    await page.unroute("**/messages");
    await status(page, /^connected/);
    if (!(await log(page).isVisible())) await openConversation(page, contact);
    await shows(page, "Only once");
    await waitsNoMore(page);
    await showsExactly(page, ["Hello?", "Only once"]);
    await eventually("Twilio has it", () => api.taken(line).length === 1);
    await sleep(500); // and no more
    assert.deepEqual(postsOf(api, line), ["Only once"]);
  });

  walk("what was written and could not be sent outlives a reload", async (t, open) => {
    const { api, server } = await serveWithTwilio(t);
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    page.mayLoseServer = true;
    const isSent = (url) => url.pathname.endsWith("/messages");
    await page.route(isSent, (route) => (route.request().method() === "POST" ? route.abort() : route.fallback()));
    await write(page, "Written before the reload");
    await waits(page, "Written before the reload");
    assert.doesNotMatch(await page.evaluate(() => sessionStorage.getItem("outbox") ?? JSON.stringify(localStorage)), /eyJ/);
    await page.reload();
    await page.unroute(isSent);
    await status(page, /^connected/);
    await eventually("Twilio has it", () => api.taken(line).length === 1, PATIENCE_MS);
    await sleep(500);
    assert.deepEqual(postsOf(api, line), ["Written before the reload"]);
  });

  walk("when the session expires the page says so and tries nothing; with a new token it goes on where it was", async (t, open) => {
    const { server } = await serveWithTwilio(t);
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await open(server);
    page.excused = /status of 401/;
    const tries = recordTries(page);
    await signIn(page, { ...ann, exp: Math.floor(Date.now() / 1000) + 5 });
    await openConversation(page, contact);
    await messageField(page).fill("Half a thought");
    await mark(page);
    await status(page, /^session expired/);
    await showsExactly(page, ["Hello?"]);
    assert.equal(await messageField(page).inputValue(), "Half a thought");
    await receive(server, line, contact, "While it had expired");
    const before = tries.length;
    await sleep(2_500); // the first retry would come within a second, the second within two more
    assert.equal(tries.length, before, "nothing is tried with a token that has run out");
    await tokenField(page).fill(token(ann));
    await button(page, "Join").click();
    await status(page, /^connected/);
    await showsExactly(page, ["Hello?", "While it had expired"]);
    assert.equal(await messageField(page).inputValue(), "Half a thought");
    assert.ok(await isMarked(page), "the page was not loaded again");
    await receive(server, line, contact, "And live again");
    await shows(page, "And live again");
  });

  walk("a token that is refused or has run out is said in words, and nothing is tried again", async (t, open) => {
    const server = await serve(t);
    for (const refused of [token({ sub: "ann", exp: 1 }), token({ sub: "ann" }, { secret: "another-secret-of-more-than-32-bytes-here" }), "not a token"]) {
      const page = await open(server);
      // Chromium tells of a 401, and of an upgrade that was under way.
      page.excused = /Failed to load resource|closed before the connection is established/;
      const tries = recordTries(page);
      assert.match(await statusText(page), /^offline/);
      await signIn(page, refused, { wanted: /^session expired/ });
      const before = tries.length;
      await sleep(2_500);
      assert.equal(tries.length, before, "nothing is tried again");
      assert.ok(await tokenField(page).isVisible(), "a better one can be given");
      await signIn(page, { sub: "ann" });
    }
  });

  walk("where WebSockets do not come through, the page polls, says so, and everything works", async (t, open) => {
    const { api, server } = await serveWithTwilio(t);
    const { line, contact, ann, bob } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await open(server, { before: (page) => page.addInitScript(() => delete window.WebSocket) });
    const other = await signIn(await open(server), bob);
    await signIn(page, ann, { wanted: /^connected.*polling/ });
    await openConversation(page, contact);
    await openConversation(other, contact);
    await receive(server, line, contact, "By polling");
    await write(page, "Sent all the same");
    await eventually("Twilio has it", () => api.taken(line).length === 1);
    await api.callback(api.taken(line)[0], "delivered");
    await messageSays(page, "Sent all the same", /\bdelivered\b/i);
    await messageField(other).pressSequentially("Hm", { delay: 20 });
    await page.getByText(/Bob Baker is typing/).waitFor();
    await showsExactly(page, ["Hello?", "By polling", "Sent all the same"]);
    assert.doesNotMatch(await statusText(other), /polling/, "with a WebSocket it is not said");
  });

  walk("who is thrown out stays out until they say otherwise", async (t, open) => {
    const server = await serve(t);
    const page = await open(server);
    await signIn(page, { sub: "ann", name: "Ann Archer", rooms: ["demo:*"] }, { room: "demo:lobby" });
    const tries = recordTries(page);
    await call(server, "DELETE", "/rooms/user:ann/connections?user=ann", { as: ADMIN });
    await status(page, /^(offline|session expired)/);
    tries.length = 0;
    await sleep(2_500);
    assert.deepEqual(tries, [], "nothing is tried by itself");
  });
});
