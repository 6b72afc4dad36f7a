// Request a sync and wait for its report.
// Usage: node sync_and_wait.mjs EVENT_ID ORGANIZATION_ID API_ID FROM TO TIME_ZONE
import { randomUUID } from "node:crypto";

const [event, organization, apiId, startsOn, endsOn, timeZone] = process.argv.slice(2);
const http = process.env.SPREAVIEW_HTTP;
const syncId = randomUUID();
const end = Date.now() + 5 * 60 * 1000;
const headers = {
  Authorization: `Bearer ${process.env.SPREAVIEW_TOKEN ?? "none"}`,
  "Content-Type": "application/json",
  Prefer: "wait=30",
};

let answer = await fetch(`${http}/v1/events/${event}/syncs`, {
  method: "POST",
  headers,
  body: JSON.stringify({
    request_id: syncId, // the same id again is the same sync: safe to repeat
    organization_id: organization,
    sessionize_api_id: apiId,
    window: { starts_on: startsOn, ends_on: endsOn, time_zone: timeZone },
  }),
});
const place = answer.headers.get("location");
for (let pending = 202; answer.status === pending && Date.now() < end; pending = 409) {
  await new Promise((resolve) => setTimeout(resolve, 1000)); // it took longer than the wait
  answer = await fetch(`${http}${place}?wait_for_sync=${syncId}`, { headers });
}
if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
const report = await answer.json();
console.log(report.sync.status, report.sync.failure_message ?? "", `${report.changes_total} changes`);
process.exitCode = report.sync.status === "completed" ? 0 : 1;
