#!/usr/bin/env bash
# Real services on this machine, without containers: for tests, and for whoever wants them.
# docs/services.md says more.
usage='usage: scripts/services.sh install   [NAME...]             into ~/.cache/reelmill
       scripts/services.sh installed [NAME...]             exit code 0 if they are
       scripts/services.sh up DIR    [NAME...]             start those that do not run, on the ports and data of DIR
       scripts/services.sh down DIR  [NAME...]             stop just those
       scripts/services.sh kill DIR  [NAME...]             the same with SIGKILL
       scripts/services.sh run       [--until-eof] [NAME...]   in the foreground, in a folder that is removed in the end
       scripts/services.sh with      [NAME...] -- COMMAND      while a command runs, which finds them by REELMILL_SERVICES
names: kafka registry s3 opensearch postgres prometheus; all where none is given'
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
. "$scripts/services/fetch.sh"
. "$scripts/services/process.sh"
# Wins over the signal a service is stopped with.
with_signal=
all=(kafka registry s3 opensearch postgres prometheus)
for name in "${all[@]}"; do . "$scripts/services/$name.sh"; done

say() { printf 'services: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Sets `names` from arguments.
choose() {
  names=("$@")
  [ $# -gt 0 ] || names=("${all[@]}")
  local name
  for name in "${names[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || { printf 'services: there is no service %s\n%s\n' "$name" "$usage" >&2; exit 64; }
  done
}

# Maven's local repository is not made for two at once; all else goes on beside it.
install_all() {
  local name maven=() lanes=() missing=() lane status=0
  for name in "${names[@]}"; do
    "${name}_installed" || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  mkdir -p "$cache"
  exec 9> "$cache/services.lock"
  flock 9
  for name in "${missing[@]}"; do
    case $name in
      s3 | prometheus) "$0" _install "$name" & lanes+=($!) ;;
      *) maven+=("$name") ;;
    esac
  done
  if [ ${#maven[@]} -gt 0 ]; then "$0" _install "${maven[@]}" & lanes+=($!); fi
  for lane in "${lanes[@]}"; do wait "$lane" || status=1; done
  exec 9>&-
  [ $status = 0 ] || fail "not everything is installed: the cause is above"
}

install_these() {
  local name since
  for name in "$@"; do
    # Somebody else may have been at it while the lock was waited for.
    if "${name}_installed"; then continue; fi
    since=$SECONDS
    say "installing $name"
    "${name}_install"
    "${name}_installed" || fail "$name: installed, and yet not there"
    say "installed $name in $((SECONDS - since)) s"
  done
}

# Starts what does not run; returns when all are ready.
up() {
  local dir=$1 name since=$SECONDS started=()
  install_all
  mkdir -p "$dir"
  assign_ports "$dir" "${names[@]}"
  for name in "${names[@]}"; do
    if runs "$dir/$name"; then say "$name runs already"; continue; fi
    started+=("$name")
    if ! "$0" _start "$dir" "$name"; then
      down "$dir" "${started[@]}"
      fail "$name did not start: the cause is above"
    fi
  done
  for name in "${started[@]}"; do
    if ! "$0" _await "$dir" "$name"; then
      down "$dir" "${started[@]}"
      fail "$name did not come up; what has been started is stopped again, its logs are in $dir"
    fi
    say "$name is ready after $((SECONDS - since)) s"
  done
  cat "$dir"/*/env > "$dir/env.new"
  mv "$dir/env.new" "$dir/env"
}

start_one() {
  local name=$2
  service "$1" "$name"
  # Left by what came before, it would speak for what comes now.
  if [ -f "$home/log" ]; then mv "$home/log" "$home/log.previous"; fi
  "${name}_start"
  "${name}_env" > "$home/env"
}

await_one() {
  local name=$2 deadline=$((SECONDS + patience))
  service "$1" "$name"
  until "${name}_ready" 2>/dev/null; do
    if ! runs "$home"; then
      say "$name ended while it started; the end of its log:"
      tail -n 30 "$home/log" >&2
      return 1
    fi
    if [ $SECONDS -ge $deadline ]; then
      say "$name was not ready within $patience s; the end of its log:"
      tail -n 30 "$home/log" >&2
      return 1
    fi
    sleep 0.1
  done
  if declare -F "${name}_prepare" > /dev/null; then "${name}_prepare"; fi
}

# All are told first, so that they stop side by side.
down() {
  local dir=$1 name signal
  shift
  for name in "$@"; do
    signal=${name}_signal
    tell "$dir/$name" "${with_signal:-${!signal:-TERM}}"
  done
  for name in "$@"; do await_end "$dir/$name"; done
}

# A folder of its own that goes with this process.
temporary() {
  dir=$(mktemp -d "${TMPDIR:-/tmp}/reelmill-services.XXXXXX")
  # PostgreSQL runs as somebody else under root.
  chmod 711 "$dir"
  trap 'trap - EXIT; trap "" INT TERM HUP; down "$dir" "${all[@]}"; rm -rf "$dir"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

run() {
  local waits=sleep
  exec 3<&0
  if [ "${1:-}" = --until-eof ]; then waits=cat; shift; fi
  choose "$@"
  temporary
  up "$dir"
  echo "$dir/env"
  if [ $waits = cat ]; then
    # Whoever holds the other end may be killed: then this ends as well.
    cat <&3 > /dev/null &
  else
    cat "$dir/env" >&2
    say "running; 'set -a; . $dir/env' in another shell tells reelmill; Ctrl-C stops them"
    sleep infinity &
  fi
  waiting=$!
  trap 'kill $waiting 2>/dev/null || true; exit 129' HUP
  trap 'kill $waiting 2>/dev/null || true; exit 130' INT
  trap 'kill $waiting 2>/dev/null || true; exit 143' TERM
  wait $waiting || true
}

with() {
  local chosen=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do chosen+=("$1"); shift; done
  [ $# -gt 1 ] || { echo "$usage" >&2; exit 64; }
  shift
  choose "${chosen[@]}"
  temporary
  up "$dir"
  local status=0
  REELMILL_SERVICES="$dir/env" "$@" || status=$?
  exit $status
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  install) choose "$@"; install_all ;;
  installed)
    choose "$@"
    for name in "${names[@]}"; do "${name}_installed" || fail "$name is not installed: run 'scripts/services.sh install $name'"; done ;;
  up | down | kill)
    [ $# -gt 0 ] || { echo "$usage" >&2; exit 64; }
    dir=$1; shift
    choose "$@"
    if [ "$command" = up ]; then
      mkdir -p "$dir"
      dir=$(cd "$dir" && pwd)
      up "$dir"
      echo "$dir/env"
    else
      [ -d "$dir" ] || fail "$dir is not there"
      if [ "$command" = kill ]; then with_signal=KILL; fi
      down "$(cd "$dir" && pwd)" "${names[@]}"
    fi ;;
  run) run "$@" ;;
  with) with "$@" ;;
  # Each in a process of its own: a shell forgets `set -e` inside a condition.
  _install) install_these "$@" ;;
  _start) start_one "$@" ;;
  _await) await_one "$@" ;;
  *) echo "$usage" >&2; exit 64 ;;
esac
