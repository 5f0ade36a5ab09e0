#!/bin/bash
# node.sh: the node image's root directory, Debian as Flatcar's stand-in. Prints the cache entry (its root/ is the image).
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
containerd=; [ "$CONTAINERD" = 1.7 ] || containerd=$(./containerd.sh)     # else Debian's own

build() {
  local root=$1/root program
  # --mode=root: kernels without unprivileged user namespaces. Recommends off and documents left out: 85 s instead of minutes.
  mmdebstrap --quiet --variant=minbase --mode=root --format=directory --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(paste -sd, node/packages)" "$DEBIAN" "$root" >&2
  cp -r --no-preserve=ownership node/flatcar/. node/nspawn/usr "$root/"
  if [ -n "$containerd" ]; then install -t "$root/usr/bin" "$containerd"/{containerd,containerd-shim-runc-v2,ctr}
  else cp node/containerd-1.7.toml "$root/etc/containerd/config.toml"; fi
  sed -i "s/@PAUSE@/$PAUSE/; s/@SYSTEMD_CGROUP@/false/; s/^  disable_apparmor.*/&\n  restrict_oom_score_adj = true/" "$root/etc/containerd/config.toml"
  # As on Flatcar: 500, a home, sudo without a word (here: no sudo at all), and the journal readable.
  chroot "$root" groupadd --gid 500 core
  chroot "$root" useradd --uid 500 --gid 500 --create-home --shell /bin/bash --groups systemd-journal core
  chroot "$root" systemctl preset-all --preset-mode=full >/dev/null 2>&1
  # Absent = a first boot, with presets and a new id per node. An empty file would be neither.
  rm -f "$root"/etc/{machine-id,hostname,resolv.conf,.updated} "$root"/var/lib/dbus/machine-id "$root"/var/.updated
  # kube-proxy's pod mounts the modules' directory, and /usr is read-only once extensions are merged.
  mkdir -p "$root"/usr/lib/modules "$root"/var/log/journal "$root"/etc/extensions "$root"/opt/extensions
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log
}
cached node "$(key node.sh cache.sh node "=$DEBIAN $PAUSE $containerd")" build
echo "$ENTRY"
