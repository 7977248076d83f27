# Sourced: a service as a process. What belongs to it is in one folder: ports, pid, log, data.

# Seconds a service has to become ready.
patience=${REELMILL_SERVICES_PATIENCE:-180}

# Sets `home`, `port` and `port2` of a service.
service() { # DIR NAME
  home=$1/$2
  read -r port port2 < "$home/ports"
}

# Two free ports of loopback for every service that has none yet. They are taken from below the range
# the system hands out by itself, so that no client's end of a connection can be in the way. A port stays free
# until its service is up, half a minute on a busy machine: others that choose meanwhile see in a list what was given away.
assign_ports() { # DIR NAME...
  local dir=$1 name
  shift
  mkdir -p "$cache"
  for name in "$@"; do
    mkdir -p "$dir/$name"
    [ -f "$dir/$name/ports" ] || echo "$dir/$name/ports"
  done | python3 -c '
import fcntl, random, socket, sys, time
MINUTES = 10
given = open(sys.argv[1], "a+")
fcntl.flock(given, fcntl.LOCK_EX)
given.seek(0)
listed = (line.split() for line in given if line.count(" ") == 1)
recent = {int(port): float(at) for port, at in listed if time.time() - float(at) < 60 * MINUTES}
def free():
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in recent:
            recent[port] = time.time()
            return port
for path in sys.stdin.read().splitlines():
    with open(path, "w") as file:
        print(free(), free(), file=file)
given.truncate(0)
given.writelines(f"{port} {at}\n" for port, at in recent.items())
' "$cache/ports"
}

# Starts a program in a session of its own, so that Ctrl-C in a terminal reaches only the script,
# and notes which process it is.
launch() { # PROGRAM ARGUMENT...
  setsid "$@" > "$home/log" 2>&1 < /dev/null 3<&- 9>&- &
  echo "$! $(started_at $!)" > "$home/pid"
}

# When a process was started, in the kernel's ticks: with its id this names it for good. Nothing for
# one that is gone or dead.
started_at() { # PID
  local fields
  fields=$(sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
  set -- $fields
  case $1 in Z | X) ;; *) echo "${20}" ;; esac
}

runs() { # HOME
  local pid started
  [ -f "$1/pid" ] || return 1
  read -r pid started < "$1/pid"
  [ -n "$started" ] && [ "$(started_at "$pid")" = "$started" ]
}

tell() { # HOME SIGNAL
  local pid
  runs "$1" || return 0
  read -r pid _ < "$1/pid"
  kill -"$2" "$pid" 2>/dev/null || true
}

await_end() { # HOME
  local deadline=$((SECONDS + 20))
  while runs "$1"; do
    if [ $SECONDS -ge $deadline ]; then
      tell "$1" KILL
      deadline=$((SECONDS + 20))
    fi
    sleep 0.05
  done
  rm -f "$1/pid"
}

answers() { # URL
  curl --silent --fail --noproxy '*' --max-time 5 --output /dev/null "$1"
}
