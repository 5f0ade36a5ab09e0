# shellcheck shell=bash
# Sourced. Debian's packages as system extensions: they go into an overlay above the root of a node, which is $node, in a mount
# namespace of the caller's own.

overlay_above_node() { # DIR: DIR/root is it, writable; what is written lies in DIR/upper, in memory
  mount -t tmpfs tmpfs "$1"; mkdir "$1"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=$node,upperdir=$1/upper,workdir=$1/work" "$1/root"
  mount -t proc proc "$1/root/proc"; mount --bind /dev "$1/root/dev"
  cat /etc/resolv.conf > "$1/root/etc/resolv.conf"; printf '#!/bin/sh\nexit 101\n' | install -m 755 /dev/stdin "$1/root/usr/sbin/policy-rc.d"
}

install_packages() { # ROOT PACKAGE...
  chroot "$1" apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get -qq -y --no-install-recommends install "${@:2}" </dev/null >&2
}

release() { # TREE NAME: the release file must be named as the link in /etc/extensions
  mkdir -p "$1/usr/lib/extension-release.d"
  printf 'ID=_any\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1\n' > "$1/usr/lib/extension-release.d/extension-release.$2"
}
export -f overlay_above_node install_packages release
