// Cuts the page's connections, for the simulate panel. It stands between the page and the browser's own WebSocket,
// XMLHttpRequest and fetch, so it must be loaded before whatever uses them; the page knows nothing of it.

const open = new Set();
let cutUntil = 0;

const isCut = () => performance.now() < cutUntil;

class Wire extends WebSocket {
  constructor(...args) {
    super(...args);
    open.add(this);
    this.addEventListener("close", () => open.delete(this));
    if (isCut()) this.close();
  }
}

class Poll extends XMLHttpRequest {
  send(...args) {
    open.add(this);
    this.addEventListener("loadend", () => open.delete(this));
    super.send(...args);
    if (isCut()) this.abort();
  }

  /** As a WebSocket's. */
  close() {
    this.abort();
  }
}

/** The browser's own, for the panel itself. */
export const fetchAnyway = window.fetch.bind(window);

window.WebSocket = Wire;
window.XMLHttpRequest = Poll;
window.fetch = (...args) => (isCut() ? Promise.reject(new TypeError("the connection is cut")) : fetchAnyway(...args));

/** Ends every connection that is open, and for so long those that are tried. */
export function cut(seconds) {
  cutUntil = performance.now() + seconds * 1000;
  for (const connection of [...open]) connection.close();
}
