// README, "From your backend": what the server code of all five guides becomes.

import type { Http } from "./dialtone";

export async function dialtone<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  const response = await fetch(DIALTONE_URL + path, {
    method,
    headers: { "content-type": "application/json", authorization: `Bearer ${serviceToken()}` },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

export const emit = (body: Http.Emit) => dialtone<Http.Emitted>("POST", "/api/emit", body);

declare function serviceToken(): string;

export async function examples() {
  const { results } = await emit({ room: "user:7", event: "sync:done", data: { added: 3 }, id: "sync-81", except: [9] });
  console.log(results.map(({ room, offset, duplicate }) => `${room} ${offset ?? "volatile"} ${duplicate}`));
  await emit([
    { event: "maintenance", args: [] },
    { namespace: "/chat", event: "notice", args: ["soon", 5], volatile: true },
    { rooms: ["ticket:7", "ticket:8"], event: "ticket:merged", latest: true },
  ]);
  const { messages } = await dialtone<Http.History>("GET", "/rooms/ticket:7/history?after=12");
  const last = messages.at(-1);
  console.log(last?.event, last?.data, last?.sender ?? "a backend");
  const { members } = await dialtone<Http.Members>("PUT", "/rooms/chat:42/members/7");
  console.log(members.map(({ userId, since }) => `${userId} since ${since}`));
}

/** What to do about an error. */
export function explain(problem: Http.Problem): string {
  if (problem.code === "rate_limited") return "later";
  const items = problem.errors?.map(({ index, detail }) => `${index}: ${detail}`);
  return items?.join("\n") ?? problem.detail;
}

/** The receiver of EVENT_WEBHOOK_URL, once the signature has been checked. */
export function received({ data: { userId, online, notification } }: Http.EventWebhook) {
  if (!online) console.log("push to", userId, notification.title, notification.actionUrl ?? notification.chatId);
}
