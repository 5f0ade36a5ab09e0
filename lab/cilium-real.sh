#!/bin/bash
# cilium-real.sh: the real Cilium: images/ with its agent and its operator, and cilium.raw with a program that installs its real chart.
# Its own releases are in no package registry; the programs come from its module, their surroundings from Debian. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./packages.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"

programs() { GO=$(./go.sh) cilium-real/build.sh "$1" >&2; }
cached cilium-programs "$(key cilium-real/build.sh cilium-real/cilium.go cilium-real/controllers cache.sh go.sh "=$CILIUM $HELM")" programs
programs=$ENTRY

base() { # extracted only: a container needs no more
  mmdebstrap --quiet --variant=extract --mode=root --format=directory --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --include="$(paste -sd, cilium-real/packages)" "$DEBIAN" "$1" >&2
  rm -rf "$1"/var/{lib,cache}/apt "$1"/var/lib/dpkg "$1"/dev "$1"/usr/share/{doc,man,locale,info}
  printf 'root:x:0:0::/root:/bin/bash\n' > "$1/etc/passwd"; printf 'root:x:0:\n' > "$1/etc/group"
  local name; for name in iptables ip6tables; do
    for name in "$name" "$name-save" "$name-restore"; do ln -sfn xtables-nft-multi "$1/usr/sbin/$name"; done
  done
  ln -sfn clang-19 "$1/usr/bin/clang"
}

build() {
  local p=$programs/programs agent=quay.io/cilium/cilium:v$CILIUM operator=quay.io/cilium/operator-generic:v$CILIUM program given=() t=$1/tree
  mkdir "$1/images"; base "$1/base"
  for program in cilium-agent cilium-dbg cilium-health cilium-health-responder cilium-mount cilium-sysctlfix; do
    given+=("$p/$program=/usr/bin/$program")
  done
  images/archive.py "$1/images/cilium.tar" "$agent" "" cmd=/usr/bin/cilium-dbg "$1/base=/" "${given[@]}" "$programs/files=/" \
    "$p/cilium-cni=/opt/cni/bin/cilium-cni" "$1/base/usr/lib/cni/loopback=/cni/loopback"
  images/archive.py "$1/images/operator.tar" "$operator" /usr/bin/cilium-operator-generic "$p/cilium-operator-generic=/usr/bin/cilium-operator-generic"
  install -D -t "$t/usr/local/bin" "$programs/cilium"; mkdir -p "$t/usr/local/share/cilium"; cp -r "$programs/chart" "$t/usr/local/share/cilium/chart"
  echo "$CILIUM" > "$1/version"
  release "$t" cilium; ../sysext/pack.sh "$t" "$1/cilium.raw" -noI -noD -noF -noX >&2; chmod 444 "$1/cilium.raw"
  rm -rf --one-file-system "$1/base" "$t"
}
cached cilium-real "$(key cilium-real.sh cilium-real/packages packages.sh cache.sh images/archive.py ../sysext/pack.sh "=$DEBIAN $programs")" build
echo "$ENTRY"
