#!/bin/bash
# firewalld.sh: the real firewalld with all that it is run by, as a system extension of the lab's nodes. Prints the file's path.
# For tests of what `doctor` says of it; nothing of the lab itself needs it.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../lab"; . ./cache.sh; . ./packages.sh
node=$(./node.sh)/root

inside() { # in a mount namespace of its own
  overlay_above_node "$work"
  install_packages "$work/root" firewalld
  rm "$work/root/usr/sbin/policy-rc.d"
  # A system extension has no /etc: without what lies behind this link polkit lets nobody talk to firewalld.
  (cd "$work/upper/usr" && find . -lname '/etc/alternatives/*') | while read -r link; do
    chroot "$work/root" sh -c 'cp --remove-destination "$(readlink -f "$1")" "$1"' sh "/usr/$link"
  done
  mkdir "$work/tree"; cp -a "$work/upper/usr" "$work/tree/usr"
  # The test puts it in its place, and starts the unit, on one node.
  cp -a "$work/upper/etc/firewalld" "$work/tree/usr/share/firewalld-etc"
  release "$work/tree" firewalld
  ../sysext/pack.sh "$work/tree" "$out/firewalld.raw" -noI -noD -noF -noX >&2
}

build() {
  export out=$1 work node; work=$(mktemp -d "$CACHE/.firewalld.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  export -f inside
  unshare -m --propagation private bash -euo pipefail -c inside
}
cached firewalld "$(key ../tests/firewalld.sh cache.sh packages.sh ../sysext/pack.sh "=$node")" build
echo "$ENTRY/firewalld.raw"
