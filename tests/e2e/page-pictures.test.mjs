// The README's pictures, with SCREENSHOTS=1: the page as it is, with conversations that somebody might have.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../tools/tools.mjs";
import { messageField, messageSays, openConversation, PHONE, png, shows, signIn, status, walk, write } from "./browser.mjs";
import { accepted, assign, call, conversationUrl, crash, emitted, eventually, freePort, persistDir, receive, serveWithTwilio, SERVICE } from "./harness.mjs";

const DIR = join(ROOT, "tests/e2e/screenshots");
const [LINE, WHATSAPP] = ["+15552223333", "whatsapp:+15552223333"];
const ANN = { sub: "ann", name: "Ann Archer" };
const BOB = { sub: "bob", name: "Bob Baker" };
const ZOE = "whatsapp:+4915112345678";

/** Something like a blue bicycle. */
const bicycle = () => png(360, 240, (x, y) => {
  const ring = (cx, cy, r) => Math.abs(Math.hypot(x - cx, y - cy) - r) < 4;
  const bar = (x1, y1, x2, y2) => {
    const t = Math.max(0, Math.min(1, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2)));
    return Math.hypot(x - x1 - t * (x2 - x1), y - y1 - t * (y2 - y1)) < 4;
  };
  if (ring(100, 160, 48) || ring(260, 160, 48)) return [45, 50, 60];
  if (bar(100, 160, 145, 95) || bar(145, 95, 235, 95) || bar(235, 95, 175, 160) || bar(175, 160, 100, 160) || bar(145, 95, 175, 160) || bar(228, 72, 260, 160)) return [35, 105, 200];
  if (bar(128, 78, 158, 78) || bar(138, 78, 145, 95) || bar(216, 70, 246, 70)) return [45, 50, 60];
  return y > 205 ? [196, 205, 188] : [226 + y / 12, 236, 244];
});

/** A morning at a shop for bicycles. */
async function morning({ server, api }) {
  for (const line of [LINE, WHATSAPP]) await assign(server, line, "ann", "bob");
  api.onTaken = async (message) => {
    for (const wanted of ["sent", "delivered"]) setTimeout(() => api.callback(message, wanted).catch(() => {}), wanted === "sent" ? 100 : 300);
  };
  const say = (contact, body, fields) => receive(server, contact.startsWith("whatsapp:") ? WHATSAPP : LINE, contact, body, fields);
  await say("+15550007777", "STOP");
  await say("+15550005555", "Do you repair e-bikes, too?");
  await say("+15550005555", "It is the battery, I think.");
  await say("whatsapp:+33612345678", "Merci, à samedi !", { ProfileName: "Chloé Martin" });
  await say("+15550009999", "My order 1042 has not arrived yet.");
  await call(server, "PUT", conversationUrl(LINE, "+15550009999", "/assignee"), { as: BOB, body: { userId: "bob" } });
  await say(ZOE, "Hi! Is the blue bicycle still for sale?", { ProfileName: "Zoë Zimmer" });
  const answer = (id, body, as) => accepted(server, WHATSAPP, ZOE, { id, body }, { as });
  await answer("m-1", "It is! You can see it any day until six.", BOB);
  await say(ZOE, "This one, right?", { ProfileName: "Zoë Zimmer", NumMedia: "1", MediaUrl0: api.addMedia({ bytes: bicycle(), headers: { "content-type": "image/png" } }), MediaContentType0: "image/png" });
  await eventually("it is delivered", () => api.taken(WHATSAPP).length === 1);
  for (const [title, message, severity, type] of [["The newsletter is sent", "To 1,280 customers", "success", "job-completed"], ["A campaign waits for you", "Two posts need your approval", "warning", "approval-needed"]]) {
    await call(server, "POST", "/api/users/ann/notifications", { as: SERVICE, body: { type, title, message, severity } });
  }
}

const contactOf = (address) => address.replace("whatsapp:", "");

if (process.env.SCREENSHOTS === "1") {
  mkdirSync(DIR, { recursive: true });
  const picture = async (page, name) => {
    await page.evaluate(() => Promise.all([...document.images].map((image) => image.decode().catch(() => {}))));
    await page.waitForTimeout(6_000); // toasts are gone
    await page.screenshot({ path: join(DIR, `${name}.png`) });
  };

  walk("the pictures for the README", async (t, open) => {
    const where = { persist: persistDir(), port: await freePort() };
    const both = await serveWithTwilio(t, { ...where, vars: { OPEN_KINDS: "ticket,job" } });
    const { server, api } = both;
    await morning(both);
    const ann = await signIn(await open(server, { viewport: { width: 1200, height: 760 }, colorScheme: "light" }), ANN);
    const bob = await signIn(await open(server, { viewport: { width: 1200, height: 760 }, colorScheme: "dark" }), BOB);
    const phone = await signIn(await open(server, { viewport: PHONE, deviceScaleFactor: 2, colorScheme: "light", hasTouch: true, isMobile: true }), { sub: "cleo", name: "Cleo Clark", rooms: [`line:${LINE}`, `line:${WHATSAPP}`] });
    for (const [id, title, status] of [["311", "Bell is missing in the delivery", "open"], ["310", "Invoice for the workshop", "in progress"]]) await emitted(server, { event: "ticket:created", data: { id, title, status } });
    for (const page of [ann, bob]) await openConversation(page, contactOf(ZOE));
    await write(ann, "That is the one. Shall I keep it for you until Saturday?");
    await messageSays(ann, "That is the one. Shall I keep it for you until Saturday?", /delivered/i);
    await api.callback(api.taken(WHATSAPP).at(-1), "read");
    await messageField(ann).fill("It comes with a lock and two lights, ");
    const typing = setInterval(() => messageField(bob).pressSequentially("x").catch(() => {}), 1_500);
    await ann.getByText(/Bob Baker is typing/).waitFor();
    await picture(ann, "inbox");
    clearInterval(typing);
    await messageField(bob).fill("");

    await openConversation(phone, "+15550005555");
    await write(phone, "We do. Can you bring it in tomorrow?");
    await messageSays(phone, "We do. Can you bring it in tomorrow?", /delivered/i);
    await picture(phone, "phone");

    await openConversation(bob, contactOf(ZOE));
    for (const page of [ann, bob, phone]) page.mayLoseServer = true;
    await crash(server);
    await status(bob, /^reconnecting/);
    await write(bob, "I have put a sign on it.");
    await shows(bob, "I have put a sign on it.");
    await eventually("a wait that one can read", async () => /in ([4-9]|\d\d) s/.test(await bob.getByRole("status").innerText()), 90_000);
    await bob.screenshot({ path: join(DIR, "reconnecting.png") });
  });
}
