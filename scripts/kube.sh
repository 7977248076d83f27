#!/usr/bin/env bash
# The chart on a real kube-apiserver, which has no nodes: what it refuses, no schema says. Slow to build (some
# ten minutes of one core), so that nothing asks for it by itself: `REELMILL_KUBE=1 cargo test --test helm`.
#
#   scripts/kube.sh install                installs kube-apiserver, kubectl and etcd into ~/.cache/reelmill/kube
#   scripts/kube.sh check FOLDER VALUES…   FOLDER has the chart as objects, a file for each set of values: each
#                                          must be taken without a warning. Then the chart is installed with
#                                          the first file of values, upgraded with the others, and removed.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
. "$scripts/services/fetch.sh"
. "$scripts/services/go.sh"
. "$scripts/services/process.sh"
go_wanted=1.26
kube=$cache/kube
chart=$scripts/../deploy/helm/reelmill

install_kube() {
  local built program version
  built=$(cat "$scripts/kube.sh" "$scripts"/kube/* | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$kube/sha256" 2>/dev/null)" = "$built" ]; then return; fi
  echo "kube: building kube-apiserver and kubectl"
  find_go
  scratch_in "$cache"
  # Charts ask what it is.
  version=$(sed -n 's:.*k8s.io/kubernetes \(v[^ ]*\).*:\1:p' "$scripts/kube/go.mod")
  for program in kube-apiserver kubectl; do
    (
      cd "$scripts/kube"
      quietly env GOFLAGS=-mod=readonly CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -trimpath -buildvcs=false \
        -gcflags "all=-N -l" -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
        -o "$scratch/$program" "k8s.io/kubernetes/cmd/$program"
    )
  done
  mkdir "$scratch/debian"
  debian_files "$scratch/debian" etcd-server
  cp "$scratch/debian/usr/bin/etcd" "$scratch/etcd"
  rm -rf "$scratch/debian"
  echo "$built" > "$scratch/sha256"
  rm -rf "$kube"
  mv "$scratch" "$kube"
}

# Sets `config` to a kubeconfig. Both end with this script.
start() {
  local etcd peers api token deadline
  place=$(mktemp -d "${TMPDIR:-/tmp}/reelmill-kube.XXXXXX")
  trap stop EXIT
  mkdir -p "$place/etcd" "$place/api"
  assign_ports "$place" etcd api
  read -r etcd peers < "$place/etcd/ports"
  read -r api _ < "$place/api/ports"
  token=$(openssl rand -hex 24)
  (umask 077; echo "$token,admin,1,system:masters" > "$place/tokens")
  openssl genrsa -out "$place/accounts.key" 2048 2>/dev/null
  home=$place/etcd launch "$kube/etcd" --data-dir "$place/etcd/data" \
    --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
    --listen-peer-urls "http://127.0.0.1:$peers" --initial-advertise-peer-urls "http://127.0.0.1:$peers" \
    --initial-cluster "default=http://127.0.0.1:$peers"
  home=$place/api launch "$kube/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd" \
    --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$api" --cert-dir "$place/api/certificates" \
    --service-cluster-ip-range 10.0.0.0/24 --service-account-issuer https://reelmill.invalid \
    --service-account-signing-key-file "$place/accounts.key" --service-account-key-file "$place/accounts.key" \
    --token-auth-file "$place/tokens" --authorization-mode RBAC --disable-admission-plugins ServiceAccount
  config=$place/config
  (umask 077; cat > "$config") <<END
apiVersion: v1
kind: Config
clusters: [{ name: here, cluster: { server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true } }]
users: [{ name: me, user: { token: "$token" } }]
contexts: [{ name: here, context: { cluster: here, user: me } }]
current-context: here
END
  deadline=$((SECONDS + patience))
  until kubectl get --raw /readyz > /dev/null 2>&1; do
    runs "$place/api" && [ $SECONDS -lt $deadline ] ||
      { tail -n 20 "$place/etcd/log" "$place/api/log" >&2; echo "kube: the API server did not start" >&2; exit 1; }
    sleep 0.2
  done
}

stop() {
  local name
  for name in api etcd; do
    tell "$place/$name" TERM
    await_end "$place/$name"
  done
  rm -rf "$place" "${scratches[@]}"
}

kubectl() { env HOME="$place" "$kube/kubectl" --kubeconfig "$config" "$@"; }
helm() { env HOME="$place" KUBECONFIG="$config" "$cache/helm/helm" "$@"; }

# Runs a command that must say nothing against its work: a pod that Pod Security's level `restricted`
# would not let in is a warning.
without_warning() { # NAME COMMAND...
  local name=$1 said
  shift
  said=$("$@" 2>&1) || { printf 'kube: %s is refused: %s\n' "$name" "$said" >&2; return 1; }
  if grep -q '^Warning' <<< "$said"; then
    printf 'kube: %s is warned of: %s\n' "$name" "$said" >&2
    return 1
  fi
}

check() { # FOLDER VALUES...
  local folder=$1 file values
  shift
  kubectl apply --filename "$cache/helm/crds" --server-side > /dev/null
  kubectl wait --for condition=Established --timeout 60s --filename "$cache/helm/crds" > /dev/null
  kubectl create namespace film > /dev/null
  kubectl label namespace film pod-security.kubernetes.io/warn=restricted > /dev/null
  for file in "$folder"/*.yaml; do
    without_warning "${file##*/}" kubectl apply --namespace film --filename "$file" --dry-run=server --validate=strict
    echo "kube: taken ${file##*/}"
  done
  for values in "$@"; do
    without_warning "$values" helm upgrade --install mill "$chart" --namespace film \
      --values "$scripts/../tests/helm/base.yaml" --values "$values"
    echo "kube: mill is now $(kubectl get deployments,scaledobjects,hpa,jobs --namespace film --output name | wc -l) objects with ${values##*/}"
  done
  helm uninstall mill --namespace film > /dev/null
  [ -z "$(kubectl get deployments,statefulsets,services,jobs,secrets,scaledobjects --namespace film --output name)" ] ||
    { echo "kube: something is left after helm uninstall" >&2; return 1; }
  echo "kube: nothing is left"
}

case ${1:-} in
  install) install_kube ;;
  check)
    shift
    [ $# -ge 2 ] || { echo "kube: a folder and values are needed" >&2; exit 64; }
    install_kube
    start
    check "$@"
    ;;
  *) echo "usage: scripts/kube.sh install | check FOLDER VALUES…" >&2; exit 64 ;;
esac
