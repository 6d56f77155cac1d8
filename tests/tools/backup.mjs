// `npm run backup`: rooms of a running Dialtone, whole, into a file; `npm run restore` brings them back (restore.mjs).
//
//   TOKEN=… npm run backup -- --url URL --out FILE [--room ROOM]… [--rooms FILE] [--line NUMBER]…
//
// TOKEN is of role `service`; with `--line`, which stands for the line's room and those of all its conversations, it has
// the grant `line:*`. `--rooms` names a file with a room a line. The output file must not be there yet.
//
// The file is lines of JSON: for each room `{"backup": 1, "room": …}`, its rows `[table, value…]`, and
// `{"end": room, epoch, offset, schema, at, rows, sha256}`, of the room's lines before it; at last `{"rooms": how many}`.

import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Complaint, elapsed, main } from "./tools.mjs";

/** A room that changes between its last pages is asked again so often. */
const TRIES = 20;
const WAIT_MS = 250;

/** `(method, path, body?) → {status, body}` of a Dialtone, as the holder of TOKEN. Asked again where it cannot be now. */
export function client(url, token = process.env.TOKEN) {
  if (!url) throw new Complaint("--url URL is needed: where Dialtone is.");
  if (!token) throw new Complaint("TOKEN is needed in the environment: a token of role `service`.");
  return async (method, path, body) => {
    for (let tries = TRIES; ; tries--) {
      try {
        const response = await fetch(new URL(path, url), {
          method,
          headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) },
          body: body && JSON.stringify(body),
        });
        const answer = { status: response.status, body: await response.json().catch(() => ({})) };
        if (answer.status < 500 || tries === 1) return answer;
      } catch (error) {
        if (tries === 1) throw new Complaint(`${url} does not answer: ${error.cause?.message ?? error.message}`);
      }
      await sleep(WAIT_MS);
    }
  };
}

/** What an answer that is no 200 says. */
export function complain(what, { status, body }) {
  throw new Complaint(`${what}: ${status} ${body.code ?? ""} ${body.detail ?? ""}`.trim());
}

/** A line of the file, and all of them together: what a room's checksum is of. */
export const hashOf = () => createHash("sha256");

/** All of a room, row by row, to `write`; gives what its last line says. None where nobody has used it. */
async function backUp(ask, room, write) {
  const path = `/rooms/${encodeURIComponent(room)}/backup`;
  const log = { rows: 0, last: 0 };
  let rest = [];
  let cursor;
  for (let tries = TRIES; ; ) {
    const answer = await ask("GET", cursor === undefined ? path : `${path}?cursor=${encodeURIComponent(cursor)}`);
    if (answer.status === 404 && cursor === undefined) return undefined;
    if (answer.status === 409 && --tries > 0) {
      // It has changed behind its log: what came after the log is of no use.
      rest = [];
      cursor = `0.${log.last}.`;
      await sleep(WAIT_MS);
      continue;
    }
    if (answer.status === 409) throw new Complaint(`${room} changes all the time; back it up while less goes on there`);
    if (answer.status !== 200) complain(room, answer);
    const { rows, epoch, offset, schema, at } = answer.body;
    for (const row of rows) {
      if (row[0] !== "log") {
        rest.push(row);
        continue;
      }
      write(row);
      log.rows++;
      log.last = row[1];
    }
    cursor = answer.body.cursor;
    if (cursor === undefined) {
      rest.forEach(write);
      return { end: room, epoch, offset, schema, at, rows: log.rows + rest.length };
    }
  }
}

/** The rooms of a line: its conversations', and its own. */
async function roomsOfLine(ask, line) {
  const rooms = [`line:${line}`];
  for (let cursor = ""; cursor !== undefined; ) {
    const answer = await ask("GET", `/api/lines/${encodeURIComponent(line)}/conversations?limit=200${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    if (answer.status !== 200) complain(`the conversations of ${line}`, answer);
    rooms.push(...answer.body.conversations.map(({ contact }) => `sms:${line}:${contact}`));
    cursor = answer.body.cursor;
  }
  return rooms;
}

/** Conversations before their lines: what the one has passed on, the other has then, or still will get. */
const inOrder = (rooms) => [...new Set(rooms)].sort((a, b) => b.startsWith("sms:") - a.startsWith("sms:"));

export async function backup({ url, token, rooms, lines = [], out, say = console.log }) {
  const ask = client(url, token);
  const all = [...rooms];
  for (const line of lines) all.push(...(await roomsOfLine(ask, line)));
  if (all.length === 0) throw new Complaint("Which rooms? --room, --rooms or --line says so.");
  let file;
  try {
    file = openSync(out, "wx", 0o600); // it holds what people wrote
  } catch (error) {
    throw new Complaint(error.code === "EEXIST" ? `${out} is there already` : error.message);
  }
  try {
    let count = 0;
    for (const room of inOrder(all)) {
      const hash = hashOf();
      const write = (json, hashed = true) => {
        const line = `${JSON.stringify(json)}\n`;
        if (hashed) hash.update(line);
        writeSync(file, line);
      };
      const head = { backup: 1, room };
      let begun = false;
      const row = (json) => {
        if (!begun) write(head);
        begun = true;
        write(json);
      };
      const end = await backUp(ask, room, row);
      if (end === undefined) {
        say(`${room}: nobody has used it, left out`);
        continue;
      }
      if (!begun) write(head);
      write({ ...end, sha256: hash.digest("hex") }, false);
      say(`${room}: ${end.rows} rows, up to ${end.epoch}:${end.offset}`);
      count++;
    }
    writeSync(file, `${JSON.stringify({ rooms: count })}\n`);
    fsyncSync(file);
    return count;
  } catch (error) {
    rmSync(out, { force: true }); // half a backup is none
    throw error;
  } finally {
    closeSync(file);
  }
}

/** The lines of a file of rooms. */
const listed = (path) => readFileSync(path, "utf8").split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));

main(import.meta.url, async (args) => {
  const start = Date.now();
  const many = { type: "string", multiple: true, default: [] };
  const { values } = parseArgs({ args, options: { url: { type: "string" }, out: { type: "string" }, room: many, rooms: many, line: many } });
  if (!values.out) throw new Complaint("--out FILE is needed: where the backup goes.");
  const rooms = [...values.room, ...values.rooms.flatMap(listed)];
  const count = await backup({ url: values.url, rooms, lines: values.line, out: values.out });
  console.log(`${count} rooms in ${values.out} (${elapsed(start)})`);
});
