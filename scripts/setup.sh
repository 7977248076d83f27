#!/usr/bin/env bash
# Checks what must be given (Rust) and installs what can be: Debian packages, ONNX Runtime, a
# Python environment and Apache Kafka's tools for the foreign-client tests. Does nothing where all
# is there.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$HOME/.cache/reelmill
mkdir -p "$cache"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

want=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
command -v cargo >/dev/null || fail "cargo is missing: install rustup, then run 'rustup toolchain install $want'"
have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
[ "$have" = "$want" ] || fail "rust $want is needed, found '${have:-none}': run 'rustup toolchain install $want -c rustfmt -c clippy'"

packages=(chromium-headless-shell clang cmake curl ffmpeg g++ gstreamer1.0-libav gstreamer1.0-plugins-bad
  gstreamer1.0-plugins-good gstreamer1.0-tools kcat libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev
  libavutil-dev libclang-dev libcurl4-openssl-dev libssl-dev libswresample-dev libswscale-dev make maven
  openjdk-17-jdk-headless openssl pkg-config python3-pip python3-venv strace xz-utils)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  command -v apt-get >/dev/null || fail "needs Debian's apt-get, or these by hand: ${missing[*]}"
  say "installing ${missing[*]}"
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

scripts/onnxruntime.sh
scripts/kafka-tools.sh
scripts/compose.sh

python=$cache/python
if ! "$python/bin/python" -c 'import boto3, confluent_kafka, fastavro, openapi_spec_validator, schemathesis' 2>/dev/null; then
  say "installing boto3, confluent-kafka and schemathesis for the foreign-client tests"
  python3 -m venv --clear "$python"
  "$python/bin/python" -m pip install --quiet --disable-pip-version-check \
    'boto3==1.44.5' 'confluent-kafka[avro,schemaregistry]==2.11.1' \
    'openapi-spec-validator==0.9.0' 'schemathesis==4.32.5'
fi
# For tests/mill/players.py; it drives Debian's Chromium and brings none.
if ! "$python/bin/python" -c 'import playwright' 2>/dev/null; then
  say "installing playwright for the test of players"
  "$python/bin/python" -m pip install --quiet --disable-pip-version-check 'playwright==1.65.2'
fi
# For tests/panels: pip by itself would take the release for the oldest Grafana.
if ! "$python/bin/python" -c 'import grafana_foundation_sdk' 2>/dev/null; then
  say "installing grafana-foundation-sdk for the tests of the dashboards"
  "$python/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    'grafana-foundation-sdk==1769699379!11.6.0'
fi
# For tests/dist.rs: CycloneDX's own schema.
if ! "$python/bin/python" -c 'import cyclonedx.validation.json' 2>/dev/null; then
  say "installing cyclonedx-python-lib for the test of a release's SBOM"
  "$python/bin/python" -m pip install --quiet --disable-pip-version-check 'cyclonedx-python-lib[json-validation]==11.12.0'
fi
say "ready"
