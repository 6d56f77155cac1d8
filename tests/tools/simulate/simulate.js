// The simulate panel: what a phone, Twilio and a backend would do, by a click. It is on the page of `npm start` alone, and
// asks the server of tests/tools/simulate.mjs, whose address its script tag says.

import { cut, fetchAnyway } from "./simulate-wires.js";

const SERVER = document.querySelector("script[data-server]").dataset.server;
const KEPT = "dialtone-simulate";
const REFRESH_INTERVAL_MS = 2000;
const CHOICES = 20;

const STATUSES = ["sent", "delivered", "read", "undelivered", "failed"];
const TICKET_EVENTS = ["ticket:created", "ticket:updated", "comment:added"];
const JOB_STATUSES = ["pending", "in_progress", "approved", "published", "failed", "draft"];
const NOTIFICATION_TYPES = ["alert", "approval-needed", "job-completed", "job-failed", "insight-available", "sync-complete"];
const SEVERITIES = ["info", "success", "warning", "error"];

// ── Elements ──

/** An element; what is among `children` and not an element is text. */
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

let fields = 0;
/** A field with its label beside it. */
function label(text, control) {
  control.id = `simulate-field-${++fields}`;
  return h("div", { class: "simulate-field" }, h("label", { for: control.id }, text), control);
}

const input = (name, value = "", more = {}) => h("input", { name, value, autocomplete: "off", spellcheck: "false", ...more });
const select = (name, options) => h("select", { name }, ...options.map((option) => h("option", {}, option)));
const check = (text, name, more = {}) => h("label", { class: "simulate-check" }, h("input", { type: "checkbox", name, ...more }), text);

/** A part of the panel: its fields, and buttons by what they do with the fields' values. */
function part(title, fields, buttons) {
  const form = h("form", { "aria-label": title, onsubmit: (event) => event.preventDefault() }, h("h2", {}, title), ...fields);
  const values = () => Object.fromEntries(new FormData(form));
  form.append(
    h(
      "p",
      {},
      ...Object.entries(buttons).map(([text, act], at) =>
        // The first answers Enter.
        h("button", { type: at === 0 ? "submit" : "button", onclick: () => form.reportValidity() && attempt(text, () => act(values())) }, text),
      ),
    ),
  );
  return form;
}

// ── Asking ──

async function ask(method, path, body) {
  const init = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetchAnyway(SERVER + path, { method, ...init });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${response.status}: ${answer.detail}`);
  return answer;
}

const post = (path, body = {}) => ask("POST", path, body);

const outcome = h("p", { class: "simulate-outcome", "aria-live": "polite" });

/** Does it, and says what came of it. */
async function attempt(what, act) {
  outcome.textContent = `${what} …`;
  try {
    outcome.textContent = `${what}: ${(await act()) ?? "done"}`;
    keep();
    await refresh();
  } catch (error) {
    outcome.textContent = `${what}: ${error.message === "Failed to fetch" ? "`npm start` does not answer" : error.message}`;
  }
}

// ── What a phone does ──

const line = () => input("line", "+15552223333", { required: true });

const receive = async ({ picture, ...message }, more = {}) => {
  const { room } = await post("/sms", { ...message, media: picture ? 1 : 0, ...more });
  return `in ${room}`;
};

const phone = part(
  "a phone writes",
  [
    label("to the line", line()),
    label("from", input("contact", "+15550001111", { required: true })),
    label("by", select("channel", ["sms", "whatsapp"])),
    label("text", h("textarea", { name: "body", rows: "2" }, "Is anybody there?")),
    check("with a picture", "picture"),
  ],
  {
    "Receive it": (values) => receive(values),
    STOP: (values) => receive({ ...values, body: "STOP", picture: undefined }, { optOut: "STOP" }),
    START: (values) => receive({ ...values, body: "START", picture: undefined }, { optOut: "START" }),
  },
);

// ── What Twilio does ──

const sent = h("select", { name: "sid", required: true });
const automatic = h("input", { type: "checkbox", onchange: () => attempt("deliver by itself", () => post("/automatic", { on: automatic.checked }).then(({ automatic: on }) => (on ? "yes" : "no"))) });

const twilio = part(
  "Twilio delivers",
  [
    h("label", { class: "simulate-check" }, automatic, "each by itself"),
    label("of what was sent", sent),
    label("becomes", select("status", STATUSES)),
    label("error code", input("errorCode", "", { inputmode: "numeric", pattern: "\\d*", placeholder: "30003" })),
  ],
  {
    Advance: async ({ errorCode, ...values }) => {
      await post("/status", { ...values, ...(errorCode && { errorCode: Number(errorCode) }) });
      return values.status;
    },
  },
);

/** What was sent, newest first; the choice stays. */
async function refresh() {
  const { messages, automatic: on } = await ask("GET", "/messages");
  automatic.checked = on;
  const options = messages.slice(0, CHOICES).map(({ sid, to, body, status }) => ({ sid, text: `${status}: “${body.slice(0, 24)}” to ${to}` }));
  const now = JSON.stringify(options);
  if (now === refresh.last) return;
  refresh.last = now;
  const chosen = options.find(({ sid }) => sid === sent.value)?.sid;
  sent.replaceChildren(...options.map(({ sid, text }) => h("option", { value: sid }, text)));
  if (chosen) sent.value = chosen;
}

// ── What a backend does ──

const offsetOf = ({ results }) => `offset ${results.map(({ offset }) => offset ?? "none").join(", ")}`;

const ticket = part(
  "a ticket",
  [
    label("ticket", input("id", "7", { required: true })),
    label("event", select("event", TICKET_EVENTS)),
    label("its text", input("text", "It works again.")),
  ],
  {
    "Emit the ticket": async ({ id, event, text }) => {
      const timestamp = new Date().toISOString();
      const room = `ticket:${id}`;
      // Who hears it: as in the README's guide for tickets.
      const item = {
        "ticket:created": { data: { id, title: text, status: "open", timestamp } },
        "ticket:updated": { rooms: ["*", room], data: { id, title: text, status: "in progress", timestamp } },
        "comment:added": { room, data: { ticketId: id, text, author: "backend", timestamp } },
      }[event];
      return offsetOf(await post("/emit", { event, ...item }));
    },
  },
);

const emit = part(
  "anything",
  [label("as for POST /api/emit", h("textarea", { name: "json", rows: "3" }, '{"room": "demo:lobby", "event": "news", "data": {"text": "hello"}}'))],
  { "Emit it": async ({ json }) => offsetOf(await post("/emit", JSON.parse(json))) },
);

const job = part(
  "a job",
  [
    label("job", input("jobId", "42", { required: true })),
    label("is", select("status", JOB_STATUSES)),
    label("progress", input("progress", "10", { type: "number", min: "0", max: "100" })),
    label("platform", input("currentPlatform", "instagram")),
  ],
  {
    "Publish the job": async ({ jobId, status, progress, currentPlatform }) => {
      const { offset } = await post("/job", { jobId, status, ...(progress && { progress: Number(progress) }), ...(currentPlatform && { currentPlatform }) });
      return `offset ${offset}`;
    },
    "Run it to its end": async ({ jobId, currentPlatform }) => {
      const platform = currentPlatform ? { currentPlatform } : {};
      for (const progress of [0, 15, 30, 45, 60, 75, 90]) {
        await post("/job", { jobId, status: "in_progress", progress, ...platform });
        await new Promise((resolve) => setTimeout(resolve, 500));
      }
      await post("/job", { jobId, status: "published", progress: 100, ...platform });
    },
  },
);

const notification = part(
  "a notification",
  [
    label("for the user", input("userId", "u1", { required: true })),
    label("of the type", select("type", NOTIFICATION_TYPES)),
    label("severity", select("severity", SEVERITIES)),
    label("title", input("title", "A campaign waits for you")),
    label("its text", input("message", "Two posts need your approval.")),
  ],
  { Notify: async (values) => `id ${(await post("/notify", values)).id}` },
);

// ── What goes wrong ──

const trouble = part("trouble", [label("for seconds", input("seconds", "0", { type: "number", min: "0", max: "600" }))], {
  "Cut the connection": ({ seconds }) => {
    cut(Number(seconds));
    return Number(seconds) ? `for ${seconds} s` : "it may come back at once";
  },
  "Restart the server": async () => {
    const start = Date.now();
    await post("/restart");
    return `back after ${((Date.now() - start) / 1000).toFixed(1)} s`;
  },
});

// ── Who one is ──

const who = part("a token", [label("user", input("sub", "u1", { required: true })), label("name", input("name", "Ann")), label("role", select("role", ["admin", "customer", "lsm", "service"]))], {
  "Fill it in": async (claims) => {
    const field = [...document.querySelectorAll("input, textarea")].find((one) => [...(one.labels ?? [])].some(({ textContent }) => textContent.trim() === "token"));
    if (!field) throw new Error("there is no field for a token: sign out first");
    const { token } = await post("/token", { ...claims, rooms: ["demo:*", "chat:*", "line:*", "sms:*"] });
    field.value = token;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    return "now Join";
  },
});

// ── The panel ──

const parts = [who, phone, twilio, ticket, job, notification, emit, trouble];
const panel = h("details", { class: "simulate", "aria-label": "simulate" }, h("summary", {}, "simulate"), h("div", { class: "simulate-parts" }, ...parts), outcome);

/** What stood in the fields is there after a reload; not which message was chosen, nor a token. */
function keep() {
  const values = parts.map((form) => [...form.elements].filter((one) => one.name && one !== sent).map((one) => [one.name, one.type === "checkbox" ? one.checked : one.value]));
  sessionStorage.setItem(KEPT, JSON.stringify({ open: panel.open, values }));
}

function restore() {
  const { open = false, values = [] } = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  panel.open = open;
  for (const [at, fields] of values.entries()) {
    for (const [name, value] of fields) {
      const field = parts[at]?.elements[name];
      if (typeof value === "boolean") field.checked = value;
      else if (field) field.value = value;
    }
  }
}

// The page's own keys (/, Esc, arrows) are not meant while one writes here.
panel.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    panel.open = false;
    panel.querySelector("summary").focus();
  }
  event.stopPropagation();
});
panel.addEventListener("toggle", () => {
  keep();
  if (panel.open) refresh().catch((error) => (outcome.textContent = error.message));
});
setInterval(() => panel.open && !document.hidden && refresh().catch(() => {}), REFRESH_INTERVAL_MS);

restore();
document.body.append(panel);
