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


def main(event: str, organization: str, api_id: str, first: str, last: str, zone: str) -> int:
    """Print the outcome; 0 if the sync completed."""
    body = {
        "request_id": str(uuid4()),  # the same id again is the same sync: safe to repeat
        "organization_id": organization,
        "sessionize_api_id": api_id,
        "window": {"starts_on": first, "ends_on": last, "time_zone": zone},
    }
    with httpx.Client(base_url=os.environ["SPREAVIEW_HTTP"], headers=HEADERS, timeout=60) as client:
        answer = client.post(f"/v1/events/{event}/syncs", json=body)
        place = answer.headers.get("location", "")
        while answer.status_code in (202, 404):  # it took longer than the wait
            time.sleep(1)
            answer = client.get(place)
        report = answer.raise_for_status().json()
    sync = report["sync"]
    print(sync["status"], sync["failure_message"] or "", f"{report['changes_total']} changes")
    return 0 if sync["status"] == "completed" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:7]))
