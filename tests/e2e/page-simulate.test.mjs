// The simulate panel, clicked: what a phone, Twilio, a backend and bad luck do, on the page of `npm start`.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { bodies, button, isMarked, mark, messageSays, openConversation, PATIENCE_MS, row, rowSays, says, showList, shows, showsExactly, status, tokenField, walk, write } from "./browser.mjs";
import { eventually, newNumber, serveSimulated, sleep } from "./harness.mjs";

let server;
let simulator;
const ends = [];
before(async () => {
  ({ server, simulator } = await serveSimulated({ after: (end) => ends.push(end) }));
});
after(() => Promise.all(ends.map((end) => end())));

/** One part of the panel: fills its fields by their labels, presses its button, and waits for what it says. */
async function simulate(page, part, fields, pressed, wanted = /./) {
  const panel = page.locator("details", { has: page.getByText("simulate", { exact: true }) });
  if ((await panel.getAttribute("open")) === null) await panel.locator("summary").click();
  const form = panel.getByRole("form", { name: part, exact: true });
  for (const [label, value] of Object.entries(fields)) {
    const field = form.getByLabel(label, { exact: true });
    if (typeof value === "boolean") await field.setChecked(value);
    else if ((await field.evaluate((element) => element.tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
  await form.getByRole("button", { name: pressed, exact: true }).click();
  await says(panel.locator("[aria-live]"), new RegExp(`^${pressed}: (?!\\d{3}:|.*does not answer).*${wanted.source}`), `${pressed} is done`);
  await panel.locator("summary").click();
}

walk("a token, an SMS, a picture, statuses, a ticket, a job, a notification, an opt-out: all by the panel, with no reload", async (t, open) => {
  const [line, contact] = [newNumber(), newNumber()];
  const page = await open(server);
  await simulate(page, "a token", { user: "u1", name: "Ann", role: "admin" }, "Fill it in");
  assert.match(await tokenField(page).inputValue(), /^eyJ/);
  await button(page, "Join").click();
  await status(page, /^connected/);
  await mark(page);
  const phone = { "to the line": line, from: contact };
  await simulate(page, "a phone writes", { ...phone, by: "sms", text: "By the panel" }, "Receive it");
  await rowSays(page, contact, /By the panel/);
  await openConversation(page, contact);
  await showsExactly(page, ["By the panel"]);
  await simulate(page, "a phone writes", { ...phone, text: "A picture", "with a picture": true }, "Receive it");
  await shows(page, "A picture");
  await eventually("the picture", () => page.getByRole("log").locator("img").last().evaluate((img) => img.complete && img.naturalWidth > 0), PATIENCE_MS);

  await write(page, "An answer");
  await eventually("the stand-in has it", () => simulator.twilio.messages.length === 1);
  for (const wanted of ["sent", "delivered"]) {
    await simulate(page, "Twilio delivers", { becomes: wanted }, "Advance", new RegExp(wanted));
    await messageSays(page, "An answer", new RegExp(`\\b${wanted}\\b`, "i"));
  }
  await simulate(page, "a phone writes", { ...phone, "with a picture": false }, "STOP");
  await rowSays(page, contact, /opted out/i);
  await simulate(page, "a phone writes", phone, "START");
  await eventually("it is in again", async () => page.getByLabel("message", { exact: true }).isEnabled(), PATIENCE_MS);

  await simulate(page, "a notification", { "for the user": "u1", title: "From the panel" }, "Notify");
  await button(page, /^Notifications \(1\)/).waitFor();
  await simulate(page, "a ticket", { ticket: "7", event: "ticket:created", "its text": "The door squeaks" }, "Emit the ticket");
  await showList(page, "Tickets");
  await page.getByText("The door squeaks").filter({ visible: true }).first().waitFor();
  await page.getByLabel("room", { exact: true }).filter({ visible: true }).fill("job:42");
  await button(page, "Open").click();
  await simulate(page, "a job", { job: "42", is: "in_progress", progress: "35" }, "Publish the job");
  const bar = page.getByRole("progressbar", { name: /42/ });
  await eventually("35 %", () => bar.evaluate((element) => Number(element.getAttribute("aria-valuenow") ?? element.value) === 35), PATIENCE_MS);
  assert.ok(await isMarked(page), "the page was not loaded again");
});

walk("the connection is cut, the server is restarted: the page comes back by itself, with what came meanwhile, once", async (t, open) => {
  const [line, contact] = [newNumber(), newNumber()];
  const page = await open(server);
  page.mayLoseServer = true;
  await simulate(page, "a token", { user: "u2", name: "Bob", role: "admin" }, "Fill it in");
  await button(page, "Join").click();
  await status(page, /^connected/);
  await simulate(page, "a phone writes", { "to the line": line, from: contact, text: "Before" }, "Receive it");
  await row(page, contact).click();
  await shows(page, "Before");
  await simulate(page, "trouble", { "for seconds": "3" }, "Cut the connection");
  await status(page, /^(reconnecting|offline)/);
  await write(page, "While it was cut");
  await simulate(page, "a phone writes", { "to the line": line, from: contact, text: "Meanwhile" }, "Receive it");
  assert.ok(!(await bodies(page)).includes("Meanwhile"));
  await sleep(3_000);
  await button(page, "Reconnect now").click({ timeout: 2_000 }).catch(() => {});
  await status(page, /^connected/);
  await eventually("all of it", async () => (await bodies(page)).length === 3, PATIENCE_MS);
  assert.deepEqual((await bodies(page)).sort(), ["Before", "Meanwhile", "While it was cut"]);
  await simulate(page, "trouble", { "for seconds": "0" }, "Restart the server", /back after/);
  await button(page, "Reconnect now").click({ timeout: 2_000 }).catch(() => {}); // it may be back by itself
  await status(page, /^connected/);
  await simulate(page, "a phone writes", { "to the line": line, from: contact, text: "After the restart" }, "Receive it");
  await shows(page, "After the restart");
  assert.equal((await bodies(page)).length, 4);
  assert.equal(simulator.twilio.posts(line).length, 1);
});
