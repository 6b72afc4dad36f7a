// Request a sync and wait for its report. Not verified: no machine of ours has .NET.
// Usage: dotnet run EVENT_ID ORGANIZATION_ID API_ID FROM TO TIME_ZONE
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;

using var client = new HttpClient { BaseAddress = new Uri(Environment.GetEnvironmentVariable("SPREAVIEW_HTTP")!) };
var token = Environment.GetEnvironmentVariable("SPREAVIEW_TOKEN") ?? "none";
client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
client.DefaultRequestHeaders.Add("Prefer", "wait=30");

var syncId = Guid.NewGuid();
var body = new
{
    request_id = syncId, // the same id again is the same sync: safe to repeat
    organization_id = args[1],
    sessionize_api_id = args[2],
    window = new { starts_on = args[3], ends_on = args[4], time_zone = args[5] },
};
var answer = await client.PostAsJsonAsync($"/v1/events/{args[0]}/syncs", body);
var place = answer.Headers.Location;
var pending = HttpStatusCode.Accepted;
var end = DateTime.UtcNow.AddMinutes(5);
while (answer.StatusCode == pending && DateTime.UtcNow < end)
{
    await Task.Delay(TimeSpan.FromSeconds(1)); // it took longer than the wait
    answer = await client.GetAsync($"{place}?wait_for_sync={syncId}");
    pending = HttpStatusCode.Conflict;
}
if (answer.StatusCode != HttpStatusCode.OK)
{
    Console.Error.WriteLine($"{(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
    return 1;
}
var report = await answer.Content.ReadFromJsonAsync<JsonElement>();
var status = report.GetProperty("sync").GetProperty("status").GetString();
Console.WriteLine($"{status} {report.GetProperty("changes_total")} changes");
return status == "completed" ? 0 : 1;
