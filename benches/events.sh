#!/usr/bin/env bash
# The event path beside a bare rdkafka loop and Kafka Streams, on Apache Kafka: events.sh PROGRAM
# (~/.cache/reelmill/target/debug/events). RUNS, RECORDS and LATENCY_SECONDS change how long it takes, ONLY=speed or
# ONLY=latency leaves the other out.
set -euo pipefail
bin=$(realpath "${1:?usage: events.sh PROGRAM}")
here=$(cd "$(dirname "$0")" && pwd)
streams=$("$here/events/streams.sh")
exec "$here/../scripts/services.sh" with kafka -- bash -c '
  set -a; . "$REELMILL_SERVICES"
  exec "$HOME/.cache/reelmill/python/bin/python" "$@"' bash "$here/events.py" "$bin" "$streams"
