// `npm run token`: a token for development, signed with JWT_SECRET of .dev.vars (or of the environment).
//
//   npm run --silent token -- --sub u1 [--role admin] [--name Ann] [--rooms 'chat:*,job:7']… [--rooms-read 'x:*']…
//                             [--ttl 1h] [--int-sub] [--claim NAME=JSON]…
//
// Only the token goes to stdout.

import { createHmac } from "node:crypto";
import { parseArgs } from "node:util";
import { devVars } from "./setup.mjs";
import { Complaint, main, readDevVars } from "./tools.mjs";

const UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A JWT of these claims, HS256. */
export function sign(claims, secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** "30s", "15m", "1h", "7d" in seconds; negative makes a token that has expired. */
export function ttlSeconds(ttl) {
  const [, count, unit] = ttl.match(/^(-?\d+)([smhd])$/) ?? [];
  if (!unit) throw new Complaint(`--ttl is a number with s, m, h or d, such as 1h, not ${ttl}`);
  return Number(count) * UNIT_SECONDS[unit];
}

function claimsOf(values) {
  if (!values.sub) throw new Complaint("--sub USER is needed: who the token is for.");
  if (values["int-sub"] && !Number.isSafeInteger(Number(values.sub))) throw new Complaint(`--int-sub needs an integer --sub, not ${values.sub}`);
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: values["int-sub"] ? Number(values.sub) : values.sub, iat: now, exp: now + ttlSeconds(values.ttl) };
  for (const name of ["name", "role"]) if (values[name]) claims[name] = values[name];
  for (const [option, name] of [["rooms", "rooms"], ["rooms-read", "rooms_read"]]) {
    const grants = values[option].flatMap((list) => list.split(",")).map((grant) => grant.trim()).filter(Boolean);
    if (grants.length) claims[name] = grants;
  }
  for (const claim of values.claim) {
    const [, name, json] = claim.match(/^([^=]+)=(.*)$/s) ?? [];
    if (!name) throw new Complaint(`--claim is NAME=JSON, not ${claim}`);
    claims[name] = parseJson(json);
  }
  return claims;
}

/** What is not JSON is a string: `--claim aud=dialtone`. */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

main(import.meta.url, (args) => {
  const many = { type: "string", multiple: true, default: [] };
  const { values } = parseArgs({
    args,
    options: {
      sub: { type: "string" },
      "int-sub": { type: "boolean" },
      name: { type: "string" },
      role: { type: "string" },
      rooms: many,
      "rooms-read": many,
      claim: many,
      ttl: { type: "string", default: "1h" },
    },
  });
  const claims = claimsOf(values);
  if (!process.env.JWT_SECRET) devVars((line) => console.error(`setup: ${line}`));
  console.log(sign(claims, process.env.JWT_SECRET || readDevVars().JWT_SECRET));
});
