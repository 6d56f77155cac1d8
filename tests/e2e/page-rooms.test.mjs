// What else the page shows (CONTRACT "The page"): chats, rooms of one's own, tickets, jobs, notifications.

import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { button, isMarked, log, mark, messageField, openRoom, PATIENCE_MS, person, roomField, says, showList, shows, showsExactly, signIn, statusText, walk, write } from "./browser.mjs";
import { call, emitted, eventually, history, serve, SERVICE, sleep } from "./harness.mjs";

let server;
const ends = [];
before(async () => {
  server = await serve({ after: (end) => ends.push(end) }, { vars: { OPEN_KINDS: "ticket,job" } });
});
after(() => Promise.all(ends.map((end) => end())));

let count = 0;
const newId = (what) => `${what}-${++count}`;
const publish = async (route, body) => {
  const answer = await call(server, "POST", route, { as: SERVICE, body });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
};

describe("rooms", { concurrency: 4 }, () => {
  walk("two tabs in a room of one's own see each other, see the other type, and read what the other sends", async (t, open) => {
    const room = `demo:${newId("lobby")}`;
    const [ann, bob] = [person("Ann Archer", { rooms: ["demo:*"] }), person("Bob Baker", { rooms: ["demo:*"] })];
    const pages = [await open(server), await open(server)];
    assert.match(await statusText(pages[0]), /^offline/);
    await signIn(pages[0], ann, { room });
    await signIn(pages[1], bob, { room });
    const here = (page) => page.getByRole("list", { name: "Here now" });
    await here(pages[0]).getByText("Bob Baker").waitFor();
    await here(pages[1]).getByText("Ann Archer").waitFor();
    await messageField(pages[0]).pressSequentially("Good mor", { delay: 20 });
    await pages[1].getByText(/Ann Archer is typing/).waitFor();
    await messageField(pages[0]).pressSequentially("ning");
    await button(pages[0], "Send").click();
    await shows(pages[1], "Good morning");
    await pages[1].getByText(/is typing/).waitFor({ state: "hidden" });
    await messageField(pages[1]).fill("Hello Ann");
    await messageField(pages[1]).press("Enter");
    for (const page of pages) await showsExactly(page, ["Good morning", "Hello Ann"]);
    await says(log(pages[0]), /Bob Baker/);
    await emitted(server, { room, event: "weather", data: { degrees: 21 } });
    await emitted(server, { room, event: "message", data: { body: "In the guides' words" } });
    for (const page of pages) await says(log(page), /weather.*21.*In the guides' words/);
    assert.equal((await history(server, room)).messages.length, 4);
    await pages[1].context().close();
    await here(pages[0]).getByText("Bob Baker").waitFor({ state: "hidden" });
  });

  walk("a chat in two browsers: what one sends is in the other at once, in order, with typing; what was said before is there", async (t, open) => {
    const room = `chat:${newId("c")}`;
    const [ann, bob] = [person("Ann Archer", { rooms: ["chat:*"] }), person("Bob Baker", { rooms: ["chat:*"] })];
    const said = (as, text) => call(server, "POST", `/rooms/${room}/events`, { as, body: { event: "send_message", data: { message: text } } });
    assert.equal((await said(bob, "Before anyone looked")).status, 200);
    const pages = [await signIn(await open(server), ann, { room }), await signIn(await open(server), bob)];
    await openRoom(pages[1], room);
    for (const page of pages) await mark(page);
    for (const page of pages) await showsExactly(page, ["Before anyone looked"]);
    await messageField(pages[1]).pressSequentially("Hm", { delay: 20 });
    await pages[0].getByText(/is typing/).waitFor();
    await messageField(pages[1]).fill("");
    for (const [n, text] of [[0, "One"], [1, "Two"], [0, "Three"]]) {
      await write(pages[n], text);
      for (const page of pages) await shows(page, text);
    }
    for (const page of pages) {
      await showsExactly(page, ["Before anyone looked", "One", "Two", "Three"]);
      assert.ok(await isMarked(page), "the page was not loaded again");
    }
  });

  walk("a ticket that is created is listed on every page; opened, it shows its comments and files as they come", async (t, open) => {
    const id = newId("t");
    const pages = [await signIn(await open(server), person("Ann Archer")), await signIn(await open(server), person("Bob Baker"))];
    const ticket = { id, title: `The printer smokes ${id}`, status: "open", priority: "high" };
    await emitted(server, { event: "ticket:created", data: ticket });
    const name = new RegExp(`The printer smokes ${id}`);
    const listed = (page) => ["button", "link", "option", "listitem"].map((role) => page.getByRole(role, { name })).reduce((one, other) => one.or(other)).first();
    for (const page of pages) {
      await showList(page, "Tickets");
      await listed(page).waitFor();
    }
    await listed(pages[0]).click();
    await log(pages[0]).waitFor();
    await emitted(server, { rooms: ["*", `ticket:${id}`], event: "ticket:updated", data: { ...ticket, status: "resolved" } });
    for (const page of pages) await page.getByText(/resolved/).first().waitFor();
    // It is in the ticket's room once its status is told there, too.
    await emitted(server, { room: `ticket:${id}`, event: "comment:added", data: { id: "c-1", text: "I have called the fire brigade", author: { name: "Zoë" } } });
    await emitted(server, { room: `ticket:${id}`, event: "attachment:added", data: { id: "a-1", filename: "smoke.jpg", size: 5 } });
    await says(log(pages[0]), /I have called the fire brigade.*smoke\.jpg/);
    await says(log(pages[0]), /Zoë/);
    assert.equal(await pages[1].getByText(/fire brigade/).count(), 0, "only who looks at it");
  });

  walk("a job's progress bar moves as it does, from its last status to its end", async (t, open) => {
    const id = newId("job");
    await publish(`/api/jobs/${id}`, { status: "in_progress", progress: 10, currentPlatform: "instagram" });
    const page = await signIn(await open(server), person("Ann Archer"));
    await roomField(page).fill(`job:${id}`);
    await button(page, "Open").click();
    const bar = page.getByRole("progressbar", { name: new RegExp(id) });
    const value = () => bar.evaluate((element) => Number(element.getAttribute("aria-valuenow") ?? element.value));
    for (const progress of [10, 45, 80]) {
      if (progress > 10) await publish(`/api/jobs/${id}`, { status: "in_progress", progress });
      await eventually(`${progress} %`, async () => (await value()) === progress, PATIENCE_MS);
    }
    await publish(`/api/jobs/${id}`, { status: "failed", progress: 80, error: "The token was revoked" });
    await page.getByText(/The token was revoked/).first().waitFor();
  });

  walk("the bell counts what is unread, those from before and those that come; toasts say so; Mark all read does, in every browser", async (t, open) => {
    const ann = person("Ann Archer");
    const notify = (title) => publish(`/api/users/${ann.sub}/notifications`, { type: "approval-needed", title, message: `${title}, please`, severity: "warning" });
    await notify("Approve the budget");
    const pages = [await signIn(await open(server), ann), await signIn(await open(server), ann)];
    for (const page of pages) await button(page, /^Notifications \(1\)/).waitFor();
    await sleep(2_000); // what comes right after signing in is no news, and has no toast
    await notify("Approve the party");
    for (const page of pages) {
      await button(page, /^Notifications \(2\)/).waitFor();
      await page.getByText(/Approve the party/).first().waitFor(); // the toast, or the list
    }
    const polite = await pages[0].evaluate(() => [...document.querySelectorAll("[aria-live=polite], [role=status], output")].some((element) => /Approve the party/.test(element.textContent)));
    assert.ok(polite, "a screen reader hears of it");
    await button(pages[0], /^Notifications/).click();
    for (const title of ["Approve the budget", "Approve the party"]) await pages[0].getByRole("listitem").filter({ hasText: title }).first().waitFor();
    await button(pages[0], "Mark all read").click();
    for (const page of pages) await button(page, /^Notifications( \(0\))?$/).waitFor();
    const { body } = await call(server, "GET", "/api/notifications?unread=1", { as: ann });
    assert.equal(body.unread, 0);
    await pages[0].reload();
    await button(pages[0], /^Notifications( \(0\))?$/).waitFor();
  });

  walk("a room that one may not enter is refused in words, and everything else goes on", async (t, open) => {
    const room = `demo:${newId("lobby")}`;
    const page = await signIn(await open(server), person("Ann Archer", { rooms: [room] }), { room });
    page.excused = /status of 403/;
    await messageField(page).waitFor();

    await roomField(page).fill("demo:not-mine");
    await button(page, "Open").click();
    await page.getByText(/cannot be opened|does not allow/i).first().waitFor();
    assert.match(await statusText(page), /^connected/);
    await openRoom(page, room);
    await write(page, "Still here");
    await shows(page, "Still here");
  });

  walk("who is away from a chat they are in is told by the bell, and opening the chat reads it", async (t, open) => {
    const chatId = newId("c");
    const [ann, bob] = [person("Ann Archer"), person("Bob Baker")];
    for (const { sub } of [ann, bob]) assert.equal((await call(server, "PUT", `/rooms/chat:${chatId}/members/${sub}`, { as: SERVICE })).status, 200);
    const page = await signIn(await open(server), ann);
    assert.equal((await call(server, "POST", `/rooms/chat:${chatId}/events`, { as: bob, body: { event: "send_message", data: { message: "Are you there?" } } })).status, 200);
    await button(page, /^Notifications \(1\)/).waitFor();
    await openRoom(page, `chat:${chatId}`);
    await showsExactly(page, ["Are you there?"]);
    await button(page, /^Notifications( \(0\))?$/).waitFor();
  });
});
