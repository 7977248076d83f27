#!/usr/bin/env bash
# The main job on real footage: upload, mask, verify, search. Ctrl-C ends it; DEMO_ONCE=1 ends by itself.
set -euo pipefail
bin=${1:?usage: demo.sh PROGRAM}
footage=$(cd "$(dirname "$0")/../tests/footage" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/reelmill-demo.XXXXXX")
mill=""

end() {
  trap - EXIT INT TERM
  if [ -n "$mill" ]; then kill -TERM "$mill" 2>/dev/null || true; wait "$mill" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM
title() { printf '\n\033[1m%s\033[0m\n' "$*"; }

title "starting: reelmill up --clip-seconds 10"
"$bin" up --data "$work/data" --clip-seconds 10 \
  --port 0 --kafka-port 0 --registry-port 0 --store-port 0 --vision-port 0 >"$work/up.log" 2>&1 &
mill=$!
for _ in $(seq 200); do
  [ -s "$work/data/endpoints.env" ] && break
  if ! kill -0 "$mill" 2>/dev/null; then cat "$work/up.log" >&2; exit 1; fi
  sleep 0.1
done
[ -s "$work/data/endpoints.env" ] || { cat "$work/up.log" >&2; exit 1; }
set -a; . "$work/data/endpoints.env"; set +a
cat "$work/data/endpoints.env"

title "uploading: two people talking (30 s, 720p, sound), then people walking through a room (139 s)"
if ! "$bin" upload --wait --assessment demo "$footage/talk_720p.mp4" "$footage/one-by-one-person-detection.mp4"; then
  echo "--- the mill's own words:" >&2
  tail -40 "$work/up.log" >&2
  exit 1
fi

recordings=$work/recordings
# Those of a demo that ends by itself are kept for a look.
if [ "${DEMO_ONCE:-}" = 1 ]; then recordings=$(mktemp -d "${TMPDIR:-/tmp}/reelmill-recordings.XXXXXX"); fi
mkdir -p "$recordings"
"$bin" status --json | python3 -c '
import json, sys
for video in json.load(sys.stdin)["videos"]:
    print(video["video_id"], video["title"])' | while read -r id name; do
  title "$name"
  "$bin" status "$id"
  "$bin" get "$id" --output "$recordings/$name-blurred.mp4"
done

title "search: person"
"$bin" search person
title "search: person AND NOT tie"
"$bin" search 'person AND NOT tie'

title "the recordings are in $recordings"
if [ "${DEMO_ONCE:-}" = 1 ]; then exit 0; fi
echo "The API is at $REELMILL_URL. Ctrl-C ends the demo and removes them."
wait "$mill"
