#!/usr/bin/env bash
# The tools that check the chart, and what they write in it.
#
#   scripts/helm.sh          installs them into ~/.cache/reelmill/helm; does nothing where they are there
#   scripts/helm.sh write    writes the chart's README and its copies of rules and dashboards anew
#
# They are built from Go modules: their versions, and those of all their parts, are in scripts/helm/go.mod and
# go.sum. kubectl-validate has a module of its own, since it wants an older Kubernetes than helm. What KEDA
# and the Prometheus Operator add to Kubernetes is in their modules as files.
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
. "$scripts/services/fetch.sh"
. "$scripts/services/go.sh"
go_wanted=1.26
tools=$cache/helm
# What the chart is for: helm asks no cluster.
kubernetes=1.30

keda=github.com/kedacore/keda/v2@v2.21.0
keda_sum=h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=
operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
operator_sum=h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=

install_tools() {
  local built stamp part folder
  built=$(cat "$scripts/helm.sh" "$scripts"/helm/*.* "$scripts"/helm/validate/* | sha256sum | cut -d' ' -f1)
  if [ "$(cat "$tools/sha256" 2>/dev/null)" = "$built" ]; then return; fi
  echo "helm: building helm, helm-docs and kubectl-validate"
  find_go
  scratch_in "$cache"
  stamp="-s -w -X helm.sh/helm/v3/internal/version.version=$(version helm.sh/helm/v3)"
  for part in lint/rules chartutil; do
    stamp+=" -X helm.sh/helm/v3/pkg/$part.k8sVersionMajor=${kubernetes%.*}"
    stamp+=" -X helm.sh/helm/v3/pkg/$part.k8sVersionMinor=${kubernetes#*.}"
  done
  build helm helm helm.sh/helm/v3/cmd/helm
  build helm helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs
  build helm documents .
  stamp="-s -w"
  build helm/validate kubectl-validate sigs.k8s.io/kubectl-validate
  mkdir "$scratch/crds"
  folder=$(module "$keda" "$keda_sum")
  cp "$folder"/config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml "$scratch/crds"
  # What each trigger may be told: the CRD takes any words.
  cp "$folder/schema/generated/scalers-schema.json" "$scratch/scalers.json"
  folder=$(module "$operator" "$operator_sum")
  cp "$folder"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,prometheusrules}.yaml \
    "$scratch/crds"
  # Modules carry no right to write.
  chmod -R u+w "$scratch"
  echo "$built" > "$scratch/sha256"
  rm -rf "$tools"
  mv "$scratch" "$tools"
}

version() { sed -n "s:.*$1 \\(v[^ ]*\\).*:\\1:p" "$scripts/helm/go.mod"; }

# Not optimised: each runs for a second, and is there a minute sooner.
build() { # MODULE NAME PACKAGE
  (
    cd "$scripts/$1"
    quietly env GOFLAGS=-mod=readonly CGO_ENABLED=0 GOTOOLCHAIN=local "$go" build -trimpath -buildvcs=false \
      -gcflags 'all=-N -l' -ldflags "$stamp" -o "$scratch/$2" "$3"
  )
}

# Prints the folder of a Go module, which must have the sum that is given.
module() { # MODULE@VERSION SUM
  local got
  got=$(cd / && env GOFLAGS=-mod=mod GOTOOLCHAIN=local "$go" mod download -json "$1")
  grep -qF "\"Sum\": \"$2\"" <<< "$got" || { echo "helm: $1 is not the one that is expected: $got" >&2; return 1; }
  sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' <<< "$got"
}

# Helm reads no file outside of a chart: it has copies.
write() {
  local deploy=$scripts/../deploy chart=$scripts/../deploy/helm/reelmill file
  rm -rf "$chart/files"
  mkdir -p "$chart/files/dashboards"
  for file in "$deploy/prometheus/rules.yml"; do
    if [ -f "$file" ]; then cp "$file" "$chart/files/"; fi
  done
  for file in "$deploy"/grafana/dashboards/*.json; do
    if [ -f "$file" ]; then cp "$file" "$chart/files/dashboards/"; fi
  done
  "$tools/helm-docs" --chart-search-root "$chart" --log-level warning --sort-values-order file
}

install_tools
case ${1:-} in
  "") ;;
  write) write ;;
  *) echo "usage: scripts/helm.sh [write]" >&2; exit 64 ;;
esac
