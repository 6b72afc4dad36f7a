"""Request a sync and wait for its report.

Usage: sync_and_wait.py EVENT_ID ORGANIZATION_ID API_ID FROM TO TIME_ZONE
"""

import os
import sys
import time
from uuid import uuid4

import httpx

HEADERS = {
    "Authorization": f"Bearer {os.environ.get('SPREAVIEW_TOKEN', 'none')}",
    "Prefer": "wait=30",
}
PATIENCE_SECONDS = 5 * 60


def main(event: str, organization: str, api_id: str, first: str, last: str, zone: str) -> int:
    """Print the outcome; 0 if the sync completed."""
    sync_id = str(uuid4())
    body = {
        "request_id": sync_id,  # the same id again is the same sync: safe to repeat
        "organization_id": organization,
        "sessionize_api_id": api_id,
        "window": {"starts_on": first, "ends_on": last, "time_zone": zone},
    }
    with httpx.Client(base_url=os.environ["SPREAVIEW_HTTP"], headers=HEADERS, timeout=60) as client:
        answer = client.post(f"/v1/events/{event}/syncs", json=body)
        place, pending = answer.headers.get("location", ""), 202
        end = time.monotonic() + PATIENCE_SECONDS
        while answer.status_code == pending and time.monotonic() < end:
            time.sleep(1)  # it took longer than the wait
            answer = client.get(place, params={"wait_for_sync": sync_id})
            pending = 409
    if answer.status_code != 200:
        sys.exit(f"{answer.status_code}: {answer.text}")
    report = answer.json()
    sync = report["sync"]
    print(sync["status"], sync["failure_message"] or "", f"{report['changes_total']} changes")
    return 0 if sync["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:7]))
