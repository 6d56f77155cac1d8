// seeds/job-notifications.md: jobs, notifications, analytics; its hooks as plain functions.

import { io, type Socket } from "socket.io-client";
import type { Analytics, Http, Jobs, Notifications } from "./dialtone";
import { dialtone } from "./backend";

declare function setStatus(update: Jobs.JobStatusUpdate): void;

export function moved(jobId: string) {
  const jobs: Socket<Jobs.ServerToClientEvents, Jobs.ClientToServerEvents> = io(`${DIALTONE_URL}/jobs`, { auth: { token } });
  jobs.on("connect", () => jobs.emit("subscribe-job", jobId));
  jobs.on("job:status-changed", (update) => setStatus(update)); // the last one too, right after `subscribed`
  return jobs;
}

export async function broadcast(jobId: string, userId: string) {
  const update: Http.PublishJob = { status: "in_progress", progress: 50, currentPlatform: "instagram" };
  await dialtone("POST", `/api/jobs/${jobId}`, update);
  await dialtone("POST", `/api/users/${userId}/notifications`, {
    type: "job-completed",
    title: "Job completed",
    message: "Your analytics are up to date",
    severity: "success",
  } satisfies Http.PublishNotification);
}

/** The polling fallback of the guide's hook. */
export async function poll(jobId: string) {
  const answer = await fetch(`${DIALTONE_URL}/api/jobs/${jobId}`, { headers: { authorization: `Bearer ${token}` } });
  if (answer.ok) setStatus(await answer.json());
}

/** The job's hook. */
export function trackJob(jobId: string, changed: (status: Jobs.JobStatus, percent: number | undefined) => void) {
  const socket = moved(jobId);
  socket.on("subscribed", ({ jobId: id }) => console.log(id));
  socket.on("job:status-changed", ({ status, progress, currentPlatform, error, details }) => {
    console.log(currentPlatform?.toUpperCase(), error?.length, details?.["step"]);
    changed(status, progress);
  });
  return () => {
    socket.off("job:status-changed");
    socket.emit("unsubscribe-job", jobId, (ack) => ack.ok && socket.disconnect());
  };
}

/** The notifications' hook. */
export function notifications(userId: number | string, unread: Map<string, Notifications.Notification>) {
  const socket: Socket<Notifications.ServerToClientEvents, Notifications.ClientToServerEvents> = io(`${DIALTONE_URL}/notifications`, {
    auth: { token },
  });
  socket.on("connect", () => socket.emit("subscribe-user", userId));
  socket.on("notification:received", (notification) => unread.set(notification.id, notification));
  socket.on("notification:read", ({ id }) => unread.delete(id));
  socket.on("notifications:cleared", () => unread.clear());
  const markAsRead = (id: string) => socket.emit("mark-read", { id }, (ack) => ack.ok && unread.delete(id));
  const clearAll = () => socket.emit("clear-all");
  const clearAllAndKnow = () => socket.emit("clear-all", (ack) => console.log(ack.ok ? ack.duplicate : ack.error.code));
  const badge = ({ severity, read }: Notifications.Notification) => `badge-${severity} ${read ? "read" : ""}`;
  return { markAsRead, clearAll, clearAllAndKnow, badge };
}

/** The analytics' hook: one event by its name, or all of them alike. */
export function analytics(brandId: string, progress: (percent: number, of: string) => void) {
  const socket: Socket<Analytics.ServerToClientEvents, Analytics.ClientToServerEvents> = io(`${DIALTONE_URL}/analytics`, { auth: { token } });
  socket.on("connect", () => socket.emit("subscribe-brand", { brandId }));
  const heard = ({ eventType, data }: Analytics.AnalyticsEvent) =>
    progress(data.progress, `${eventType} ${data.platform} ${data.recordsProcessed} / ${data.totalRecords ?? "?"}`);
  const names = ["analytics:sync-started", "analytics:sync-progress", "analytics:sync-completed"] as const;
  for (const name of names) socket.on(name, heard);
  socket.on("analytics:forecast-ready", ({ eventType }) => console.log(eventType satisfies "analytics:forecast-ready"));
}

/** The rest of the sugar. */
export async function rest(brandId: string, event: Http.PublishAnalytics, id: string) {
  await dialtone<Http.Published>("POST", `/api/analytics/${brandId}`, event);
  const { notifications, unread } = await dialtone<Http.NotificationList>("GET", "/api/notifications?unread=1");
  const { duplicate } = await dialtone<Http.NotificationRead>("POST", `/api/notifications/${id}/read`);
  return [notifications.every(({ read }) => read), unread, duplicate];
}
