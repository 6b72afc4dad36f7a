#!/bin/sh
# Request a sync and wait for its report. Usage: sync_and_wait.sh EVENT_ID ORGANIZATION_ID API_ID FROM TO ZONE
set -eu
curl --silent --show-error --fail-with-body \
  --header "Authorization: Bearer ${SPREAVIEW_TOKEN:-none}" \
  --header "Content-Type: application/json" \
  --header "Prefer: wait=30" \
  --data "{\"organization_id\": \"$2\", \"sessionize_api_id\": \"$3\",
           \"window\": {\"starts_on\": \"$4\", \"ends_on\": \"$5\", \"time_zone\": \"$6\"}}" \
  "$SPREAVIEW_HTTP/v1/events/$1/syncs"
