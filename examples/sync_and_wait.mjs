// Request a sync and wait for its report.
// Usage: node sync_and_wait.mjs EVENT_ID ORGANIZATION_ID API_ID FROM TO TIME_ZONE
import { randomUUID } from "node:crypto";

const [event, organization, apiId, startsOn, endsOn, timeZone] = process.argv.slice(2);
const http = process.env.SPREAVIEW_HTTP;
const headers = {
  Authorization: `Bearer ${process.env.SPREAVIEW_TOKEN ?? "none"}`,
  "Content-Type": "application/json",
  Prefer: "wait=30",
};

let answer = await fetch(`${http}/v1/events/${event}/syncs`, {
  method: "POST",
  headers,
  body: JSON.stringify({
    request_id: randomUUID(), // the same id again is the same sync: safe to repeat
    organization_id: organization,
    sessionize_api_id: apiId,
    window: { starts_on: startsOn, ends_on: endsOn, time_zone: timeZone },
  }),
});
const place = answer.headers.get("location");
while (answer.status === 202 || answer.status === 404) { // it took longer than the wait
  await new Promise((resolve) => setTimeout(resolve, 1000));
  answer = await fetch(http + place, { headers });
}
const report = await answer.json();
if (!answer.ok) throw new Error(report.detail);
console.log(report.sync.status, report.sync.failure_message ?? "", `${report.changes_total} changes`);
process.exitCode = report.sync.status === "completed" ? 0 : 1;
