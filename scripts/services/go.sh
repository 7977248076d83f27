# A Go toolchain, sourced by what builds with it.
go_wanted=1.25
go_version=1.26.8

# Sets `go` to one that is new enough. Debian 12's is not, but it can fetch one: toolchains are
# modules, checked against the checksum database and against these sums.
find_go() {
  local have
  go=$cache/services/go-$go_version/bin/go
  if have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) &&
    printf '%s\n' "$go_wanted" "${have#go}" | sort --check=quiet --version-sort; then
    go=go
  elif [ ! -x "$go" ]; then
    go_install
  fi
}

go_install() {
  local platform sum got toolchain
  case $(uname -m) in
    x86_64) platform=linux-amd64 sum=h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM= ;;
    aarch64) platform=linux-arm64 sum=h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc= ;;
    *) echo "go: no toolchain is known for $(uname -m): put go $go_wanted or newer on the PATH" >&2; return 1 ;;
  esac
  scratch_in "$cache/services"
  debian_files "$scratch" golang-1.19-go golang-1.19-src
  got=$(env GOROOT="$scratch/usr/lib/go-1.19" GOPATH="$scratch/path" GOFLAGS=-modcacherw \
    "$scratch/usr/lib/go-1.19/bin/go" mod download -json "golang.org/toolchain@v0.0.1-go$go_version.$platform")
  grep -qF "\"Sum\": \"$sum\"" <<< "$got" ||
    { echo "go: the toolchain is not the one that is expected: $got" >&2; return 1; }
  toolchain=$scratch/path/pkg/mod/golang.org/toolchain@v0.0.1-go$go_version.$platform
  # Modules carry no permissions.
  chmod -R u+x "$toolchain/bin" "$toolchain/pkg/tool"
  mv "$toolchain" "$cache/services/go-$go_version"
}
