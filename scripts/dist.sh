#!/usr/bin/env bash
# Builds a release and packs it: dist/reelmill-VERSION-TARGET.tar.gz, its SBOM, and the sums of both.
#
#   scripts/dist.sh                                      builds the program first
#   scripts/dist.sh --binary PROGRAM --out FOLDER        packs one that is built, into another folder
#
# The same program, sources and libraries give the same bytes. What is inside: scripts/dist/README.md.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/services/fetch.sh"

usage='usage: scripts/dist.sh [--binary PROGRAM] [--out FOLDER]'
binary=
out=$root/dist
while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=${2:?"$usage"}; shift 2 ;;
    --out) out=${2:?"$usage"}; shift 2 ;;
    *) echo "$usage" >&2; exit 64 ;;
  esac
done
fail() { echo "dist: $*" >&2; exit 1; }

build() {
  local version
  version=$("$root/scripts/version.sh")
  # A tag, and nothing beyond it.
  if [ -e "$root/.git" ] && [[ $version != *+* ]]; then
    grep -qF "## [$version] - " "$root/CHANGELOG.md" || fail "CHANGELOG.md has no section '## [$version] - DAY'"
  fi
  (cd "$root" && REELMILL_VERSION=$version cargo build --release --locked --bin reelmill)
  binary=${CARGO_TARGET_DIR:-$root/target}/release/reelmill
  [ "$("$binary" --version)" = "reelmill $version" ] || fail "$binary says that it is $("$binary" --version), not $version"
}

# The shared libraries that are the system's, and the Debian packages they are in: SONAME PACKAGE VERSION.
system_libraries() { # FILE...
  local loaded missing soname path found package
  loaded=$(ldd "$@")
  missing=$(grep 'not found' <<< "$loaded" || true)
  [ -z "$missing" ] || fail "the system lacks shared libraries; 'make setup' installs them: $missing"
  readelf --dynamic "$@" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | LC_ALL=C sort -u | while read -r soname; do
    path=$(awk -v soname="$soname" '{ n = split($1, part, "/") } part[n] == soname { print ($2 == "=>" ? $3 : $1); exit }' \
      <<< "$loaded")
    path=$(realpath "$path")
    # Debian 12 has the files in /usr and some packages still say otherwise.
    found=$(dpkg-query --search "$path" 2> /dev/null || dpkg-query --search "${path#/usr}" 2> /dev/null) ||
      fail "no Debian package has $path: pack on Debian 12, with its FFmpeg"
    package=${found%%:*}
    dpkg-query --show --showformat="$soname \${Package} \${Version}\n" "$package"
  done
}

pack() { # FOLDER, which is new
  local folder=$1 onnxruntime=$cache/onnxruntime share=$1/share library
  "$root/scripts/onnxruntime.sh" > /dev/null
  install -D --mode=755 "$binary" "$folder/bin/reelmill"
  strip "$folder/bin/reelmill"
  library=$(realpath "$onnxruntime/libonnxruntime.so")
  # The one file: the program takes the newest that is there.
  install -D --mode=644 "$library" "$folder/lib/reelmill/${library##*/}"

  mkdir -p "$share"/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
  "$binary" man "$share/man/man1"
  "$binary" completions bash > "$share/bash-completion/completions/reelmill"
  "$binary" completions zsh > "$share/zsh/site-functions/_reelmill"
  "$binary" completions fish > "$share/fish/vendor_completions.d/reelmill.fish"

  cp "$root"/{LICENSE,NOTICE,CHANGELOG.md} "$folder"
  install -D --mode=644 "$root/README.md" "$share/doc/reelmill/README.md"
  mkdir "$folder/licenses"
  cp "$onnxruntime/LICENSE" "$folder/licenses/onnxruntime.txt"
  cp "$onnxruntime/ThirdPartyNotices.txt" "$folder/licenses/onnxruntime-third-party-notices.txt"
  cp "$root/models/README.md" "$folder/licenses/models.md"
  cp "$root/scripts/dist/licenses/CC0-1.0.txt" "$folder/licenses"

  system_libraries "$folder/bin/reelmill" "$folder/lib/reelmill/${library##*/}" > "$scratch/system"
  local packages
  packages=$(cut -d' ' -f2 "$scratch/system" | LC_ALL=C sort -u | paste -sd' ')
  sed "s/@VERSION@/$version/; s/@TARGET@/$target/; s/@PACKAGES@/$packages/" "$root/scripts/dist/README.md" > "$folder/README.md"
  (
    cd "$root"
    python3 scripts/dist/parts.py licenses --target "$target" > "$folder/licenses/crates.txt"
    python3 scripts/dist/parts.py sbom --target "$target" --version "$version" --epoch "$epoch" \
      --program "$folder/bin/reelmill" --onnxruntime "$folder/lib/reelmill/${library##*/}" \
      --system "$scratch/system" > "$folder/reelmill.cdx.json"
  )
  sums "$folder" SHA256SUMS
}

# Writes those of all files below a folder into it.
sums() { # FOLDER NAME
  local listed
  listed=$(cd "$1" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum)
  echo "$listed" > "$1/$2"
}

need cargo gzip ldd python3 readelf rustc strip tar
[ -n "$binary" ] || build
[ -x "$binary" ] || fail "$binary is no program"
said=$("$binary" --version) || fail "$binary does not run"
version=${said#reelmill }
target=$(cd "$root" && rustc --version --verbose | sed -n 's/^host: //p')
# Files are as old as what they were made from; without git as old as a zip can say.
epoch=${SOURCE_DATE_EPOCH:-}
if [ -z "$epoch" ] && [ -e "$root/.git" ]; then epoch=$(git -C "$root" log -1 --format=%ct 2> /dev/null || true); fi
epoch=${epoch:-315532800}

mkdir -p "$out"
out=$(cd "$out" && pwd)
name=reelmill-$version-$target
scratch_in "$out"
pack "$scratch/packed/$name"
tar --create --directory "$scratch/packed" --format=ustar --sort=name --mtime="@$epoch" --owner=0 --group=0 \
  --numeric-owner --mode=u=rwX,go=rX "$name" | gzip --no-name > "$scratch/$name.tar.gz"
cp "$scratch/packed/$name/reelmill.cdx.json" "$scratch/$name.cdx.json"
rm -r "$scratch/packed" "$scratch/system"
sums "$scratch" "$name.SHA256SUMS"
mv -f "$scratch"/* "$out"
(cd "$out" && sha256sum --check --quiet "$name.SHA256SUMS")
echo "dist: $out/$name.tar.gz ($(stat --format=%s "$out/$name.tar.gz") bytes)"
