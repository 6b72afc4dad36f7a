"use strict";
// Follows the feed. Every text is set as text: nothing from Sessionize can become markup.
const list = document.getElementById("feed");
const state = document.getElementById("state");
const MOST = 200;
const RETRY_SECONDS = 5;
const params = new URLSearchParams({ after: "start" });
if (list.dataset.event) params.set("event_id", list.dataset.event);

const keep = (event) => { params.set("after", event.lastEventId); };
const show = (event) => {
  keep(event);
  const published = JSON.parse(event.data);
  const data = published.data;
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = published.time;
  time.textContent = published.time.slice(0, 19).replace("T", " ") + "Z";
  const words = document.createElement("span");
  const name = data.title || data.full_name || data.name || data.message || "";
  words.textContent = " " + event.type.replace(/-/g, " ") +
    (data.change ? " (" + data.change + ")" : "") + (name ? ": " + name : "");
  item.append(time, words);
  list.prepend(item);
  while (list.children.length > MOST) list.lastChild.remove();
};
const types = ["sync-started", "room-imported", "speaker-imported", "session-imported",
  "session-skipped-out-of-window", "session-skipped-unscheduled", "session-withdrawn",
  "speaker-withdrawn", "room-withdrawn", "removals-withheld", "sync-completed", "sync-failed",
  "speaker-erased"];

const follow = () => {
  const source = new EventSource("/v1/import-events?" + params);
  for (const type of types) source.addEventListener(type, show);
  source.addEventListener("caught-up", (event) => {
    keep(event);
    state.textContent = "Up to date: new events appear by themselves.";
  });
  source.addEventListener("reset", (event) => {
    keep(event);
    list.replaceChildren();
    state.textContent = "The log was restored or replaced: the feed begins again.";
  });
  source.onopen = () => { state.textContent = "Connected."; };
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) {
      state.textContent = "The connection was lost; trying again …";
      return;
    }
    // The server has refused: a browser does not connect again by itself.
    const link = document.createElement("a");
    link.href = "/login";
    link.textContent = "Sign in again";
    state.replaceChildren("The server refuses the feed; trying again every " + RETRY_SECONDS +
      " seconds. ", link, " if your session has ended.");
    setTimeout(follow, RETRY_SECONDS * 1000);
  };
};
follow();
