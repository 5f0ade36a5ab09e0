#!/bin/bash
# kube-build.sh kubernetes|etcd|coredns DIR: builds them as Go tool dependencies of a module of our own; Go checks the sums.
set -euo pipefail
part=$1 out=$(realpath "$2"); . "$(dirname "$(realpath "$0")")/versions.env"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
go=${GO:-go}; export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=auto

# A program that names its staging modules v0.0.0 can only be built with each of them replaced by its real version.
staging="api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap
code-generator component-base component-helpers controller-manager cri-api cri-client csi-translation-lib
dynamic-resource-allocation endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy
kube-scheduler kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver sample-cli-plugin sample-controller"
programs="kubeadm kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl"

kubernetes() {
  local m p ld="-s -w" package
  { printf 'module lab/kube\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$KUBERNETES"
    for m in $staging; do printf '\tk8s.io/%s => k8s.io/%s v0%s\n' "$m" "$m" "${KUBERNETES#1}"; done
    printf ')\n\ntool (\n'; for p in $programs; do printf '\tk8s.io/kubernetes/cmd/%s\n' "$p"; done; printf ')\n'; } > go.mod
  "$go" mod tidy
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do     # what "kubectl version" says
    ld+=" -X $package.gitVersion=v$KUBERNETES -X $package.gitMajor=1 -X $package.gitTreeState=clean"
    ld+=" -X $package.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")"
  done
  for p in $programs; do "$go" build -trimpath -ldflags "$ld" -o "$out/$p" "k8s.io/kubernetes/cmd/$p"; done
}

tool() { # PACKAGE VERSION PROGRAM
  printf 'module lab/%s\n\ngo 1.24.0\n' "$3" > go.mod
  "$go" get -tool "$1@v$2"
  "$go" build -trimpath -ldflags "-s -w" -o "$out/$3" "$1"
}

case $part in
  kubernetes) kubernetes ;;
  etcd) tool go.etcd.io/etcd/server/v3 "$ETCD" etcd ;;
  coredns) tool github.com/coredns/coredns "$COREDNS" coredns ;;
esac
