// The page in real browsers (CONTRACT "The page"): two people in a room, an SMS that arrives, a server that crashes.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import * as path from "node:path";
import { after, test } from "node:test";
import { ROOT } from "../tools/tools.mjs";
import { ADMIN, call, CONTACT, crash, eventually, freePort, history, inbound, LINE, persistDir, serve, sleep, token } from "./harness.mjs";

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const CONVERSATION = `sms:${LINE}:${CONTACT}`;
/** A loaded machine with two cores, and a page that waits up to some seconds before it tries again. */
const PATIENCE_MS = 30_000;

/** One browser for the file, started by the first test that needs it. */
let browser;
after(() => browser?.close());

async function launch() {
  if (!existsSync(CHROMIUM)) assert.fail(`The page's tests need Chromium: install it, or name it with CHROMIUM_PATH (there is none at ${CHROMIUM}).`);
  const { chromium } = await import("playwright-core");
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ARGS });
  return browser;
}

/** A tab of a browser of its own. What its console complains of is in `page.complaints`; `page.mayLoseServer` excuses the network's. */
async function openTab(t, server) {
  const context = await (await launch()).newContext({ viewport: { width: 1200, height: 800 } });
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.complaints = [];
  page.on("console", (message) => {
    if (!["error", "warning"].includes(message.type())) return;
    if (page.mayLoseServer && /net::ERR_|WebSocket connection to|WebSocket is already/.test(message.text())) return;
    page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(error.stack));
  page.on("dialog", (dialog) => (page.complaints.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  await page.goto(server.url);
  return page;
}

async function joinRoom(page, room, claims) {
  await page.getByLabel("token", { exact: true }).fill(token(claims));
  await page.getByLabel("room", { exact: true }).fill(room);
  await page.getByRole("button", { name: "Join" }).click();
  await status(page, /^connected/);
}

const status = (page, wanted) =>
  eventually(`the status ${wanted}`, async () => wanted.test(await page.getByRole("status").innerText()), PATIENCE_MS);

/** The texts of the messages shown, in order. */
const bodies = (page) => page.locator("#messages > li .body").allInnerTexts();
const shows = (page, text) => eventually(`${JSON.stringify(text)} on the page`, async () => (await bodies(page)).includes(text), PATIENCE_MS);

async function write(page, text) {
  await page.getByLabel("message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

const ANN = { sub: "ann", name: "Ann Archer", rooms: ["demo:*"] };
const BOB = { sub: "bob", name: "Bob Baker", rooms: ["demo:*"] };

test("two tabs see each other, see the other type, and read what the other sends", async (t) => {
  const server = await serve(t);
  const ann = await openTab(t, server);
  assert.match(await ann.getByRole("status").innerText(), /^offline/);
  const bob = await openTab(t, server);
  await joinRoom(ann, "demo:lobby", ANN);
  await joinRoom(bob, "demo:lobby", BOB);
  await ann.getByText("Bob Baker").first().waitFor();
  await bob.getByText("Ann Archer").first().waitFor();

  await ann.getByLabel("message", { exact: true }).pressSequentially("Good mor", { delay: 20 });
  await bob.getByText(/Ann Archer is typing/).waitFor();
  await ann.getByLabel("message", { exact: true }).pressSequentially("ning");
  await ann.getByRole("button", { name: "Send" }).click();
  await shows(bob, "Good morning");
  await bob.getByText(/typing/).waitFor({ state: "hidden" });
  await bob.getByLabel("message", { exact: true }).fill("Hello Ann");
  await bob.getByLabel("message", { exact: true }).press("Enter");
  await shows(ann, "Hello Ann");
  for (const page of [ann, bob]) assert.deepEqual(await bodies(page), ["Good morning", "Hello Ann"]);
  await eventually("everything acknowledged", async () => (await ann.locator("#messages .pending").count()) === 0);

  await bob.close();
  await eventually("Bob gone", async () => !(await ann.locator("#people-list").innerText()).includes("Bob"), PATIENCE_MS);
  assert.deepEqual([...ann.complaints, ...bob.complaints], []);
});

test("a signed SMS appears in every tab of its conversation, and HTML in it stays text", async (t) => {
  const server = await serve(t);
  const tabs = [await openTab(t, server), await openTab(t, server)];
  assert.equal((await inbound(server, { Body: "Sent before anyone looked" })).status, 200);
  for (const page of tabs) await joinRoom(page, CONVERSATION, ADMIN);
  const html = `<img src=x onerror="alert(1)"> <b>bold</b> <script>alert(2)</script> &amp;`;
  assert.equal((await inbound(server, { Body: html })).status, 200);
  await inbound(server, { Body: "A picture", NumMedia: "2", MediaUrl0: "https://media.example/a.png", MediaContentType0: "image/png", MediaUrl1: "javascript:alert(3)" });
  for (const page of tabs) {
    await shows(page, "A picture");
    assert.deepEqual(await bodies(page), ["Sent before anyone looked", html, "A picture"]);
    assert.ok((await page.locator("#messages").innerText()).includes(CONTACT), "who sent it");
    assert.equal(await page.locator("#messages :is(img, b, script)").count(), 0);
    assert.deepEqual(await page.locator("#messages a").evaluateAll((links) => links.map((link) => link.href)), ["https://media.example/a.png"]);
    assert.deepEqual(page.complaints, []);
  }
});

test("after a crash the page says reconnecting, then connected, and shows what happened meanwhile and what was written, once", async (t) => {
  const persist = persistDir();
  const port = await freePort();
  const server = await serve(t, { persist, port });
  const ann = await openTab(t, server);
  const inbox = await openTab(t, server);
  await joinRoom(ann, "demo:lobby", ANN);
  await joinRoom(inbox, CONVERSATION, ADMIN);
  await write(ann, "before");
  await eventually("the ack", async () => (await ann.locator("#messages .pending").count()) === 0);
  await inbound(server, { Body: "SMS before" });
  await shows(inbox, "SMS before");

  for (const page of [ann, inbox]) page.mayLoseServer = true;
  await crash(server);
  await status(ann, /^reconnecting/);
  await status(inbox, /^reconnecting/);
  await write(ann, "written while away");
  // Where the tabs cannot see it: they are surely not there yet when this arrives.
  const elsewhere = await serve(t, { persist });
  const posted = await call(elsewhere, "POST", "/rooms/demo:lobby/events", { as: BOB, body: { event: "message", data: { body: "meanwhile" } } });
  assert.equal(posted.status, 200);
  assert.equal((await inbound(elsewhere, { Body: "SMS meanwhile" })).status, 200);
  await elsewhere.stop();

  const next = await serve(t, { persist, port });
  for (const page of [ann, inbox]) await status(page, /^connected/);
  await shows(ann, "written while away");
  await shows(inbox, "SMS meanwhile");
  await eventually("the ack", async () => (await ann.locator("#messages .pending").count()) === 0, PATIENCE_MS);
  assert.equal((await inbound(next, { Body: "SMS after" })).status, 200);
  await shows(inbox, "SMS after");
  assert.deepEqual(await bodies(ann), ["before", "meanwhile", "written while away"]);
  assert.deepEqual(await bodies(inbox), ["SMS before", "SMS meanwhile", "SMS after"]);
  const stored = (await history(next, "demo:lobby")).messages.map(({ data }) => data.body);
  assert.deepEqual(stored, ["before", "meanwhile", "written while away"]);
  assert.deepEqual([...ann.complaints, ...inbox.complaints], []);
});

test("a token that is refused or has run out is said in words, and nothing is tried again", async (t) => {
  const server = await serve(t);
  for (const [claims, words] of [
    [{ sub: "ann", rooms: ["other:*"] }, /^refused/],
    [{ sub: "ann", rooms: ["demo:*"], exp: 1 }, /^session expired/],
  ]) {
    const page = await openTab(t, server);
    page.mayLoseServer = true; // Chromium's console tells of the refused handshake
    let attempts = 0;
    page.on("websocket", () => attempts++);
    await page.getByLabel("token", { exact: true }).fill(token(claims));
    await page.getByLabel("room", { exact: true }).fill("demo:lobby");
    await page.getByRole("button", { name: "Join" }).click();
    await status(page, words);
    assert.ok(await page.getByLabel("message", { exact: true }).isDisabled());
    await sleep(2500); // the first retry would come within a second, the second within two more
    assert.equal(attempts, 1);
    assert.deepEqual(page.complaints.filter((text) => !/Failed to load resource/.test(text)), []);
  }
});

if (process.env.SCREENSHOTS === "1") {
  test("the picture for the README", async (t) => {
    const server = await serve(t);
    const ann = await openTab(t, server);
    const bob = await openTab(t, server);
    for (const Body of ["Hi! Is the blue bicycle still for sale?", "I could come by on Saturday."]) await inbound(server, { Body });
    await joinRoom(ann, CONVERSATION, { ...ADMIN, name: "Ann Archer" });
    await joinRoom(bob, CONVERSATION, { sub: "bob", name: "Bob Baker", rooms: [CONVERSATION] });
    await inbound(server, { Body: "This is it, right?", NumMedia: "1", MediaUrl0: "https://api.twilio.com/2010-04-01/media/ME12", MediaContentType0: "image/jpeg" });
    await shows(ann, "This is it, right?");
    await ann.getByText("Bob Baker").first().waitFor();
    const dir = path.join(ROOT, "tests/e2e/screenshots");
    mkdirSync(dir, { recursive: true });
    await ann.screenshot({ path: path.join(dir, "inbox.png") });
  });
}
