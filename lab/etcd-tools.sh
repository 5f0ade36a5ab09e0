#!/bin/bash
# etcd-tools.sh: etcdctl and etcdutl, which the real etcd image has beside etcd. Prints the cache entry: the directory that holds them.
# The official download with its published sum; where that cannot be reached, built from source through Go's module proxy.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
tools="etcdctl etcdutl"

download() { # DIR
  local name=etcd-v$ETCD-linux-amd64 url=https://github.com/etcd-io/etcd/releases/download/v$ETCD sum tool
  sum=$(curl -fsSL --connect-timeout 4 "$url/SHA256SUMS" 2>/dev/null | awk -v n="$name.tar.gz" '$2 == n {print $1}') &&
    curl -fsSL --retry 2 --connect-timeout 4 -o "$1/etcd.tgz" "$url/$name.tar.gz" &&
    echo "$sum  $1/etcd.tgz" | sha256sum -c --quiet - || { rm -f "$1/etcd.tgz"; return 1; }
  tar -xzf "$1/etcd.tgz" -C "$1" --strip-components=1 --no-same-owner "$name/etcdctl" "$name/etcdutl" || return 1
  rm "$1/etcd.tgz"
}

build() { # DIR
  local go tool work out; out=$(realpath "$1")
  if download "$out"; then echo "lab: etcdctl and etcdutl downloaded, sum checked" >&2; return; fi
  echo "lab: etcdctl and etcdutl: the official download cannot be reached; building them from source (a minute)" >&2
  go=$(./go.sh); work=$(mktemp -d); export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=auto
  cd "$work"; printf 'module lab/etcd-tools\n\ngo 1.24.0\n' > go.mod
  for tool in $tools; do "$go" get -tool "go.etcd.io/etcd/$tool/v3@v$ETCD"; done >&2
  for tool in $tools; do "$go" build -trimpath -ldflags "-s -w" -o "$out/$tool" "go.etcd.io/etcd/$tool/v3"; done
  rm -rf "$work"
}
cached etcd-tools "$(key etcd-tools.sh cache.sh "=$ETCD")" build
echo "$ENTRY"
