// Follow the live feed and write each event once, also over kills and restarts.
// Usage: node follow_feed.mjs FILE
//
// In a browser, `new EventSource("/v1/import-events?after=start")` does all of this: it reconnects
// and sends the last id by itself.
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const file = process.argv[2];
const http = process.env.SPREAVIEW_HTTP;

const lastCursor = () => {
  if (!existsSync(file)) return "start";
  const text = readFileSync(file, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1); // half a line of a kill is removed
  writeFileSync(file, whole);
  const lines = whole.trimEnd().split("\n");
  return whole ? JSON.parse(lines[lines.length - 1]).cursor : "start";
};

const handle = ({ id, event, data }) => {
  if (event === "reset") rmSync(file, { force: true }); // the log is another one
  else if (data !== undefined && event !== "header" && event !== "caught-up")
    appendFileSync(file, JSON.stringify({ cursor: id, event: JSON.parse(data) }) + "\n");
};

for (;;) {
  try {
    const answer = await fetch(`${http}/v1/import-events?after=${lastCursor()}`, {
      headers: {
        Accept: "text/event-stream",
        Authorization: `Bearer ${process.env.SPREAVIEW_TOKEN ?? "none"}`,
      },
    });
    if (answer.status >= 400 && answer.status < 500) { // a wrong token, for example
      console.error(`${answer.status}: ${(await answer.json()).detail}`);
      process.exit(1);
    }
    let rest = "";
    for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks)
        handle(Object.fromEntries(block.split("\n").map((line) => {
          const at = line.indexOf(": ");
          return [line.slice(0, at), line.slice(at + 2)];
        })));
    }
  } catch { /* the server is down: try again */ }
  await new Promise((resolve) => setTimeout(resolve, 1000));
}
