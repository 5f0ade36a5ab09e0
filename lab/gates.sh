#!/bin/bash
# gates.sh: writes check/kubeadm/flags/gates.txt anew, the feature gates of the kubelet and of the control plane's programs: each tested
# release in minors.tsv is asked for its own registry. All four programs add the same to it (cmd/*/app/server.go).
set -euo pipefail
here=$(dirname "$(realpath "$0")") go=${GO:-go}
table=$here/../crates/cluster-file/src/minors.tsv out=$here/../crates/cluster-file/src/check/kubeadm/flags/gates.txt
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOFLAGS=-mod=mod GOTOOLCHAIN=auto CGO_ENABLED=0

cat > main.go <<'GO'
package main

import (
	"fmt"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	logsapi "k8s.io/component-base/logs/api/v1"
	metricsfeatures "k8s.io/component-base/metrics/features"
	_ "k8s.io/kubernetes/pkg/features"
)

func main() {
	gates := utilfeature.DefaultMutableFeatureGate
	for _, err := range []error{logsapi.AddFeatureGates(gates), metricsfeatures.AddFeatureGates(gates)} {
		if err != nil {
			panic(err)
		}
	}
	for name, spec := range gates.GetAll() {
		kind := "free"
		if spec.LockToDefault {
			kind = fmt.Sprint(spec.Default)
		}
		fmt.Println(name, kind)
	}
}
GO

asked() { # VERSION: NAME, and free or the one value that it takes
  local staging m own
  own=$("$go" mod download -json "k8s.io/kubernetes@v$1" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  staging=$(sed -n 's/^\tk8s\.io\/\([a-z0-9-]*\) v0\.0\.0$/\1/p' "$own")
  rm -f go.sum
  { printf 'module lab/gates\n\n%s\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$(grep '^go ' "$own")" "$1"
    for m in $staging; do printf '\tk8s.io/%s => k8s.io/%s v0%s\n' "$m" "$m" "${1#1}"; done
    printf ')\n'; } > go.mod
  "$go" run .
}

awk -F '\t' '/^1/ && $2 != "-" {print $1, $2}' "$table" > releases
while read -r minor release; do asked "$release" | LC_ALL=C sort > "$minor"; done < releases
{ printf '# Written by lab/gates.sh: Kubernetes %s.\n' "$(cut -d' ' -f2 releases | paste -sd' ' | sed 's/ /, /g')"
  # shellcheck disable=SC2046
  awk -v first="$(head -1 releases | cut -d' ' -f1)" -v last="$(tail -1 releases | cut -d' ' -f1)" '
    { minor = FILENAME }
    !($1 in since) { since[$1] = minor }
    { until[$1] = minor }
    $2 != "free" && !($1 in locked) { locked[$1] = $2; from[$1] = minor }
    ($1 in locked) && $2 != locked[$1] { print $1 " is unlocked in " minor > "/dev/stderr"; exit 1 }
    END { for (name in since) {
      kind = !(name in locked) ? "free" : locked[name] (from[name] == since[name] ? "" : "@" from[name])
      range = (since[name] == first ? "" : since[name]) "-" (until[name] == last ? "" : until[name])
      print name, kind (range == "-" ? "" : " " range)
    } }' $(cut -d' ' -f1 releases) | LC_ALL=C sort
} > gates.txt
install -m 644 gates.txt "$out"
