#!/bin/bash
# sshd.sh: sshd.raw, a system extension with Debian's sshd and sudo for user core: Flatcar's image has both, the lab's node neither.
# Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./packages.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
node=$(./node.sh)/root

inside() { # in a mount namespace of its own; configuration comes in /usr, too, and a unit puts it where it belongs
  local root=$work/debian/root tree=$work/debian/upper own=$work/tree/usr
  mkdir "$work"/{debian,tree}; overlay_above_node "$work/debian"
  install_packages "$root" openssh-server sudo
  rm -rf "$tree"/usr/share/{doc,man,locale,info,lintian,bash-completion} "$tree/usr/sbin/policy-rc.d" "$tree"/usr/lib/systemd/system/ssh*
  cp -a "$tree/usr" "$own"
  install -D -m 644 "$tree/etc/pam.d/sudo" "$own/share/lab-sshd/pam"
  install -D -m 440 /dev/stdin "$own/share/lab-sshd/sudoers" <<< 'core ALL=(ALL:ALL) NOPASSWD: ALL'
  install -D -m 644 /dev/stdin "$own/share/lab-sshd/sshd_config" <<'CONFIG'
UsePAM no
PasswordAuthentication no
AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys.d/ignition
CONFIG
  # Without PAM a user whose password is "!" is locked.
  install -D -m 644 /dev/stdin "$own/lib/systemd/system/lab-sshd.service" <<'UNIT'
[Unit]
Description=sshd
[Service]
RuntimeDirectory=sshd
ExecStartPre=/bin/sh -ec 'cd /usr/share/lab-sshd; mkdir -p /etc/ssh; install -m 440 sudoers /etc/sudoers; install -m 644 pam /etc/pam.d/sudo'
ExecStartPre=systemd-sysusers openssh-server.conf
ExecStartPre=usermod --password * core
ExecStartPre=ssh-keygen -A
ExecStart=/usr/sbin/sshd -D -e -f /usr/share/lab-sshd/sshd_config
UNIT
  install -D -m 644 /dev/stdin "$own/lib/systemd/system/multi-user.target.d/20-lab-sshd.conf" <<< $'[Unit]\nUpholds=lab-sshd.service'
  release "$work/tree" sshd   # pack.sh takes sudo its right to become root
  ../sysext/pack.sh "$work/tree" "$out/sshd.raw" -noI -noD -noF -noX -action 'chmod(u+s)@pathname(usr/bin/sudo)' >&2; chmod 444 "$out/sshd.raw"
}

build() {
  export out=$1 work node; work=$(mktemp -d "$CACHE/.sshd.XXXXXX")   # named as cached() looks for what a killed build left
  trap 'rm -rf --one-file-system "$work"' EXIT
  export -f inside
  unshare -m --propagation private bash -euo pipefail -c inside
}
cached sshd "$(key sshd.sh cache.sh packages.sh ../sysext/pack.sh "=$node")" build
echo "$ENTRY"
