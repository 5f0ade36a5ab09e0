#!/bin/bash
# images.sh: the container images as docker-archive tars, named as "kubeadm config images list" prints. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
node=$(./node.sh)/root kube=$(./kube.sh) etcd_tools=$(./etcd-tools.sh)

archive() { # NAME:TAG ENTRYPOINT FILE=PATH...
  images/archive.py "$out/$(basename "${1%%:*}").tar" "$@"
}

libraries() { # PROGRAM in the node's root -> FILE=PATH of it and of all that it loads, at the same paths
  local f
  for f in "$1" $(chroot "$node" ldd "$1" | grep -o '/[^ ]*'); do echo "$node$f=$f"; done
}

build() {
  local name out=$1 pause; pause=$(mktemp)
  gcc -Os -static -s -o "$pause" images/pause.c
  for name in $("$kube/kubeadm" config images list --kubernetes-version "v$KUBERNETES"); do
    case $name in
      */kube-proxy:*)   # nftables mode calls nft, and conntrack to forget a gone service's flows. Without /etc/protocols nft
        # lists "6" for "tcp", and a kube-proxy that starts anew deletes every service as a leftover.
        archive "$name" "" "$kube/kube-proxy=/usr/local/bin/kube-proxy" $(libraries /usr/sbin/nft) $(libraries /usr/sbin/conntrack) \
          "$node/etc/protocols=/etc/protocols" ;;
      */coredns:*) archive "$name" /coredns "$kube/coredns=/coredns" ;;
      */pause:*) archive "$name" /pause "$pause=/pause" ;;
      */etcd:*) archive "$name" "" "$kube/etcd=/usr/local/bin/etcd" "$etcd_tools"/etcd{ctl=/usr/local/bin/etcdctl,utl=/usr/local/bin/etcdutl} ;;
      *) archive "$name" "" "$kube/$(basename "${name%%:*}")=/usr/local/bin/$(basename "${name%%:*}")" ;;
    esac
  done
  # The lab's pod network, and a program for test pods: kubectl and a shell.
  archive docker.io/lab/net:1 "" "$kube/kubectl=/usr/local/bin/kubectl" "$node/usr/bin/busybox=/usr/local/bin/busybox" "$node/usr/bin/busybox=/bin/sh"
  rm -f "$pause"
}
cached images "$(key images.sh images cache.sh "=$node $kube $etcd_tools")" build
echo "$ENTRY"
