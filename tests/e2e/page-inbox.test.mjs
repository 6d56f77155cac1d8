// A shared inbox for phone lines, in browsers (CONTRACT "The page"): lists, messages in and out, statuses, who else is there.

import assert from "node:assert/strict";
import { after, before, describe } from "node:test";
import { SegmentedMessage } from "sms-segments-calculator";
import { fails, refuses } from "../tools/twilio-api.mjs";
import { button, isMarked, log, mark, message, messageField, messageSays, openConversation, PATIENCE_MS, png, row, rowSays, said, says, scene, searchField, showsExactly, shows, signIn, tokenField, walk, write } from "./browser.mjs";
import { accepted, ADMIN, assign, call, conversationUrl, conversations, eventually, newNumber, receive, serveWithTwilio } from "./harness.mjs";

let server;
let api;
const ends = [];
before(async () => {
  ({ server, api } = await serveWithTwilio({ after: (end) => ends.push(end) }));
});
after(() => Promise.all(ends.map((end) => end())));

/** The message that the stand-in took from this line, once it has one with this text. */
const takenBy = (line, body) => eventually(`Twilio has ${JSON.stringify(body)}`, () => api.taken(line).find((one) => one.body === body));

describe("the inbox", { concurrency: 4 }, () => {
  walk("who signs in sees the conversations of their own lines, with what is unread; opening one reads it, for the others too", async (t, open) => {
    const { line, contact, ann, bob } = await scene(server);
    const [second, quiet, elsewhere] = [newNumber(), newNumber(), newNumber()];
    await assign(server, second, ann.sub);
    await receive(server, line, quiet, "Only one");
    await receive(server, line, contact, "Hello?");
    await receive(server, line, contact, "Anybody there?");
    await receive(server, second, quiet, "On the second line");
    await receive(server, newNumber(), elsewhere, "On somebody else's line");
    const pages = [await signIn(await open(server), ann), await signIn(await open(server), bob)];
    for (const page of pages) {
      await rowSays(page, contact, /Anybody there\?/);
      await rowSays(page, contact, /\b2 unread/);
      await rowSays(page, quiet, /\b1 unread/);
      assert.equal(await row(page, elsewhere).count(), 0, "nobody else's line");
    }
    await pages[0].getByText(second).first().waitFor(); // both lines have their names
    await openConversation(pages[0], contact);
    await showsExactly(pages[0], ["Hello?", "Anybody there?"]);
    for (const page of pages) await eventually("it is read", async () => !/unread/.test(await said(row(page, contact))), PATIENCE_MS);
    await rowSays(pages[1], quiet, /\b1 unread/);
    assert.equal((await conversations(server, line)).find((one) => one.contact === contact).unread, 0);
  });


  walk("a signed SMS appears in the list and in the open conversation of every browser, in order, with no reload", async (t, open) => {
    const { line, contact, ann, bob } = await scene(server);
    const pages = [await signIn(await open(server), ann), await signIn(await open(server), bob)];
    for (const page of pages) await mark(page);
    await receive(server, line, contact, "The first one");
    for (const page of pages) {
      await rowSays(page, contact, /The first one/);
      await openConversation(page, contact);
    }
    for (const text of ["Second", "Third"]) await receive(server, line, contact, text);
    const other = newNumber();
    await receive(server, line, other, "From another");
    for (const page of pages) {
      await showsExactly(page, ["The first one", "Second", "Third"]);
      await rowSays(page, other, /From another/);
      await rowSays(page, other, /\b1 unread/);
      assert.ok(await isMarked(page), "the page was not loaded again");
      const [newest, older] = [await row(page, other).boundingBox(), await row(page, contact).boundingBox()];
      assert.ok(newest.y < older.y, "newest first");
    }
  });

  walk("what is sent goes out once, is in every browser, and its ticks turn as Twilio calls back", async (t, open) => {
    const { line, contact, ann, bob } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const pages = [await signIn(await open(server), ann), await signIn(await open(server), bob)];
    for (const page of pages) await openConversation(page, contact);
    await write(pages[0], "Good morning!");
    assert.equal(await messageField(pages[0]).inputValue(), "", "the field is free for the next one");
    const taken = await takenBy(line, "Good morning!");
    for (const page of pages) await messageSays(page, "Good morning!", /queued/i);
    for (const wanted of ["sent", "delivered", "read"]) {
      assert.equal(await api.callback(taken, wanted), 204);
      for (const page of pages) await messageSays(page, "Good morning!", new RegExp(`\\b${wanted}\\b`, "i"));
    }
    await messageField(pages[1]).fill("Bob's answer");
    await messageField(pages[1]).press("Enter");
    for (const page of pages) await showsExactly(page, ["Hello?", "Good morning!", "Bob's answer"]);
    await rowSays(pages[0], contact, /Bob's answer/);
    assert.deepEqual(api.posts(line).map(({ form }) => form.Body), ["Good morning!", "Bob's answer"]);
  });

  walk("a message that Twilio refuses is failed, with the reason, and Retry sends it again as another; one that nobody knows of is unknown", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    api.next(line, refuses(21614));
    await write(page, "Try this");
    await messageSays(page, "Try this", /failed:? .*not a mobile number/i);
    await message(page, "Try this").getByRole("button", { name: "Retry" }).click();
    const again = await takenBy(line, "Try this");
    await api.callback(again, "delivered");
    await eventually("the second try is delivered", async () => /\bdelivered\b/i.test(await said(log(page))), PATIENCE_MS);
    assert.equal(api.posts(line).length, 2);
    const sent = (await call(server, "GET", conversationUrl(line, contact, "/messages"), { as: ADMIN })).body.messages.filter(({ event }) => event === "message_updated");
    assert.equal(new Set(sent.map(({ data }) => data.id)).size, 2, "another id");

    api.next(line, fails(false));
    await write(page, "Who knows");
    await messageSays(page, "Who knows", /\bunknown\b/i);
    await eventually("Twilio was asked", () => api.lists(line).length > 0);
    assert.equal(api.posts(line).length, 3, "nothing is sent again by itself");
  });

  walk("who has opted out is marked so, cannot be written to, and after START can", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    assert.ok(await messageField(page).isEnabled());
    await receive(server, line, contact, "STOP");
    await rowSays(page, contact, /opted out/i);
    await eventually("nothing can be written", () => messageField(page).isDisabled(), PATIENCE_MS);
    assert.ok(await button(page, "Send").isDisabled());
    await page.getByText(/has opted out/i).filter({ visible: true }).first().waitFor(); // why
    await receive(server, line, contact, "START");
    await eventually("it can be written again", () => messageField(page).isEnabled(), PATIENCE_MS);
    await write(page, "Welcome back");
    await takenBy(line, "Welcome back");
  });

  walk("a second browser that types is seen, so is who else looks at the conversation, and that they left", async (t, open) => {
    const { line, contact, ann, bob } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const pages = [await signIn(await open(server), ann), await signIn(await open(server), bob)];
    for (const page of pages) await openConversation(page, contact);
    await pages[0].getByText(/Bob Baker is looking at this/).waitFor();
    await pages[1].getByText(/Ann Archer is looking at this/).waitFor();
    await messageField(pages[1]).pressSequentially("Good mor", { delay: 20 });
    await pages[0].getByText(/Bob Baker is typing/).waitFor();
    await pages[0].getByText(/is typing/).waitFor({ state: "hidden" }); // over by itself
    await messageField(pages[1]).pressSequentially("ning");
    await pages[0].getByText(/Bob Baker is typing/).waitFor();
    await button(pages[1], "Send").click();
    await shows(pages[0], "Good morning");
    await pages[0].getByText(/is typing/).waitFor({ state: "hidden" });
    await pages[1].context().close();
    await pages[0].getByText(/Bob Baker is looking at this/).waitFor({ state: "hidden" });
  });

  walk("the composer counts the segments as npm sms-segments-calculator does, and the server answers as many", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    const composer = page.locator("form").filter({ has: messageField(page) });
    for (const text of ["Hi", "a".repeat(160), "a".repeat(161), "ü€{}", "Grüße 🙂", "🙂".repeat(36), "漢".repeat(71), "a\nb", "x".repeat(1500)]) {
      await messageField(page).fill(text);
      const { segmentsCount } = new SegmentedMessage(text);
      await says(composer, new RegExp(`\\b${segmentsCount} segments?\\b`), `${JSON.stringify(text.slice(0, 20))}, ${text.length} long: ${segmentsCount}`);
    }
    const { segments } = await accepted(server, line, contact, { id: "m-1", body: "🙂".repeat(36) });
    assert.equal(segments, new SegmentedMessage("🙂".repeat(36)).segmentsCount);
  });

  walk("a picture that came with a message is fetched with the token in a header, and shown; other files are offered to keep", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const picture = api.addMedia({ bytes: png(120, 80), headers: { "content-type": "image/png" } });
    const card = api.addMedia({ bytes: Buffer.from("BEGIN:VCARD"), headers: { "content-type": "text/vcard" } });
    const page = await open(server);
    const fetched = [];
    page.on("request", (request) => request.url().includes("/media/") && fetched.push(request));
    await signIn(page, ann);
    await receive(server, line, contact, "Look", { MessageSid: `MM${"ab".repeat(16)}`, NumMedia: "2", MediaUrl0: picture, MediaContentType0: "image/png", MediaUrl1: card, MediaContentType1: "text/vcard" });
    await openConversation(page, contact);
    const image = message(page, "Look").locator("img");
    await eventually("the picture", () => image.evaluate((img) => img.complete && img.naturalWidth === 120), PATIENCE_MS);
    assert.match(await image.getAttribute("src"), /^blob:/);
    assert.ok(await image.getAttribute("alt"), "it has words");
    for (const request of fetched) assert.match((await request.allHeaders()).authorization, /^Bearer /);
    assert.ok(fetched.length > 0);
    await says(message(page, "Look"), /text\/vcard|vcard|file|download/i);
  });

  walk("search finds a conversation by its number, its name and its last words, and is undone with Escape", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const [other, zoe] = [newNumber(), newNumber()];
    const whatsapp = `whatsapp:${line}`;
    await assign(server, whatsapp, ann.sub);
    await receive(server, line, contact, "About the bicycle");
    await receive(server, line, other, "About the house");
    await receive(server, whatsapp, `whatsapp:${zoe}`, "About nothing", { ProfileName: "Zoë Zimmer" });
    const page = await signIn(await open(server), ann);
    const zoes = page.getByRole("option", { name: /Zoë Zimmer/ }).or(page.getByRole("listitem", { name: /Zoë Zimmer/ })).or(page.getByRole("link", { name: /Zoë Zimmer/ })).or(page.getByRole("button", { name: /Zoë Zimmer/ })).first();
    const seen = async () => [await row(page, contact).isVisible(), await row(page, other).isVisible(), await zoes.isVisible()];
    const becomes = async (wanted, what) => {
      let shown;
      await eventually(what, async () => String((shown = await seen())) === String(wanted), PATIENCE_MS).catch(() => assert.deepEqual(shown, wanted, what));
    };
    await becomes([true, true, true], "all three, WhatsApp's with its name");
    for (const [text, wanted] of [
      [contact, [true, false, false]],
      ["bicycle", [true, false, false]],
      ["HOUSE", [false, true, false]],
      ["zoë", [false, false, true]],
      ["nobody has this", [false, false, false]],
    ]) {
      await searchField(page).fill(text);
      await becomes(wanted, `a search for ${text}`);
    }
    await searchField(page).press("Escape");
    await becomes([true, true, true], "all again");
    assert.equal(await searchField(page).inputValue(), "");
  });

  walk("a conversation says who deals with it, and one can take it", async (t, open) => {
    const { line, contact, ann, bob } = await scene(server);
    await receive(server, line, contact, "Hello?");
    const page = await signIn(await open(server), ann);
    await rowSays(page, contact, /Hello/);
    const route = conversationUrl(line, contact, "/assignee");
    assert.equal((await call(server, "PUT", route, { as: bob, body: { userId: bob.sub } })).status, 200);
    await rowSays(page, contact, new RegExp(`${bob.sub}|${bob.name}`));
    assert.equal((await call(server, "PUT", route, { as: bob, body: { userId: null } })).status, 200);
    await eventually("nobody does", async () => !(await said(row(page, contact))).includes(bob.sub), PATIENCE_MS);
  });

  walk("days are separated, links are links, a reload keeps the session, and Sign out ends it", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    await receive(server, line, contact, "See https://example.com/a?b=1, or http://example.org.");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    await says(log(page), /\bToday\b/i);
    const links = log(page).locator("a");
    assert.deepEqual(await links.evaluateAll((all) => all.map(({ href, target, rel }) => [href, target, /noopener|noreferrer/.test(rel)])), [
      ["https://example.com/a?b=1", "_blank", true],
      ["http://example.org/", "_blank", true],
    ]);
    await page.reload();
    await rowSays(page, contact, /example\.com/);
    await page.getByRole("status").getByText(/^connected/).first().waitFor();
    await button(page, "Sign out").click();
    await tokenField(page).waitFor();
    assert.equal(await row(page, contact).count(), 0, "nothing is left on the screen");
    assert.doesNotMatch(JSON.stringify(await page.evaluate(() => [{ ...sessionStorage }, { ...localStorage }])), /eyJ/, "nor the token");
    await page.reload();
    await tokenField(page).waitFor();
  });

  walk("a message to a conversation that is not open counts as unread, and one's own are not counted", async (t, open) => {
    const { line, contact, ann, bob } = await scene(server);
    const other = newNumber();
    await receive(server, line, contact, "Hello?");
    await receive(server, line, other, "Hello, too");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    await accepted(server, line, contact, { id: "m-1", body: "Bob wrote this" }, { as: bob });
    await shows(page, "Bob wrote this");
    await says(message(page, "Bob wrote this"), new RegExp(`${bob.sub}|${bob.name}`), "who wrote it");
    await receive(server, line, other, "And again");
    await rowSays(page, other, /\b2 unread/);
    assert.doesNotMatch(await said(row(page, contact)), /unread/);
  });

  walk("drafts stay with their conversation", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const other = newNumber();
    await receive(server, line, contact, "Hello?");
    await receive(server, line, other, "Hello, too");
    const page = await signIn(await open(server), ann);
    await openConversation(page, contact);
    await messageField(page).fill("Half a thought");
    await openConversation(page, other);
    await showsExactly(page, ["Hello, too"]);
    assert.equal(await messageField(page).inputValue(), "", "not sent to somebody else by mistake");
    await openConversation(page, contact);
    await showsExactly(page, ["Hello?"]);
    assert.equal(await messageField(page).inputValue(), "Half a thought");
  });
});
