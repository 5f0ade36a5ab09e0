#!/bin/bash
# firewalld.sh: the real firewalld with all that it is run by, as a system extension of the lab's nodes. Prints the file's path.
# For tests of what `doctor` says of it; nothing of the lab itself needs it.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/../lab"; . ./cache.sh
node=$(./node.sh)/root

inside() { # in a mount namespace of its own: the packages go into an overlay above the node's root
  mount -t tmpfs tmpfs "$work"; mkdir "$work"/{upper,overlay,root,tree}
  mount -t overlay overlay -o "lowerdir=$node,upperdir=$work/upper,workdir=$work/overlay" "$work/root"
  mount -t proc proc "$work/root/proc"; mount --bind /dev "$work/root/dev"
  cat /etc/resolv.conf > "$work/root/etc/resolv.conf"; printf '#!/bin/sh\nexit 101\n' | install -m 755 /dev/stdin "$work/root/usr/sbin/policy-rc.d"
  chroot "$work/root" apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive chroot "$work/root" apt-get -qq -y --no-install-recommends install firewalld </dev/null >&2
  rm "$work/root/usr/sbin/policy-rc.d"
  # A system extension has no /etc: without what lies behind this link polkit lets nobody talk to firewalld.
  (cd "$work/upper/usr" && find . -lname '/etc/alternatives/*') | while read -r link; do
    chroot "$work/root" sh -c 'cp --remove-destination "$(readlink -f "$1")" "$1"' sh "/usr/$link"
  done
  cp -a "$work/upper/usr" "$work/tree/usr"
  # The test puts it in its place, and starts the unit, on one node.
  cp -a "$work/upper/etc/firewalld" "$work/tree/usr/share/firewalld-etc"
  mkdir -p "$work/tree/usr/lib/extension-release.d"
  printf 'ID=_any\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1\n' > "$work/tree/usr/lib/extension-release.d/extension-release.firewalld"
  ../sysext/pack.sh "$work/tree" "$out/firewalld.raw" -noI -noD -noF -noX >&2
}

build() {
  export out=$1 work node; work=$(mktemp -d "$CACHE/.firewalld-work.XXXXXX")
  export -f inside
  unshare -m --propagation private bash -euo pipefail -c inside
  rmdir "$work"
}
cached firewalld "$(key ../tests/firewalld.sh cache.sh ../sysext/pack.sh "=$node")" build
echo "$ENTRY/firewalld.raw"
