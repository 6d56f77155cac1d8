// The page in real browsers, by label and role (CONTRACT "The page"): what every test of it needs.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { assign, eventually, newNumber, token } from "./harness.mjs";

export { png } from "../tools/picture.mjs";

const CHROMIUM = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";
const ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
/** A loaded machine with two cores, and a page that waits up to some seconds before it tries again. */
export const PATIENCE_MS = 30_000;
export const DESKTOP = { width: 1200, height: 800 };
/** The narrowest phone that the page is made for. */
export const PHONE = { width: 360, height: 740 };

/** Chromium, of what the stock client sends between the server's close and the event that tells of it: as likely as the machine is slow. */
const SENT_WHILE_CLOSING = /^WebSocket is already in CLOSING or CLOSED state/;

/** One browser a file, started by the first test that needs it. */
let browser;
after(() => browser?.close());

async function launch() {
  if (!existsSync(CHROMIUM)) assert.fail(`The page's tests need Chromium: install it, or name it with CHROMIUM_PATH (there is none at ${CHROMIUM}).`);
  const { chromium } = await import("playwright-core");
  browser ??= chromium.launch({ executablePath: CHROMIUM, args: ARGS });
  return (browser = await browser);
}

/**
 * A test with tabs: `body(t, open)`, where `open(server, options)` gives a page in a browser context of its own. At its end no tab's
 * console has complained, no dialog was opened, nothing broke the page's policy, and no token was in a URL.
 */
export function walk(name, body) {
  test(name, { timeout: 180_000 }, async (t) => {
    const tabs = [];
    try {
      await body(t, (server, options) => openTab(tabs, server, options));
      for (const page of tabs) assert.deepEqual(page.complaints, [], "what the browser complained of");
    } catch (error) {
      await picturesOf(name, tabs);
      const complaints = tabs.flatMap((page) => page.complaints);
      if (complaints.length) error.message += `\nThe browser complained of ${JSON.stringify(complaints)}`;
      throw error;
    } finally {
      await Promise.all(tabs.map((page) => page.context().close()));
    }
  });
}

/** With PAGE_FAILURES=DIR: what the tabs of a test that failed show. */
async function picturesOf(name, tabs) {
  const dir = process.env.PAGE_FAILURES;
  if (!dir) return;
  mkdirSync(dir, { recursive: true });
  for (const [n, page] of tabs.entries()) await page.screenshot({ path: join(dir, `${name.replace(/\W+/g, "-").slice(0, 60)}-${n}.png`) }).catch(() => {});
}

/**
 * `page.complaints` is what its console complains of. `page.mayLoseServer` excuses what Chromium says of a server that is gone,
 * `page.excused` what else is expected, a pattern.
 */
async function openTab(tabs, server, { before, ...options } = {}) {
  const context = await (await launch()).newContext({ viewport: DESKTOP, ...options });
  const page = await context.newPage();
  tabs.push(page);
  page.setDefaultTimeout(PATIENCE_MS);
  page.complaints = [];
  page.on("console", (message) => {
    if (!["error", "warning"].includes(message.type())) return;
    if (SENT_WHILE_CLOSING.test(message.text())) return;
    if (page.mayLoseServer && /net::ERR_|WebSocket connection to/.test(message.text())) return;
    if (!page.excused?.test(message.text())) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(error.stack));
  page.on("dialog", (dialog) => (page.complaints.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  const inUrl = (url) => /[?&]token=|eyJ[\w-]{8}/.test(url) && page.complaints.push(`a token in ${url}`);
  page.on("request", (request) => inUrl(request.url()));
  page.on("websocket", (socket) => inUrl(socket.url()));
  await before?.(page);
  await page.goto(server.url);
  return page;
}

// ── Signing in, opening ──────────────────────────────────────────────────────────────────────────

const field = (page, label) => page.getByLabel(label, { exact: true }).filter({ visible: true });
export const tokenField = (page) => field(page, "token");
export const roomField = (page) => field(page, "room");
export const messageField = (page) => field(page, "message");
export const searchField = (page) => field(page, "search");
export const button = (page, name) => page.getByRole("button", { name, exact: typeof name === "string" });

/** `claims`, or a token. With a room, that is opened, too. */
export async function signIn(page, claims, { room, wanted = /^connected/ } = {}) {
  await tokenField(page).fill(typeof claims === "string" ? claims : token(claims));
  if (room) await roomField(page).fill(room);
  await button(page, "Join").click();
  await status(page, wanted);
  return page;
}

export async function openRoom(page, room) {
  await roomField(page).fill(room);
  await button(page, "Open").click();
  await log(page).waitFor();
}

/** Another list than the conversations': Chats, Tickets, Jobs. */
export const showList = (page, name) => button(page, new RegExp(`^${name}`)).first().click();

/** A conversation's row in the list, whatever the role: its name begins with the contact. */
export function row(page, contact) {
  const name = new RegExp(`^\\s*${contact.replace(/[+.]/g, "\\$&")}`);
  const of = (role) => page.getByRole(role, { name });
  return of("option").or(of("listitem")).or(of("link")).or(of("button")).first();
}

export async function openConversation(page, contact) {
  await row(page, contact).click();
  await log(page).waitFor();
}

/** All that the element says: its text, piece by piece, and what it says to a screen reader alone. */
export const said = (locator) =>
  locator.evaluate((element) => {
    const parts = [];
    for (const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT); walker.nextNode(); ) parts.push(walker.currentNode.data);
    for (const one of [element, ...element.querySelectorAll("[aria-label]")]) parts.push(one.getAttribute("aria-label") ?? "");
    return parts.join(" ").replace(/\s+/g, " ");
  });

export const rowSays = (page, contact, wanted, what = `${contact}'s row says ${wanted}`) => says(row(page, contact), wanted, what);

/** Until all that the element says is `wanted`; where it does not become that, what it says. */
export async function says(locator, wanted, what = `it says ${wanted}`) {
  let text;
  const ask = async () => wanted.test((text = await said(locator)));
  await eventually(what, ask, PATIENCE_MS).catch(() => assert.match(text, wanted, what));
}

// ── What the page shows ──────────────────────────────────────────────────────────────────────────

export const statusText = (page) => page.getByRole("status").innerText();

export async function status(page, wanted) {
  let text;
  await eventually(`the status ${wanted}`, async () => wanted.test((text = await statusText(page))), PATIENCE_MS).catch(() => assert.match(text, wanted, "the status"));
}

export const log = (page) => page.getByRole("log", { name: "Conversation" });
/** The texts of the messages shown, in order. */
export const bodies = (page) => log(page).locator(".body").allInnerTexts();
export const shows = (page, text, ms = PATIENCE_MS) => eventually(`${JSON.stringify(text)} on the page`, async () => (await bodies(page)).includes(text), ms);

/** These are the messages shown, no more, in this order. */
export async function showsExactly(page, texts) {
  let shown;
  const ask = async () => JSON.stringify((shown = await bodies(page))) === JSON.stringify(texts);
  await eventually("the messages", ask, PATIENCE_MS).catch(() => assert.deepEqual(shown, texts));
}

/** The message with this text: the innermost element that holds all of it, its time and its status. */
export const message = (page, text) => log(page).locator("li, article").filter({ has: page.locator(".body").getByText(text, { exact: true }) }).last();
export const messageSays = (page, text, wanted) => says(message(page, text), wanted, `the message ${JSON.stringify(text)} says ${wanted}`);

export async function write(page, text) {
  await messageField(page).fill(text);
  await button(page, "Send").click();
}

/** Has the page's own loading replaced it since? A mark on the document says. */
export const mark = (page) => page.evaluate(() => void (window.marked = true));
export const isMarked = (page) => page.evaluate(() => window.marked === true);

// ── Who and what ─────────────────────────────────────────────────────────────────────────────────

let people = 0;
/** Somebody with a name, whom no other test of the file has. */
export const person = (name, claims) => ({ sub: `${name.split(" ")[0].toLowerCase()}-${++people}`, name, ...claims });

/** A line of its own that Ann and Bob work, and a contact of it. */
export async function scene(server) {
  const [line, contact] = [newNumber(), newNumber()];
  const [ann, bob] = [person("Ann Archer"), person("Bob Baker")];
  await assign(server, line, ann.sub, bob.sub);
  return { line, contact, ann, bob, room: `sms:${line}:${contact}` };
}
