#!/bin/bash
# kube-build.sh kubernetes|etcd|coredns|containerd DIR: builds them as Go tool dependencies of a module of our own; Go checks the sums.
set -euo pipefail
part=$1 out=$(realpath "$2"); . "$(dirname "$(realpath "$0")")/versions.sh"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
go=${GO:-go}; export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=auto

programs="kubeadm kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl"

kubernetes() {
  local m p ld="-s -w" package own staging
  own=$("$go" mod download -json "k8s.io/kubernetes@v$KUBERNETES" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  # It names its staging modules v0.0.0: it can only be built with each of them replaced by its real version.
  staging=$(sed -n 's/^\tk8s\.io\/\([a-z0-9-]*\) v0\.0\.0$/\1/p' "$own")
  { printf 'module lab/kube\n\n%s\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$(grep '^go ' "$own")" "$KUBERNETES"
    for m in $staging; do printf '\tk8s.io/%s => k8s.io/%s v0%s\n' "$m" "$m" "${KUBERNETES#1}"; done
    printf ')\n\ntool (\n'; for p in $programs; do printf '\tk8s.io/kubernetes/cmd/%s\n' "$p"; done; printf ')\n'; } > go.mod
  "$go" mod tidy
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do     # what "kubectl version" says
    ld+=" -X $package.gitVersion=v$KUBERNETES -X $package.gitMajor=1 -X $package.gitTreeState=clean"
    ld+=" -X $package.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")"
  done
  for p in $programs; do "$go" build -trimpath -ldflags "$ld" -o "$out/$p" "k8s.io/kubernetes/cmd/$p"; done
}

tool() { # MODULE VERSION LDFLAGS PACKAGE...: packages below the module, each with =PROGRAM if that is not called as its directory
  local given package
  printf 'module lab/%s\n\ngo 1.24.0\n' "$part" > go.mod
  for given in "${@:4}"; do package=$1/${given%%=*}; "$go" get -tool "${package%/}@v$2"; done
  for given in "${@:4}"; do
    package=$1/${given%%=*}; "$go" build -trimpath -ldflags "-s -w $3" -o "$out/${given##*[/=]}" "${package%/}"
  done
}

case $part in
  kubernetes) kubernetes ;;
  etcd) tool go.etcd.io/etcd/server/v3 "$ETCD" "" =etcd ;;
  coredns) tool github.com/coredns/coredns "$COREDNS" "" =coredns ;;
  containerd) module=github.com/containerd/containerd/v2
    tool $module "$CONTAINERD" "-X $module/version.Version=v$CONTAINERD" cmd/{containerd,containerd-shim-runc-v2,ctr} ;;
esac
