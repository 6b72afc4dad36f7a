#!/bin/sh
# Request a sync and wait for its report. Usage: sync_and_wait.sh EVENT_ID ORGANIZATION_ID API_ID FROM TO ZONE
# Prints the last answer and its status; exits with 0 if the sync completed.
set -eu
id=$(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid) # the same id again is the same sync: safe to repeat
syncs="$SPREAVIEW_HTTP/v1/events/$1/syncs"
end=$(($(date +%s) + 5 * 60))

call() {
  curl --silent --show-error --max-time 60 --write-out '\n%{http_code}\n' \
    --header "Authorization: Bearer ${SPREAVIEW_TOKEN:-none}" \
    --header "Content-Type: application/json" \
    --header "Prefer: wait=30" "$@"
}

answer=$(call "$syncs" --data "{\"request_id\": \"$id\", \"organization_id\": \"$2\", \"sessionize_api_id\": \"$3\",
  \"window\": {\"starts_on\": \"$4\", \"ends_on\": \"$5\", \"time_zone\": \"$6\"}}")
pending=202
while [ "$(printf '%s' "$answer" | tail -n 1)" = $pending ] && [ "$(date +%s)" -lt $end ]; do
  sleep 1 # it took longer than the wait
  answer=$(call "$syncs/$id?wait_for_sync=$id")
  pending=409
done
printf '%s\n' "$answer"
case $answer in *'"status":"completed"'*200) ;; *) exit 1 ;; esac
