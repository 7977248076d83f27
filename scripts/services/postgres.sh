# PostgreSQL, from the bundle that Java's tests use: it needs no package of the system.
postgres_version=18.1.0
postgres_home=$cache/services/postgres-$postgres_version
# Sessions are cut off; the default, to wait for them, has no end.
postgres_signal=INT

postgres_installed() { [ -x "$postgres_home/bin/postgres" ]; }

postgres_install() {
  local machine sum
  case $(uname -m) in
    x86_64) machine=amd64 sum=65d0723e0274ad3ec6230dcbdfe034af6ee096fce15a77b0f9b8be71d2702934 ;;
    aarch64) machine=arm64v8 sum=ea0f16b754fc0a10d9d8993bbd426c20f8c709b318b28e49b42d9cac1c958b8f ;;
    *) echo "no bundle is known for $(uname -m)" >&2; return 1 ;;
  esac
  need jar xz
  scratch_in "$cache/services"
  maven_file "io.zonky.test.postgres:embedded-postgres-binaries-linux-$machine:$postgres_version" "$sum" \
    "$scratch/bundle.jar"
  mkdir "$scratch/postgres"
  (cd "$scratch" && jar --extract --file bundle.jar)
  tar --extract --xz --file "$scratch"/postgres-linux-*.txz --directory "$scratch/postgres"
  mv "$scratch/postgres" "$postgres_home"
}

postgres_start() {
  local bin=$postgres_home/bin as=()
  # It refuses to run as root; nobody else can read root's cache.
  if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    [ -d "$home/server" ] || cp -r "$postgres_home" "$home/server"
    bin=$home/server/bin
    chown 65534:65534 "$home"
  fi
  cd "$home"
  if [ ! -f "$home/data/PG_VERSION" ]; then
    "${as[@]}" "$bin/initdb" --pgdata="$home/data" --username=reelmill --auth=trust --no-locale \
      --encoding=UTF8 --no-sync > "$home/initdb.log" 2>&1 || { cat "$home/initdb.log" >&2; return 1; }
    echo 'create database reelmill' |
      "${as[@]}" "$bin/postgres" --single -D "$home/data" postgres > "$home/initdb.log" 2>&1
  fi
  postgres_forget
  # Nothing here outlives a power failure, so nothing waits for the disk; a crash it survives.
  launch "${as[@]}" "$bin/postgres" -D "$home/data" -p "$port" -k '' -h 127.0.0.1 \
    -c fsync=off -c full_page_writes=off -c shared_buffers=64MB
}

# Removes what a killed server noted of itself: where nobody has waited for its end, its number is
# still there, and would be taken for a server that runs. Its backends go on for a moment; while they
# hold its memory, which the note's seventh line names, the note must stay.
postgres_forget() {
  local note=$home/data/postmaster.pid pid memory
  [ -f "$note" ] || return 0
  { read -r pid; for _ in {2..6}; do read -r _; done; read -r _ memory; } < "$note" || return 0
  [ -z "$(started_at "$pid")" ] || return 0
  for _ in {1..100}; do
    if ! awk -v it="$memory" '$2 == it && $7 > 0 { held = 1 } END { exit !held }' /proc/sysvipc/shm; then
      rm "$note"
      return 0
    fi
    sleep 0.1
  done
}

postgres_ready() { grep -q 'database system is ready to accept connections' "$home/log"; }

postgres_env() { echo "REELMILL_DATABASE=postgres://reelmill@127.0.0.1:$port/reelmill"; }
