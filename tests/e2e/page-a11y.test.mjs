// The page for everyone (CONTRACT "The page"): axe-core, the keyboard alone, dark and light, 360 px, screen readers' live regions.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe } from "node:test";
import { refuses } from "../tools/twilio-api.mjs";
import { button, log, messageField, messageSays, openConversation, PATIENCE_MS, PHONE, png, row, rowSays, scene, searchField, shows, showsExactly, signIn, status, tokenField, walk, write } from "./browser.mjs";
import { assign, call, emitted, eventually, newNumber, receive, serveWithTwilio, SERVICE, token } from "./harness.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** As an init script it needs no hole in the page's policy. */
const withAxe = { before: (page) => page.addInitScript(AXE) };

let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars: { OPEN_KINDS: "ticket,job" } }));
});
after(() => Promise.all(ends.map((end) => end())));

/** What axe-core finds that is serious or critical, each once: `rule: element: what to do`. */
async function violations(page) {
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map((animation) => animation.effect.getComputedTiming().endTime < 5_000 && animation.finished)));
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations", "passes"] }));
  assert.ok(passes.length > 10, `axe-core has looked: ${passes.length}`);
  const worse = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return worse.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 120)}: ${failureSummary.replace(/\s+/g, " ").slice(0, 200)}`));
}

const fits = async (page, what) => {
  const { scroll, inner } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: window.innerWidth }));
  assert.ok(scroll <= inner, `${what}: ${scroll} px in ${inner}`);
};

/** A conversation with everything in it that the page can show, and more beside it. */
async function everything() {
  const all = await scene(server);
  const { line, contact, ann } = all;
  const whatsapp = `whatsapp:${line}`;
  await assign(server, whatsapp, ann.sub);
  const [gone, named] = [newNumber(), newNumber()];
  await receive(server, line, gone, "STOP");
  await receive(server, whatsapp, `whatsapp:${named}`, "Bonjour", { ProfileName: "Zoë Zimmer" });
  await receive(server, line, contact, "Look at https://example.com/a-rather-long-address/that-goes-on-and-on/and-on", { NumMedia: "1", MediaUrl0: api.addMedia({ bytes: png(200, 120), headers: { "content-type": "image/png" } }), MediaContentType0: "image/png" });
  api.next(line, refuses(21614));
  await emitted(server, { rooms: ["*", `ticket:a-${line}`], event: "ticket:created", data: { id: `a-${line}`, title: "The printer smokes", status: "open" } });
  for (const severity of ["info", "warning", "error", "success"]) {
    const notification = { type: "alert", title: `It is ${severity}`, message: "Please look", severity };
    assert.equal((await call(server, "POST", `/api/users/${ann.sub}/notifications`, { as: SERVICE, body: notification })).status, 200);
  }
  for (const [id, status, progress] of [["one", "in_progress", 40], ["two", "failed", 80]]) {
    assert.equal((await call(server, "POST", `/api/jobs/${id}${line}`, { as: SERVICE, body: { status, progress, ...(status === "failed" && { error: "It broke" }) } })).status, 200);
  }
  return { ...all, gone, named };
}

/** Where there is a narrow screen, from the thread to the list. */
async function back(page) {
  const to = button(page, "Back");
  if (await to.isVisible()) await to.click();
}

describe("the page", { concurrency: 3 }, () => {
  for (const [what, options] of [
    ["in light", { colorScheme: "light" }],
    ["in dark", { colorScheme: "dark" }],
    ["at 360 px, in light", { colorScheme: "light", viewport: PHONE, hasTouch: true, isMobile: true }],
    ["at 360 px, in dark", { colorScheme: "dark", viewport: PHONE, hasTouch: true, isMobile: true }],
  ]) {
    walk(`axe-core finds nothing serious ${what}: signing in, the list, conversations in every state, the bell, jobs, a ticket`, async (t, open) => {
      const { line, contact, gone, ann, bob } = await everything();
      const page = await open(server, { ...options, ...withAxe });
      const found = new Map();
      const look = async (where) => (await violations(page)).forEach((one) => found.has(one) || found.set(one, where));
      await look("signing in");
      await signIn(page, ann);
      await rowSays(page, contact, /Look at/);
      await look("the list");
      await fits(page, "the list");
      const other = await signIn(await open(server), bob);
      await openConversation(other, contact);
      await openConversation(page, contact);
      await write(page, "This fails");
      await messageSays(page, "This fails", /failed/i);
      await write(page, `A long one, ${"with many words ".repeat(20)}${"andonewithoutanybreak".repeat(10)}`);
      await eventually("it is sent", () => api.taken(line).length === 1);
      await api.callback(api.taken(line)[0], "read");
      await messageField(other).pressSequentially("Hm", { delay: 20 });
      await page.getByText(/is typing/).waitFor();
      await messageField(page).fill("x".repeat(200));
      await look("a conversation");
      await fits(page, "a conversation");
      await messageField(page).fill("");
      await back(page);
      await openConversation(page, gone);
      await eventually("opted out", () => messageField(page).isDisabled(), PATIENCE_MS);
      await look("opted out");
      await fits(page, "opted out");
      await back(page);
      await button(page, /^Notifications/).click();
      await button(page, "Mark all read").waitFor();
      await look("the bell");
      await fits(page, "the bell");
      await page.keyboard.press("Escape");
      for (const room of [`job:one${line}`, `job:two${line}`, `ticket:a-${line}`]) {
        await back(page);
        await page.getByLabel("room", { exact: true }).filter({ visible: true }).fill(room);
        await button(page, "Open").click();
        await page.getByText(room.startsWith("job") ? new RegExp(room.slice(4, 7)) : /The printer smokes/).filter({ visible: true }).first().waitFor();
        await look(room);
        await fits(page, room);
      }
      await page.context().setOffline(true);
      page.mayLoseServer = true;
      await status(page, /^offline/);
      await look("offline");
      assert.deepEqual([...found].map(([one, where]) => `${where}: ${one}`), []);
    });
  }

  /** What has the focus, in words. */
  const focused = (page) =>
    page.evaluate(() => {
      const element = document.activeElement;
      const active = document.getElementById(element.getAttribute("aria-activedescendant") ?? "") ?? element;
      return active.getAttribute("aria-label") ?? active.labels?.[0]?.textContent.trim() ?? active.textContent.trim().replace(/\s+/g, " ");
    });

  /** Tab, or another key, until what has the focus is `wanted`. */
  async function press(page, wanted, key = "Tab") {
    const seen = [];
    for (let n = 0; n < 60; n++) {
      seen.push(await focused(page));
      if (wanted.test(seen.at(-1))) return;
      await page.keyboard.press(key);
    }
    assert.fail(`${key} does not lead to ${wanted}, but to ${[...new Set(seen.map((name) => name.slice(0, 30)))].join(" | ")}`);
  }

  walk("all of it by the keyboard: sign in, search, arrows, open, write, retry, the bell, sign out", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const other = newNumber();
    await receive(server, line, other, "An older one");
    await receive(server, line, contact, "Hello?");
    assert.equal((await call(server, "POST", `/api/users/${ann.sub}/notifications`, { as: SERVICE, body: { type: "alert", title: "Look", message: "at this", severity: "info" } })).status, 200);
    const page = await open(server);
    await press(page, /^token/);
    await page.keyboard.insertText(token(ann));
    await page.keyboard.press("Enter");
    await status(page, /^connected/);
    await rowSays(page, contact, /Hello/);

    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("/");
    assert.match(await focused(page), /^search/);
    await page.keyboard.type("older");
    await row(page, contact).waitFor({ state: "hidden" });
    await page.keyboard.press("Escape");
    await row(page, contact).waitFor();
    const isRow = new RegExp(`^\\s*(${contact}|${other})`.replaceAll("+", "\\+"));
    await press(page, isRow);
    await page.keyboard.press("Home");
    const first = await focused(page);
    await page.keyboard.press("ArrowDown");
    const second = await focused(page);
    assert.ok(first.startsWith(contact) && second.startsWith(other), `newest first: ${first}, then ${second}`);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Enter");
    await showsExactly(page, ["Hello?"]);
    await eventually("the focus is where one writes", async () => /^message/.test(await focused(page)));

    await page.keyboard.type("One");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("Two / three"); // no search
    await page.keyboard.press("Enter");
    await eventually("Twilio has it", () => api.taken(line).length === 1);
    assert.equal(api.taken(line)[0].body, "One\nTwo / three");
    api.next(line, refuses(21614));
    await page.keyboard.type("This fails");
    await page.keyboard.press("Enter");
    await messageSays(page, "This fails", /failed/i);
    await press(page, /^Retry/, "Shift+Tab");
    await page.keyboard.press("Enter");
    await eventually("Twilio has it", () => api.taken(line).length === 2);

    await press(page, /^Notifications/);
    await page.keyboard.press("Enter");
    await button(page, "Mark all read").waitFor();
    await press(page, /^Mark all read/);
    await page.keyboard.press("Escape");
    await button(page, "Mark all read").waitFor({ state: "hidden" });
    assert.match(await focused(page), /^Notifications/, "the focus is back where it came from");
    await press(page, /^Sign out/);
    await page.keyboard.press("Enter");
    await tokenField(page).waitFor();
  });

  walk("every stop of the Tab key is seen: it has an outline or a shadow, is in view, has a name, and none is a trap", async (t, open) => {
    const { contact, ann } = await everything();
    const page = await signIn(await open(server, { colorScheme: "dark" }), ann);
    await openConversation(page, contact);
    const stops = [];
    for (let n = 0; n < 80; n++) {
      await page.keyboard.press("Tab");
      const stop = await page.evaluate(() => {
        const element = document.activeElement;
        if (element === document.body) return null;
        const isSeen = (one) => one && ((getComputedStyle(one).outlineStyle !== "none" && parseFloat(getComputedStyle(one).outlineWidth) > 0) || getComputedStyle(one).boxShadow !== "none");
        const active = document.getElementById(element.getAttribute("aria-activedescendant") ?? "");
        const { top, bottom, left, right, width } = element.getBoundingClientRect();
        const name = element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent ?? "";
        const around = element.closest("label, form, [role=listbox]") ?? element.parentElement;
        return { html: element.outerHTML.slice(0, 120), seen: isSeen(element) || isSeen(active) || isSeen(around), inView: width > 0 && bottom > 0 && right > 0 && top < innerHeight && left < innerWidth, name: Boolean(name.trim() || element.querySelector("[alt]:not([alt=''])")) };
      });
      if (!stop) continue; // the browser's own
      if (stops.some(({ html }) => html === stop.html)) break;
      stops.push(stop);
    }
    assert.ok(stops.length > 6, `only ${stops.length} stops`);
    assert.deepEqual(stops.filter(({ seen, inView, name }) => !(seen && inView && name)), []);
  });

  walk("on a phone of 360 px the list and the conversation are two screens: receive, open, read, write, go back", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const page = await open(server, { viewport: PHONE, hasTouch: true, isMobile: true });
    await fits(page, "signing in");
    await signIn(page, ann);
    await receive(server, line, contact, "Hello from far away, with a text that does not fit into one line of such a phone");
    await rowSays(page, contact, /Hello from far/);
    await fits(page, "the list");
    assert.ok(!(await messageField(page).isVisible()), "the list alone");
    await row(page, contact).tap();
    await log(page).waitFor();
    assert.ok(!(await searchField(page).isVisible()), "the conversation alone");
    assert.ok(await messageField(page).isVisible());
    await write(page, "And back, with a long answer, too, so that the line has to be broken somewhere");
    await eventually("Twilio has it", () => api.taken(line).length === 1);
    await api.callback(api.taken(line)[0], "delivered");
    await messageSays(page, api.taken(line)[0].body, /delivered/i);
    await fits(page, "the conversation");
    const box = await messageField(page).boundingBox();
    assert.ok(box.y + box.height <= PHONE.height, "the field is on the screen");
    await receive(server, line, contact, "One more");
    await shows(page, "One more");
    await button(page, "Back").click();
    await searchField(page).waitFor();
    assert.ok(!(await messageField(page).isVisible()));
    await rowSays(page, contact, /One more/);
    await receive(server, line, contact, "While in the list");
    await rowSays(page, contact, /unread/);
    const small = await page.evaluate(() => [...document.querySelectorAll("button, a[href], input, textarea, [role=option]")].filter((element) => element.checkVisibility() && element.getBoundingClientRect().height > 0 && Math.min(element.getBoundingClientRect().height, element.getBoundingClientRect().width) < 24).map((element) => element.outerHTML.slice(0, 100)));
    assert.deepEqual(small, [], "nothing to tap is smaller than 24 px (WCAG 2.2, 2.5.8)");
  });

  walk("a screen reader hears what comes, once: one status, messages in a log, toasts politely, the countdown not each second", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    assert.equal(await page.getByRole("status").count(), 1);
    assert.equal(await page.getByRole("log").count(), 1);
    assert.equal(await page.getByRole("main").count(), 1);
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
    const assertive = await page.evaluate(() => [...document.querySelectorAll("[aria-live=assertive], [role=alert]")].filter((element) => element.textContent.trim()).length);
    assert.equal(assertive, 0, "nothing interrupts");
    await receive(server, line, contact, "Again");
    await shows(page, "Again");
    assert.equal(await log(page).locator(".body").filter({ hasText: "Again" }).count(), 1);
    assert.ok(await page.evaluate(() => document.querySelector("[role=log]").getAttribute("aria-live") !== "off"));
  });

  walk("who wants no motion gets none", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server, { reducedMotion: "reduce" }), ann);
    await openConversation(page, contact);
    assert.equal((await call(server, "POST", `/api/users/${ann.sub}/notifications`, { as: SERVICE, body: { type: "alert", title: "Look", message: "at this", severity: "info" } })).status, 200);
    await button(page, /^Notifications \(1\)/).waitFor();
    const moving = await page.evaluate(() => document.getAnimations().filter((animation) => animation.effect.getComputedTiming().duration > 10).map((animation) => animation.effect.target?.outerHTML.slice(0, 100)));
    assert.deepEqual(moving, []);
  });
});
