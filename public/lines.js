// The phone lines: which there are, their rooms, their conversations in pages, in the background.

import { wordsOf } from './api.js';

const LINES_JOINED_MAX = 200;
/** A line that got its first message, or that one was assigned to, is told by nobody to those who do not work it. */
const LOOK_FOR_LINES_MS = { first: 2_000, factor: 1.25, most: 20_000 };

/** Gives `loadLines`. `joined`: the rooms that the connection is in. */
export function createLines({ store, api, live, joined }) {
  const { state } = store;
  let linesRun = null; // { again } while lines are being read

  /** `again`: what is being read now may be from before the connection. */
  async function loadLines({ again = false } = {}) {
    if (linesRun) {
      linesRun.again ||= again;
      return;
    }
    linesRun = { again: true };
    while (linesRun.again) {
      linesRun.again = false;
      await readLines().catch((error) => store.set({ linesProblem: wordsOf(error) }));
    }
    linesRun = null;
  }

  async function readLines() {
    const lines = await api.lines();
    // One that was opened by name may not be among one's own.
    const named = [...state.lines.values()].filter(({ number, isNamed }) => isNamed && !lines.some((line) => line.number === number));
    store.set({ linesLoaded: true, linesProblem: '' });
    store.setLines([...lines, ...named]);
    const rooms = [...state.lines.values()].sort((a, b) => b.unread - a.unread);
    const fresh = rooms.slice(0, LINES_JOINED_MAX).filter(({ number }) => !joined.has(`line:${number}`));
    for (const { number } of fresh) joined.add(`line:${number}`);
    const answers = await live.askAll('/', 'join', fresh.map(({ number }) => ({ room: `line:${number}` })));
    fresh.forEach(({ number }, at) => answers[at].ok || joined.delete(`line:${number}`));
    // After the join: what changes from now on is heard.
    for (const { number, loaded } of [...state.lines.values()]) if (!loaded) await loadConversations(number);
  }

  async function loadConversations(number) {
    try {
      let cursor;
      do {
        const page = await api.conversations(number, cursor);
        store.putConversations(number, page.conversations);
        cursor = page.cursor;
      } while (cursor && state.lines.has(number));
      store.setLine(number, { loaded: true, problem: '' });
    } catch (error) {
      store.setLine(number, { problem: wordsOf(error) });
    }
  }

  function lookForLines(waitMs = LOOK_FOR_LINES_MS.first) {
    if (live.isConnected('/') && !document.hidden) loadLines();
    else waitMs = LOOK_FOR_LINES_MS.first;
    setTimeout(lookForLines, waitMs, Math.min(LOOK_FOR_LINES_MS.most, waitMs * LOOK_FOR_LINES_MS.factor));
  }

  lookForLines();
  return loadLines;
}
