"""Follow the live feed and write each event once, also over kills and restarts.

Usage: follow_feed.py FILE

FILE gets a line of JSON for each event. The cursor is stored with the line, in one write, so a
program that is killed at any moment continues behind the last event it has written.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx


def last_cursor(path: Path) -> str:
    """The cursor of the last whole line; `start` for a new file. Removes half a line."""
    if not path.exists():
        return "start"
    lines = path.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    path.write_bytes(b"".join(whole))
    return str(json.loads(whole[-1])["cursor"]) if whole else "start"


def events(after: str) -> Iterator[tuple[str, str, str]]:
    """Cursor, type and data of each event of one connection."""
    headers = {
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {os.environ.get('SPREAVIEW_TOKEN', 'none')}",
    }
    url = f"{os.environ['SPREAVIEW_HTTP']}/v1/import-events"
    silence = httpx.Timeout(5, read=60)  # a heartbeat comes every 15 seconds
    with httpx.stream(
        "GET", url, params={"after": after}, headers=headers, timeout=silence
    ) as stream:
        fields: dict[str, str] = {}
        for line in stream.raise_for_status().iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            else:
                if "data" in fields:
                    yield fields["id"], fields["event"], fields["data"]
                fields = {}


def main(path: Path) -> None:
    """Follow until killed."""
    while True:
        try:
            for cursor, type_, data in events(last_cursor(path)):
                if type_ == "reset":
                    path.unlink(missing_ok=True)  # the log is another one: forget what we have
                elif type_ not in ("header", "caught-up"):
                    line = json.dumps({"cursor": cursor, "event": json.loads(data)})
                    with path.open("a") as file:
                        file.write(line + "\n")
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
                sys.exit(
                    f"{error.response.status_code} for {error.request.url}"
                )  # a wrong token, for example
        time.sleep(1)  # also after a stream that has ended: its server stops, or is stuck


if __name__ == "__main__":
    main(Path(sys.argv[1]))
