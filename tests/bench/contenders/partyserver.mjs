// partyserver's own way of doing what raw-js.mjs does.
//
// Guarantees: it hibernates. An event is acknowledged at once and kept nowhere: no log, no dedupe, no recovery, no tokens.

import { routePartykitRequest, Server } from "partyserver";

/** How often an object was made: it proves that one has slept. */
let made = 0;

export class Room extends Server {
  static options = { hibernate: true };
  offset = 0;

  constructor(...args) {
    super(...args);
    made++;
  }

  onMessage(sender, text) {
    const { event, data, id } = JSON.parse(text);
    const offset = ++this.offset;
    this.broadcast(JSON.stringify({ event, data, offset, at: new Date().toISOString() }), [sender.id]);
    sender.send(JSON.stringify({ ack: id, offset, duplicate: false }));
  }
}

export default {
  fetch: async (request, env) => (await routePartykitRequest(request, env)) ?? new Response(String(made)),
};
