# VersityGW: S3 over a folder. The versions of all its parts, and their checksums, are those of
# versitygw/go.mod and versitygw/go.sum.
s3_version=$(sed -n 's:.*github.com/versity/versitygw v\([^ ]*\).*:\1:p' "$scripts/services/versitygw/go.mod")
s3_program=$cache/services/versitygw-$s3_version
# What reelmill's own store takes by default.
s3_access=reelmill
s3_secret=reelmill-local

s3_installed() { [ -x "$s3_program" ]; }

s3_install() {
  local go
  . "$scripts/services/go.sh"
  find_go
  scratch_in "$cache/services"
  (
    cd "$scripts/services/versitygw"
    quietly env GOFLAGS=-mod=readonly CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -trimpath -buildvcs=false \
      -o "$scratch/versitygw" github.com/versity/versitygw/cmd/versitygw
  )
  mv "$scratch/versitygw" "$s3_program"
}

s3_start() {
  mkdir -p "$home/data" "$home/metadata"
  launch env ROOT_ACCESS_KEY="$s3_access" ROOT_SECRET_KEY="$s3_secret" \
    "$s3_program" --port "127.0.0.1:$port" --region us-east-1 --health /healthz \
    posix "$home/data" --sidecar "$home/metadata"
}

s3_ready() { answers "http://127.0.0.1:$port/healthz"; }

# The bucket of the mill, as `reelmill up` makes it in its own store. 409: it is there.
s3_prepare() {
  local status
  status=$(curl --silent --show-error --noproxy '*' --output "$home/bucket.xml" --write-out '%{http_code}' \
    --aws-sigv4 aws:amz:us-east-1:s3 --user "$s3_access:$s3_secret" \
    --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --request PUT "http://127.0.0.1:$port/reelmill")
  [[ $status = 200 || $status = 409 ]] || { cat "$home/bucket.xml" >&2; return 1; }
}

s3_env() {
  echo "REELMILL_S3=http://127.0.0.1:$port"
  echo "REELMILL_ACCESS_KEY=$s3_access"
  echo "REELMILL_SECRET_KEY=$s3_secret"
}
