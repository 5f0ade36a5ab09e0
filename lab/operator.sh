#!/bin/bash
# operator.sh: the operator's machine for tests with virtual machines: Debian with QEMU and libvirt, whatever the host has.
# Prints the cache entry; operator/hold makes a machine of its root/.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" "$(realpath "$0")" "$@"

build() {
  local root=$1/root
  mmdebstrap --quiet --variant=minbase --mode=root --format=directory --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(paste -sd, operator/packages)" "$DEBIAN" "$root" >&2
  chroot "$root" groupmod --gid 1000 operator      # Debian has a group of that name, which nothing uses
  chroot "$root" useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash --groups kvm operator
  # sudo takes the right to core files away, and where root cannot raise a limit libvirt would start no machine.
  echo 'max_core = 0' >> "$root/etc/libvirt/qemu.conf"
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/etc/resolv.conf "$root"/etc/hostname
}
cached operator "$(key operator.sh cache.sh operator/packages "=$DEBIAN")" build
echo "$ENTRY"
