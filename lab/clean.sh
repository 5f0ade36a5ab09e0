#!/bin/bash
# clean.sh: removes the cache entries that lab/out does not use and nothing is mounted from.
set -eu   # no pipefail: processes vanish while their mounts are read
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" "$(realpath "$0")" "$@"
used=$(for l in out out/1.* out/{,1.*/}containerd-*; do realpath -qm "$l"/{image,images,kube,sysexts/kubernetes.raw,operator,vm,judges,{cilium-real,conformance}{,-image}}; done)
for entry in "$CACHE"/*-????????????????; do
  [ -d "$entry" ] || continue
  grep -q "^$entry\(/\|$\)" <<<"$used" && continue
  # What is in lab/out was made from them.
  for part in node containerd etcd-tools cilium-programs conformance-programs; do [ "$entry" != "$(ls -td "$CACHE/$part"-* 2>/dev/null | head -1)" ] || continue 2; done
  # Every mount namespace: the tests' clusters live in namespaces of their own.
  cat /proc/[0-9]*/mounts 2>/dev/null | grep -q "$entry/" && { echo "lab: $entry is in use"; continue; }
  echo "lab: removing $entry"; rm -rf "$entry"
done
