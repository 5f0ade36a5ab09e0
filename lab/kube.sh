#!/bin/bash
# kube.sh: the Kubernetes programs, etcd and coredns. Prints the cache entry: the directory that holds them.
# Official downloads with their published sums; where those cannot be reached, built from source through Go's module proxy.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
programs="kubeadm kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl"

fetch() { curl -fsSL --retry 2 --connect-timeout 4 -o "$2" "$1"; }

checked() { # URL FILE SUM
  fetch "$1" "$2" && echo "$3  $2" | sha256sum -c --quiet - || { rm -f "$2"; return 1; }
}

download_kubernetes() {
  local p url sum
  for p in $programs; do
    url=https://dl.k8s.io/release/v$KUBERNETES/bin/linux/amd64/$p
    sum=$(curl -fsSL --connect-timeout 4 "$url.sha256" 2>/dev/null) && checked "$url" "$1/$p" "$sum" && chmod 755 "$1/$p" || return 1
  done
}

download_etcd() {
  local name=etcd-v$ETCD-linux-amd64 url=https://github.com/etcd-io/etcd/releases/download/v$ETCD sum
  sum=$(curl -fsSL --connect-timeout 4 "$url/SHA256SUMS" 2>/dev/null | awk -v n="$name.tar.gz" '$2 == n {print $1}') &&
    checked "$url/$name.tar.gz" "$1/etcd.tgz" "$sum" && tar -xzf "$1/etcd.tgz" -C "$1" --strip-components=1 --no-same-owner "$name/etcd" &&
    rm "$1/etcd.tgz"
}

download_coredns() {
  local url=https://github.com/coredns/coredns/releases/download/v$COREDNS/coredns_${COREDNS}_linux_amd64.tgz sum
  sum=$(curl -fsSL --connect-timeout 4 "$url.sha256" 2>/dev/null | cut -d' ' -f1) &&
    checked "$url" "$1/coredns.tgz" "$sum" && tar -xzf "$1/coredns.tgz" -C "$1" --no-same-owner coredns && rm "$1/coredns.tgz"
}

build() {
  local part
  for part in kubernetes etcd coredns; do
    if download_$part "$1"; then echo "lab: $part downloaded, sums checked" >&2; continue; fi
    echo "lab: $part: the official download cannot be reached; building it from source (cold 5 to 15 min, warm 2)" >&2
    GO=$(./go.sh) ./kube-build.sh "$part" "$1" >&2
  done
}
cached kube "$(key kube.sh kube-build.sh cache.sh "=$KUBERNETES $ETCD $COREDNS")" build
echo "$ENTRY"
