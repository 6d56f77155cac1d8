// `npm run restore`: the rooms of a backup (backup.mjs) into a Dialtone where nobody has used them.
//
//   TOKEN=… npm run restore -- --url URL --in FILE [--room ROOM]… [--new-epoch]
//
// TOKEN is of role `service`. The file is checked whole before anything is sent. `--room` takes those alone. With
// `--new-epoch` clients that come back are told that they have not recovered: for a backup that is older than what they
// have seen. The rooms are opened when all of them are there, so that none passes on to one that is still to come; when
// it was interrupted, the same command begins again.

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { client, complain, hashOf } from "./backup.mjs";
import { Complaint, elapsed, main } from "./tools.mjs";

/** A page is sent when it is larger than this, in characters. */
const PAGE_CHARS = 1_000_000;

/** Each room's last line, by its name, of a file that is whole. */
async function check(path) {
  const ends = new Map();
  let open;
  let done = false;
  for await (const line of lines(path)) {
    const json = parse(line, path);
    if (done) throw new Complaint(`${path} goes on after its end`);
    if (json.backup !== undefined && !open) {
      if (json.backup !== 1) throw new Complaint(`${path} was made by another version (backup ${json.backup})`);
      open = { room: json.room, rows: 0, hash: hashOf().update(`${line}\n`) };
    } else if (open && Array.isArray(json)) {
      open.hash.update(`${line}\n`);
      open.rows++;
    } else if (open && json.end === open.room) {
      if (open.hash.digest("hex") !== json.sha256 || open.rows !== json.rows) throw new Complaint(`${path} is damaged: the rows of ${json.end}`);
      ends.set(json.end, json);
      open = undefined;
    } else if (!open && json.rooms === ends.size) {
      done = true;
    } else {
      throw new Complaint(`${path} is no backup, or is damaged: ${line.slice(0, 80)}`);
    }
  }
  if (!done) throw new Complaint(`${path} is cut off`);
  return ends;
}

const lines = (path) => createInterface({ input: createReadStream(path, "utf8").on("error", () => {}), crlfDelay: Infinity });

function parse(line, path) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Complaint(`${path} is damaged: ${line.slice(0, 80)}`);
  }
}

export async function restore({ url, token, from, only = [], newEpoch = false, say = console.log }) {
  const ask = client(url, token);
  const ends = await check(from);
  const missing = only.find((room) => !ends.has(room));
  if (missing) throw new Complaint(`${from} has no ${missing}`);
  const put = async (room, page) => {
    const answer = await ask("PUT", `/rooms/${encodeURIComponent(room)}/backup`, page);
    if (answer.status !== 200) complain(`${room}, page ${page.page}`, answer);
  };
  const there = [];
  let current;
  const send = async () => {
    await put(current.end.end, { ...current.page, rows: current.rows });
    current.page.page++;
    current.rows = [];
    current.chars = 0;
  };
  for await (const line of lines(from)) {
    const json = parse(line, from);
    if (json.backup !== undefined) {
      const end = ends.get(json.room);
      const { schema, epoch, at } = end;
      const page = { schema, epoch: newEpoch ? randomBytes(8).toString("hex") : epoch, at, page: 0 };
      current = only.length === 0 || only.includes(json.room) ? { end, page, rows: [], chars: 0 } : undefined;
    } else if (current && Array.isArray(json)) {
      current.rows.push(json);
      current.chars += line.length;
      if (current.chars > PAGE_CHARS) await send();
    } else if (current && json.end !== undefined) {
      await send();
      there.push(current);
      current = undefined;
    }
  }
  for (const { end, page } of there) {
    await put(end.end, { ...page, last: true });
    say(`${end.end}: ${end.rows} rows, at ${page.epoch}:${end.offset}`);
  }
  return there.length;
}

main(import.meta.url, async (args) => {
  const start = Date.now();
  const { values } = parseArgs({
    args,
    options: {
      url: { type: "string" },
      in: { type: "string" },
      room: { type: "string", multiple: true, default: [] },
      "new-epoch": { type: "boolean", default: false },
    },
  });
  if (!values.in) throw new Complaint("--in FILE is needed: the backup.");
  const count = await restore({ url: values.url, from: values.in, only: values.room, newEpoch: values["new-epoch"] });
  console.log(`${count} rooms restored (${elapsed(start)})`);
});
