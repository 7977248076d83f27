# Sourced by what installs from package registries. Whatever is fetched is held against a sha256 that
# lies in the project before it is put where it is used: what is in place can be trusted.
cache=$HOME/.cache/reelmill
# The version that Debian's Maven carries; newer ones want parent poms that Central does not have.
maven_plugin=org.apache.maven.plugins:maven-dependency-plugin:2.8

# Whether the files named in a lock are in a folder, bytes and all. REELMILL_WRITE_LOCKS=1 writes the
# lock from the folder instead, after a change of version.
locked() { # LOCK FOLDER PATTERN
  if [ -n "${REELMILL_WRITE_LOCKS:-}" ]; then
    (cd "$2" && find . -type f -name "$3" -printf '%P\n' | LC_ALL=C sort | xargs sha256sum) > "$1"
  fi
  local unlisted
  unlisted=$(comm -13 <(sed 's/^[0-9a-f]*  //' "$1" | LC_ALL=C sort) \
    <(cd "$2" && find . -type f -name "$3" -printf '%P\n' | LC_ALL=C sort))
  if [ -n "$unlisted" ]; then
    echo "${1##*/} does not list: $unlisted" >&2
    return 1
  fi
  (cd "$2" && sha256sum --check --quiet --strict "$1") >&2
}

need() { # TOOL...
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: run scripts/setup.sh" >&2; return 1; }
  done
}

# Runs a command that is of interest only if it fails.
quietly() { # COMMAND ARGUMENT...
  local log status=0
  log=$(mktemp)
  "$@" > "$log" 2>&1 || status=$?
  if [ $status != 0 ]; then cat "$log" >&2; fi
  rm "$log"
  return $status
}

# The jars of a pom, with all they depend on, into a new folder.
maven_jars() { # POM LOCK FOLDER
  need java mvn
  cp "$1" "$3/pom.xml"
  quietly mvn --batch-mode --quiet --file "$3/pom.xml" "$maven_plugin:copy-dependencies" \
    -DoutputDirectory="$3" -DincludeScope=runtime
  rm "$3/pom.xml"
  locked "$2" "$3" '*.jar'
}

# One artifact, group:name:version[:type[:classifier]], as a file.
maven_file() { # COORDINATES SHA256 FILE
  need java mvn
  quietly mvn --batch-mode --quiet "$maven_plugin:get" -Dtransitive=false -Dartifact="$1" -Ddest="$3"
  echo "$2  $3" | sha256sum --check --quiet --strict >&2 ||
    { echo "$1 has not the sha256 that is expected: nothing was installed" >&2; return 1; }
}

# Files of Debian packages, without installing them: no service of the system is started, nothing
# changes outside the folder, and apt checks the signatures.
debian_files() { # FOLDER PACKAGE...
  local folder=$1; shift
  need apt-get dpkg-deb
  (
    cd "$folder"
    # Two that fetch lists at once would be in each other's way.
    exec 8> "$cache/apt.lock"
    flock 8
    # The folder is not for apt's own user to write to, and need not be.
    local download=(apt-get download -qq -o APT::Sandbox::User=root "$@")
    if ! "${download[@]}" 2>/dev/null; then
      # A fresh machine has no lists of packages yet.
      $([ "$(id -u)" = 0 ] || echo sudo) apt-get update -qq
      "${download[@]}"
    fi
    for package in *.deb; do
      dpkg-deb --extract "$package" .
      rm "$package"
    done
  ) >&2
}

# Sets `scratch` to a new folder beside where the result goes, so that moving it there is one step.
# Goes when the script ends, however it ends.
scratch_in() { # FOLDER
  mkdir -p "$1"
  scratch=$(mktemp -d "$1/.download.XXXXXX")
  scratches+=("$scratch")
  trap 'rm -rf "${scratches[@]}"' EXIT
}
scratches=()
