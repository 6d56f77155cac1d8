// What the page does not do (CONTRACT "The page"): run what others wrote, tell its token, load from elsewhere, weigh much.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ROOT } from "../tools/tools.mjs";
import { button, log, message, openConversation, openRoom, person, rowSays, scene, shows, showsExactly, signIn, walk, write } from "./browser.mjs";
import { ADMIN, call, emitted, receive, serveWithTwilio, SERVICE } from "./harness.mjs";

/** Without the stock client, and without what is served for apps and backends. */
const MAX_GZIP_BYTES = 60_000;
const NOT_THE_PAGES = /^(vendor\/|types\/|openapi\.json$|_headers$)/;

let server;
const ends = [];
before(async () => {
  ({ server } = await serveWithTwilio({ after: (end) => ends.push(end) }, { vars: { OPEN_KINDS: "ticket,job" } }));
});
after(() => Promise.all(ends.map((end) => end())));

const HTML = `<img src=x onerror="alert(1)"> <b>bold</b> <script>alert(2)</script> &amp; <svg/onload=alert(3)>`;
const SCRIPTS = ["javascript:alert(4)", "JAVASCRIPT:alert(4)//https://a.example", "data:text/html,<script>alert(5)</script>", "vbscript:x"];

/** What others wrote made no element: no picture, script, frame or link that is not the page's own. */
async function noneOfTheirs(page) {
  const theirs = await page.evaluate(() => {
    const bad = [...document.querySelectorAll("b, iframe, object, embed, base, img[src='x'], svg[onload], [onerror], [onclick], [onload], body script")].map((element) => element.outerHTML.slice(0, 100));
    const links = [...document.querySelectorAll("a[href], area[href], form[action]")].map((element) => element.getAttribute("href") ?? element.getAttribute("action"));
    return [...bad.filter((html) => !/^<script type="module" src="\/?[\w./-]+"/.test(html)), ...links.filter((href) => !/^(https?:|blob:|mailto:|tel:|[#/.?]|$)/.test(href))];
  });
  assert.deepEqual(theirs, []);
}

describe("the page", { concurrency: 3 }, () => {
  walk("an SMS of HTML and scripts stays text, in the list and in the conversation, and so does the name of who sent it", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const page = await signIn(await open(server), ann);
    const texts = [HTML, `<img src=x onerror=alert(7)>`, ...SCRIPTS.map((url) => `Click ${url} now`), `"><script>alert(8)</script>`];
    for (const [n, text] of texts.entries()) {
      await receive(server, line, contact, text, n === 1 ? { ProfileName: `<img src=x onerror="alert(9)">` } : {});
      if (n === 0) await openConversation(page, contact);
      await rowSays(page, contact, /./);
    }
    await showsExactly(page, texts);
    const links = await log(page).locator("a").evaluateAll((all) => all.map(({ href }) => href));
    assert.deepEqual(links.filter((href) => href !== "https://a.example/"), []);
    await rowSays(page, contact, /<script>alert\(8\)<\/script>/);
    await noneOfTheirs(page);
    await write(page, HTML);
    await shows(page, HTML);
    await noneOfTheirs(page);
  });

  walk("what backends and other people send stays text: names, chats, rooms, tickets, jobs, notifications and their links", async (t, open) => {
    const [ann, bob] = [person("Ann Archer", { rooms: ["demo:*", "chat:*"] }), person(HTML, { rooms: ["demo:*", "chat:*"] })];
    const page = await signIn(await open(server), ann, { room: "demo:safety" });
    const other = await signIn(await open(server), bob, { room: "demo:safety" });
    await write(other, HTML);
    await shows(page, HTML);
    await emitted(server, { room: "demo:safety", event: HTML.slice(0, 40), data: { [HTML]: HTML, url: "javascript:alert(1)" } });
    await emitted(server, { event: "ticket:created", data: { id: "t-1", title: HTML, status: HTML, description: HTML, url: "javascript:alert(1)" } });
    await emitted(server, { event: "ticket:created", data: { id: "t-2", title: { toString: 1 }, status: null } });
    await emitted(server, { event: "ticket:created", data: HTML });
    const posted = async (route, body) => assert.equal((await call(server, "POST", route, { as: SERVICE, body })).status, 200);
    await posted("/api/jobs/safety", { status: "failed", progress: 10, error: HTML, currentPlatform: HTML });
    for (const actionUrl of ["javascript:alert(1)", "https://example.com/job"]) {
      await posted(`/api/users/${ann.sub}/notifications`, { type: "alert", title: HTML, message: HTML, severity: "error", actionUrl });
    }
    await button(page, /^Notifications \(2\)/).click();
    await noneOfTheirs(page);
    await page.keyboard.press("Escape");
    for (const room of ["job:safety", "ticket:t-1", "chat:safety"]) {
      await page.getByLabel("room", { exact: true }).filter({ visible: true }).fill(room);
      await button(page, "Open").click();
      await page.getByText(HTML.slice(0, 20)).filter({ visible: true }).first().waitFor();
      await noneOfTheirs(page);
    }
    await emitted(server, { room: "ticket:t-1", event: "comment:added", data: { text: HTML, author: { name: HTML } } });
    await emitted(server, { room: "ticket:t-1", event: "attachment:added", data: { filename: HTML, url: "javascript:alert(1)" } });
    await openRoom(other, "chat:safety");
    await write(other, HTML);
    await openRoom(page, "chat:safety");
    await shows(page, HTML);
    await noneOfTheirs(page);
  });

  walk("media whose URL or type is not what it should be is no element that loads or runs it", async (t, open) => {
    const { line, contact, ann } = await scene(server);
    const page = await open(server);
    page.excused = /Failed to load resource/; // what is not Twilio's is not there
    const elsewhere = [];
    page.on("request", (request) => request.url().startsWith(server.url) || /^(blob|data):/.test(request.url()) || elsewhere.push(request.url()));
    await signIn(page, ann);
    await receive(server, line, contact, "Pictures", { NumMedia: "3", MediaUrl0: "https://media.example/a.png", MediaContentType0: "image/svg+xml", MediaUrl1: "javascript:alert(3)", MediaContentType1: "text/html", MediaUrl2: "https://media.example/a.html", MediaContentType2: HTML });
    await openConversation(page, contact);
    await message(page, "Pictures").waitFor();
    await noneOfTheirs(page);
    assert.deepEqual(elsewhere, [], "nothing is fetched from elsewhere");
  });

  walk("the page has a strict policy, loads from its own origin alone, and frames nothing", async (t, open) => {
    const policies = [];
    const page = await open(server, {
      before: (page) =>
        page.on("response", (response) => {
          if (response.request().isNavigationRequest()) policies.push(response.headers()["content-security-policy"]);
          if (!response.url().startsWith(server.url)) policies.push(response.url());
        }),
    });
    const { headers } = await call(server, "GET", "/");
    assert.deepEqual(policies, [headers.get("content-security-policy")], "as a header, and nothing from elsewhere");
    const inPage = await page.evaluate(() => document.querySelector("meta[http-equiv=Content-Security-Policy i]")?.content);
    for (const policy of [policies[0], inPage].filter(Boolean)) {
      const rules = new Map(policy.split(";").map((rule) => rule.trim().split(/\s+/)).map(([name, ...sources]) => [name, sources.join(" ")]));
      assert.equal(rules.get("default-src"), "'none'");
      for (const name of ["script-src", "style-src"]) assert.equal(rules.get(name), "'self'", name);
      for (const name of ["base-uri", "form-action"]) assert.equal(rules.get(name), "'none'", name);
      assert.doesNotMatch(policy, /unsafe|\*|https?:(\s|;|$)/);
    }
    assert.match(policies[0], /frame-ancestors 'none'/);
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      try {
        script.textContent = "window.ran = true";
      } catch {
        script.append("window.ran = true"); // Trusted Types
      }
      document.body.append(script);
      script.remove();
      return window.ran === true;
    });
    assert.equal(ran, false, "a script in the page does not run");
    assert.ok(page.complaints.length > 0 && page.complaints.every((text) => /Content Security Policy|TrustedScript/.test(text)), JSON.stringify(page.complaints));
    page.complaints.length = 0;
  });

  test("the page weighs less than 60 KB, gzipped, without the stock client", () => {
    const files = readdirSync(join(ROOT, "public"), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const sizes = files.map((entry) => join(entry.parentPath, entry.name)).map((path) => [path.slice(join(ROOT, "public/").length), gzipSync(readFileSync(path)).length]);
    const own = sizes.filter(([name]) => !NOT_THE_PAGES.test(name));
    const total = own.reduce((sum, [, size]) => sum + size, 0);
    assert.ok(own.length >= 5, "it is there");
    assert.ok(total < MAX_GZIP_BYTES, `${total} bytes: ${own.map(([name, size]) => `${name} ${size}`).join(", ")}`);
  });

  walk("what is served but not counted as the page is not loaded by it; the stock client's licence is beside it", async (t, open) => {
    const paths = [];
    const page = await open(server, { before: (page) => page.on("request", (request) => paths.push(new URL(request.url()).pathname)) });
    await signIn(page, ADMIN);
    assert.deepEqual(paths.filter((path) => /^\/(types\/|openapi)/.test(path)), []);
    const vendored = paths.filter((path) => path.startsWith("/vendor/"));
    assert.deepEqual(vendored, ["/vendor/socket.io.esm.min.js"]);
    const licences = readdirSync(join(ROOT, "public/vendor")).filter((name) => /LICENSE/i.test(name));
    assert.equal(licences.length, 1);
    assert.match(readFileSync(join(ROOT, "public/vendor", licences[0]), "utf8"), /MIT/);
  });
});
