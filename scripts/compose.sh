#!/usr/bin/env bash
# Builds what reads docker-compose.yml as Docker does, from Go modules, into ~/.cache/reelmill/compose.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
. "$scripts/services/fetch.sh"
. "$scripts/services/go.sh"
built=$(cat "$scripts"/compose/* | sha256sum | cut -d' ' -f1)
if [ -x "$cache/compose" ] && [ "$(cat "$cache/compose.sha256" 2>/dev/null)" = "$built" ]; then exit 0; fi
echo "compose: building compose-go's reader"
find_go
scratch_in "$cache"
(
  cd "$scripts/compose"
  quietly env GOFLAGS=-mod=readonly CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -trimpath -buildvcs=false \
    -o "$scratch/compose" .
)
mv "$scratch/compose" "$cache/compose"
echo "$built" > "$cache/compose.sha256"
