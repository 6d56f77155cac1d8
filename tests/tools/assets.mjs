// The ASSETS binding of `npm run serve`: what Cloudflare's static assets do with wrangler.toml's settings, over
// workerd's disk service. Runs inside workerd, not in Node.

const CONTENT_TYPES = {
  css: "text/css; charset=utf-8",
  gif: "image/gif",
  html: "text/html; charset=utf-8",
  ico: "image/vnd.microsoft.icon",
  jpg: "image/jpeg",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  map: "application/json",
  mjs: "text/javascript; charset=utf-8",
  mp3: "audio/mpeg",
  png: "image/png",
  svg: "image/svg+xml",
  txt: "text/plain; charset=utf-8",
  wasm: "application/wasm",
  webmanifest: "application/manifest+json",
  webp: "image/webp",
  woff2: "font/woff2",
  xml: "application/xml",
};

/** What Cloudflare reads and does not serve. */
const NOT_ASSETS = ["/_headers", "/_redirects"];

let rules;

/** Of Cloudflare's `_headers` what ours needs: a path, or what one begins with and `*`, and under it, indented, headers. */
function headerRules(text) {
  const found = [];
  for (const line of text.split("\n").filter((line) => /^\s*[^\s#]/.test(line))) {
    const [, name, value] = line.match(/^\s+([\w-]+):\s*(.*?)\s*$/) ?? [];
    if (name) {
      found.at(-1).headers.push([name, value]);
      continue;
    }
    const [path, rest] = line.trim().split("*");
    found.push({ matches: (asked) => (rest === undefined ? asked === path : asked.startsWith(path)), headers: [] });
  }
  return found;
}

export default {
  async fetch(request, env) {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("method not allowed\n", { status: 405, headers: { Allow: "GET, HEAD" } });
    }
    const url = new URL(request.url); // has resolved every `..`, also the percent-encoded
    // Nothing in public/ needs an encoded slash, backslash or dot file.
    if (/%2f|%5c|\\|%00|\/\./i.test(url.pathname) || NOT_ASSETS.includes(url.pathname)) return notFound();
    // As html_handling = "auto-trailing-slash" does it.
    if (url.pathname === "/index.html") return new Response(null, { status: 307, headers: { Location: "/" } });
    const path = url.pathname === "/" ? "/index.html" : url.pathname;
    const file = await env.PUBLIC.fetch(`http://public${path}`, { method: request.method });
    // The disk service answers a directory with a listing, as JSON.
    if (!file.ok || file.headers.get("Content-Type") !== "application/octet-stream") return notFound();
    const headers = new Headers({
      "Cache-Control": "public, max-age=0, must-revalidate",
      "Content-Type": CONTENT_TYPES[path.split(".").at(-1).toLowerCase()] ?? "application/octet-stream",
    });
    for (const name of ["Content-Length", "Last-Modified"]) {
      const value = file.headers.get(name);
      if (value) headers.set(name, value);
    }
    rules ??= headerRules(env.HEADERS);
    for (const rule of rules) if (rule.matches(url.pathname)) for (const [name, value] of rule.headers) headers.set(name, value);
    return new Response(request.method === "HEAD" ? null : file.body, { headers });
  },
};

const notFound = () => new Response("not found\n", { status: 404, headers: { "Content-Type": "text/plain; charset=utf-8" } });
