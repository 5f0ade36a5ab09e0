#!/bin/bash
# build.sh DIR: Cilium's programs, their image's files from its module, its chart and the lab's cilium program, into DIR.
set -euo pipefail
here=$(dirname "$(realpath "$0")") out=$(realpath "$1"); . "$here/../versions.sh"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
go=${GO:-go}; export CGO_ENABLED=0 GOTOOLCHAIN=auto
module=github.com/cilium/cilium
source=$("$go" mod download -json "$module@v$CILIUM" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')

agents() { # in the module's own directory, by its own go.mod and go.sum; two of what it requires the module proxy does not serve
  local given programs=(daemon=cilium-agent operator=cilium-operator-generic cilium-dbg plugins/cilium-cni cilium-health
    cilium-health/responder=cilium-health-responder tools/mount=cilium-mount tools/sysctlfix=cilium-sysctlfix)
  install -m 644 -t "$work" "$source/go.mod" "$source/go.sum"; cp -r "$here/controllers" "$work/controllers"
  "$go" mod edit -replace github.com/osrg/gobgp/v4=github.com/osrg/gobgp/v4@v4.7.0 \
    -replace "sigs.k8s.io/mcs-api/controllers=$work/controllers" "$work/go.mod"
  mkdir "$out/programs"
  for given in "${programs[@]}"; do
    (cd "$source" && "$go" build -modfile "$work/go.mod" -mod=mod -trimpath -tags osusergo,ipam_provider_operator \
      -ldflags "-s -w -X $module/pkg/version.ciliumVersion=$CILIUM " -o "$out/programs/${given##*[/=]}" "./${given%%=*}")
  done
}

program() {
  mkdir "$work/cli"; cd "$work/cli"; cp "$here/cilium.go" .
  printf 'module lab/cilium\n\ngo 1.26.0\n\nrequire helm.sh/helm/v4 v%s\n' "$HELM" > go.mod
  "$go" mod tidy
  "$go" build -trimpath -ldflags '-s -w' -o "$out/cilium" .
}

files() {
  mkdir -p "$out/files/var/lib/cilium"
  cp -r --no-preserve=mode "$source/bpf" "$out/files/var/lib/cilium/bpf"; rm -rf "$out/files/var/lib/cilium/bpf/tests"
  install -t "$out/files" "$source/images/cilium/init-container.sh" "$source/plugins/cilium-cni"/{install-plugin,cni-uninstall}.sh
  cp -r --no-preserve=mode "$source/install/kubernetes/cilium" "$out/chart"
  echo "$CILIUM" > "$out/chart/VERSION"
}

files; program; agents
