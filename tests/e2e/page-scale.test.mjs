// 10,000 conversations and 10,000 messages (issue 6): what is in the document stays bounded, whatever there is.
//
// The conversations' list is answered by this file, in the shape and the pages of the server's, for 10,000 webhooks would take
// minutes; the messages are the server's own. Counted are elements, and changes of the document, which are the same on every
// machine. One bound is a time: no task over MAX_TASK_MS.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { bodies, log, messageField, openConversation, row, rowSays, scene, searchField, shows, signIn, walk } from "./browser.mjs";
import { emitted, eventually, receive, serveWithTwilio } from "./harness.mjs";

const MANY = 10_000;
/** A screen of 800 px shows about fifteen rows or messages; with some around it, and thirty elements each, this is ample. Unbounded, 10,000 rows would be 100,000. */
const MAX_ELEMENTS = 2_500;
/**
 * A person notices a tenth of a second. This is ten times that, for a machine with two cores, on which a server, this test and a
 * browser that draws in software run at once. A list that draws all of its 10,000 rows takes several times as long.
 */
const MAX_TASK_MS = 1_000;

let server;
const ends = [];
before(async () => {
  ({ server } = await serveWithTwilio({ after: (end) => ends.push(end) }));
});
after(() => Promise.all(ends.map((end) => end())));

const elements = (page) => page.evaluate(() => document.querySelectorAll("*").length);
const isBounded = async (page, what) => {
  const count = await elements(page);
  assert.ok(count < MAX_ELEMENTS, `${what}: ${count} elements`);
};

/** Notes each long task from the beginning. */
const watchTasks = (page) => page.addInitScript(() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => Math.round(duration)))).observe({ type: "longtask", buffered: true });
});
const noLongTask = async (page) => {
  const tasks = await page.evaluate(() => window.tasks);
  assert.ok(Math.max(0, ...tasks) < MAX_TASK_MS, `tasks of ${tasks} ms`);
};

/** How many elements come into and go from the document while something happens. */
async function changes(page, body) {
  await page.evaluate(() => {
    window.changed = 0;
    const count = (nodes) => [...nodes].reduce((sum, node) => sum + 1 + (node.querySelectorAll?.("*").length ?? 0), 0);
    window.counter = new MutationObserver((records) => records.forEach(({ addedNodes, removedNodes }) => (window.changed += count(addedNodes) + count(removedNodes))));
    window.counter.observe(document.body, { childList: true, subtree: true });
  });
  await body();
  return page.evaluate(() => (window.counter.disconnect(), window.changed));
}

/** Scrolls this element, or what holds it, to a part of its height, from 0 to 1. Two frames later it is drawn. */
const scrollTo = (locator, part) =>
  locator.evaluate(async (element, part) => {
    let scroller = element;
    while (scroller && !(scroller.scrollHeight > scroller.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(scroller).overflowY))) scroller = scroller.parentElement;
    scroller.scrollTop = part * (scroller.scrollHeight - scroller.clientHeight);
    for (let n = 0; n < 2; n++) await new Promise(requestAnimationFrame);
    return { top: scroller.scrollTop, height: scroller.scrollHeight };
  }, part);

const contactOf = (n) => `+1444${1_000_000 + n}`;

/** The list's pages: conversation 0 is the newest. */
async function answerList(page) {
  const newest = Date.now() - 3_600_000;
  const item = (n) => {
    const updatedAt = new Date(newest - n * 60_000).toISOString();
    return { contact: contactOf(n), channel: "sms", lastMessage: { body: `The last words of ${n}`, direction: n % 3 ? "inbound" : "outbound", timestamp: updatedAt, media: 0 }, unread: n % 7 ? 0 : 1, optedOut: n % 50 === 0, assignedTo: n % 5 ? null : "bob", updatedAt };
  };
  await page.route(/\/api\/lines\/[^/]+\/conversations(\?|$)/, (route) => {
    const query = new URL(route.request().url()).searchParams;
    const [from, limit] = [Number(query.get("cursor") ?? 0), Math.min(200, Number(query.get("limit") ?? 50))];
    const conversations = Array.from({ length: Math.min(limit, MANY - from) }, (_, at) => item(from + at));
    return route.fulfill({ json: { conversations, ...(from + limit < MANY && { cursor: String(from + limit) }) } });
  });
}

walk("10,000 conversations: the document stays small, from the first to the last of them; one that changes changes little; search finds any", async (t, open) => {
  const { line, ann } = await scene(server);
  const page = await open(server, { before: async (page) => (await watchTasks(page), await answerList(page)) });
  await signIn(page, ann);
  await row(page, contactOf(0)).waitFor();
  await searchField(page).fill(contactOf(MANY - 1));
  await row(page, contactOf(MANY - 1)).waitFor(); // all are here
  await searchField(page).fill("The last words of 77");
  await row(page, contactOf(77)).waitFor();
  await searchField(page).fill("");
  const first = row(page, contactOf(0));
  await first.waitFor();
  await isBounded(page, "at the top");

  const anyRow = () => page.getByRole("option").or(page.getByRole("listitem")).filter({ hasText: /The last words of/ });
  const list = page.getByRole("listbox", { name: "Conversations" });
  const { height } = await scrollTo(list, 0);
  assert.ok(height > MANY * 20, `as high as all of them are: ${height} px`);
  for (let step = 1; step <= 20; step++) {
    await scrollTo(list, step / 20);
    await eventually("rows where one looks", async () => (await anyRow().first().count()) > 0);
    await isBounded(page, `at ${step} of 20`);
  }
  await row(page, contactOf(MANY - 1)).waitFor();
  assert.ok(await row(page, contactOf(MANY - 1)).evaluate((element) => element.getBoundingClientRect().top < innerHeight), "the last one is in view");
  await scrollTo(list, 0);
  await first.waitFor();

  const moved = await changes(page, async () => {
    await receive(server, line, contactOf(9_000), "I am back");
    await rowSays(page, contactOf(9_000), /I am back/);
  });
  assert.ok(moved < 300, `${moved} elements came or went for one row that moved to the top`);
  await openConversation(page, contactOf(9_000));
  await shows(page, "I am back");
  await isBounded(page, "with a conversation open");
  await noLongTask(page);
});

/** A conversation with so many messages: put into its history as a backend may, a hundred a request. */
async function longConversation(line, contact, count) {
  const data = (n) => ({ phoneNumberId: line, from: contact, to: line, body: `Message ${n}${n % 10 ? "" : ", which is a longer one, so that not all of them are of the same height on the screen"}`, direction: "inbound", timestamp: new Date(Date.now() - (count - n) * 60_000).toISOString(), messageSid: `SM${String(n).padStart(32, "0")}`, media: [], channel: "sms" });
  for (let n = 1; n <= count; n += 100) {
    await emitted(server, Array.from({ length: Math.min(100, count - n + 1) }, (_, at) => ({ room: `sms:${line}:${contact}`, event: "new_message", data: data(n + at) })));
  }
}

walk("10,000 messages: the document stays small from the newest to the first; what one reads stays where it is; one more changes little", async (t, open) => {
  const { line, contact, ann } = await scene(server);
  await receive(server, line, contact, "Message 0");
  await longConversation(line, contact, MANY - 2);
  const page = await open(server, { before: watchTasks });
  await signIn(page, ann);
  await openConversation(page, contact);
  await shows(page, `Message ${MANY - 2}`);
  await isBounded(page, "at the newest");

  /** The first message that is wholly in view, and where. */
  const reading = () => log(page).evaluate((element) => {
    const top = element.getBoundingClientRect().top;
    const body = [...element.querySelectorAll(".body")].find((one) => one.getBoundingClientRect().top >= top);
    return { text: body.textContent, y: Math.round(body.getBoundingClientRect().top) };
  });
  await scrollTo(log(page), 0.05);
  const before = await reading();
  await eventually("an older page is there", async () => (await log(page).evaluate((element) => element.scrollHeight)) > 0 && (await reading()).text === before.text);
  const jumped = Math.abs((await reading()).y - before.y);
  assert.ok(jumped < 200, `what one reads stays in view as older ones come: moved by ${jumped} px`);

  for (let step = 0; ; step++) {
    await scrollTo(log(page), 0);
    if (step % 5 === 0) await isBounded(page, `${step} pages up`);
    if ((await bodies(page)).includes("Message 0")) break;
    assert.ok(step < 400, `still at ${(await reading()).text}`);
  }
  await isBounded(page, "at the first");
  await scrollTo(log(page), 0.5);
  await isBounded(page, "in the middle");
  await eventually("messages where one looks", async () => (await bodies(page)).length > 0);
  await scrollTo(log(page), 1);
  await shows(page, `Message ${MANY - 2}`);

  const moved = await changes(page, async () => {
    await receive(server, line, contact, "One more");
    await shows(page, "One more");
  });
  assert.ok(moved < 300, `${moved} elements came or went for one more message`);
  await messageField(page).pressSequentially("Still quick to write", { delay: 10 });
  await noLongTask(page);
});
