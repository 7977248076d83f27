#!/usr/bin/env bash
# Indexing beside a bare bulk loader, on OpenSearch: sink.sh PROGRAM (~/.cache/reelmill/target/debug/sink). RUNS and
# DOCUMENTS change how long it takes.
set -euo pipefail
bin=$(realpath "${1:?usage: sink.sh PROGRAM}")
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/../scripts/services.sh" with opensearch -- bash -c '
  set -a; . "$REELMILL_SERVICES"
  exec "$HOME/.cache/reelmill/python/bin/python" "$@"' bash "$here/sink.py" "$bin"
