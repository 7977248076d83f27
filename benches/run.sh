#!/usr/bin/env bash
# Side by side, in one run, interleaved: reelmill's whole job on talk_720p.mp4 beside a plain ffmpeg
# transcode of it; reelmill's whole job on talk_360p.mp4 beside deface. Prints wall and CPU seconds
# and their ratios, also deface's of the larger film; medians of RUNS (default 3; deface runs once,
# it takes minutes). Before that: what a mill costs that has nothing to do (`make setup` first).
set -euo pipefail
bin=${1:?usage: run.sh PROGRAM}
here=$(cd "$(dirname "$0")" && pwd)
cache=$HOME/.cache/reelmill
if ! "$cache/bench/bin/deface" --version >/dev/null 2>&1; then
  python3 -m venv --clear "$cache/bench"
  "$cache/bench/bin/python" -m pip install --quiet --disable-pip-version-check 'deface==1.5.0' onnxruntime
fi
"$cache/python/bin/python" "$here/at_rest.py" "$bin" "$here/../tests/footage"
exec python3 "$here/side_by_side.py" "$bin" "$here/../tests/footage" "$cache/bench/bin/deface" "${RUNS:-3}"
