#!/bin/bash
# vm.sh: the node as a virtual machine, a stand-in for a Flatcar image: disk.qcow2 (read-only, overlays go above it), vmlinuz and
# initrd.img with the real Ignition, append (the kernel's line that is right under TCG). Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
node=$(./node.sh) image=$(./image.sh) operator=$(./operator.sh)

packages() { # the node's, and what a machine needs besides
  cat /etc/resolv.conf > "$root/etc/resolv.conf"; printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"; chmod 755 "$root/usr/sbin/policy-rc.d"
  chroot "$root" apt-get -qq update >&2
  # INITRD=No: the kernel package's hook would build an initramfs that nobody boots.
  INITRD=No DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -qq -y --no-install-recommends install $(cat vm/packages) </dev/null >&2
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/usr/sbin/policy-rc.d
}

become_machine() { # the node without what only a container needs
  local u f
  (cd node/nspawn && find usr -type f) | while read -r f; do rm -f "$root/$f"; done
  find "$root/etc/systemd/system" -name 'cgroups-rw.service' -delete
  cp -r --no-preserve=ownership vm/root/. "$root/"
  sed "s/@PAUSE@/$PAUSE/; s/@SYSTEMD_CGROUP@/true/" node/flatcar/etc/containerd/config.toml > "$root/etc/containerd/config.toml"
  ln -sf ../run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"; : > "$root/etc/fstab"
  # Debian's Ignition relabels for SELinux: it wants a policy's name, and setfiles.
  mkdir -p "$root/etc/selinux" "$root/etc/systemd/system-generators"; echo SELINUXTYPE=none > "$root/etc/selinux/config"
  chroot "$root" systemctl preset-all --preset-mode=full >/dev/null 2>&1
  for u in $(grep -v '^#' vm/masked); do
    case $u in *.*) f=system ;; *) f=system-generators ;; esac
    ln -sf /dev/null "$root/etc/systemd/$f/$u"
  done
  rm -rf "$root"/etc/{machine-id,hostname,.updated} "$root"/var/lib/dbus/machine-id "$root"/var/.updated "$root"/var/log/*.log "$root"/vmlinuz*
}

modules() { # NAME MODULE...: them and what they need, in the order of loading
  local kernel m; kernel=$(ls "$root/usr/lib/modules"); mkdir -p "$ram/mod"
  for m in "${@:2}"; do chroot "$root" modprobe -S "$kernel" --show-depends "$m"; done | awk '/^insmod/ && !seen[$2]++ {print $2}' |
    while read -r m; do
      case $m in *.xz) xz -dc "$root$m" ;; *) cat "$root$m" ;; esac > "$ram/mod/$(basename "${m%.xz}")"
      basename "${m%.xz}" >> "$ram/mod/$1.order"
    done
}

initramfs() { # busybox and Ignition; 755 throughout, because Ignition writes ssh keys as their user
  local f ignition=/usr/lib/dracut/modules.d/30ignition/ignition ram=$work/ram
  mkdir -p "$ram"/{bin,usr/bin,usr/sbin,usr/lib/ignition,proc,sys,dev,run,sysroot,tmp,etc}; ln -s usr/sbin "$ram/sbin"
  cp "$root/usr/bin/busybox" "$ram/bin/"; for f in $(chroot "$root" busybox --list); do [ "$f" = busybox ] || ln -s busybox "$ram/bin/$f"; done
  cp "$root$ignition" "$ram/usr/bin/"
  for f in $(chroot "$root" ldd $ignition | grep -oE '/lib[^ ]+'); do mkdir -p "$ram/$(dirname "$f")"; cp -L "$root$f" "$ram$f"; done
  modules base virtio_pci virtio_mmio virtio_blk virtio_scsi sd_mod ext4 qemu_fw_cfg loop
  modules network virtio_net
  printf '#!/bin/sh\nexec cat >/dev/null\n' > "$ram/usr/sbin/setfiles"; printf '#!/bin/sh\n' > "$ram/usr/sbin/modprobe"
  for f in useradd usermod groupadd userdel groupdel; do      # the node's own; "--root /sysroot" becomes "--root /" inside it
    printf '#!/bin/sh\nn=; for a; do shift; [ -z "$n" ] || { n=; a=/; }; [ "$a" != --root ] || n=1; set -- "$@" "$a"; done
exec chroot /sysroot /usr/sbin/%s "$@"\n' $f > "$ram/usr/sbin/$f"
  done
  cp vm/init "$ram/init"; cp vm/udhcpc.script "$ram/bin/"; chmod 755 "$ram" "$ram"/usr/sbin/* "$ram/init" "$ram/bin/udhcpc.script"
  (cd "$ram"; find . | LC_ALL=C sort | "$root/usr/bin/busybox" cpio -o -H newc -R 0:0 2>/dev/null) | gzip -1 > "$out/initrd.img"
}

fill() { # in its own mount and pid namespaces: an overlay above the node's root, packed without any loop device
  local root=$work/root
  mount -t tmpfs -o mode=755 tmpfs "$work"; mkdir "$work"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=$node/root,upperdir=$work/upper,workdir=$work/work" "$root"
  mount -t proc proc "$root/proc"; mount --bind /dev "$root/dev"
  packages; become_machine
  umount "$root/proc" "$root/dev"
  cp "$root"/boot/vmlinuz-* "$out/vmlinuz"; initramfs; rm -rf "$root"/boot/*
  mkdir -p "$root/var/lib/containerd"; mount --bind "$image/containerd" "$root/var/lib/containerd"
  # Inodes and journal are written when the machine needs them; the first boot makes the file system as large as the disk.
  truncate -s 4G "$out/disk.raw"
  mke2fs -q -t ext4 -L ROOT -m 0 -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -d "$root" "$out/disk.raw"
  mount --bind "$out" "$operator/root/mnt"
  chroot "$operator/root" qemu-img convert -O qcow2 /mnt/disk.raw /mnt/disk.qcow2
  rm "$out/disk.raw"; grep -v '^#' vm/append > "$out/append"; chmod 444 "$out"/{disk.qcow2,vmlinuz,initrd.img,append}
}

build() {
  export out=$1 work node image operator PAUSE; work=$(mktemp -d)
  export -f fill packages become_machine modules initramfs
  unshare -m -p --fork --kill-child --propagation private bash -euo pipefail -c fill
  rmdir "$work"
}
cached vm "$(key vm.sh cache.sh vm/{packages,masked,append,init,udhcpc.script,root} node/flatcar node/nspawn "=$image $operator")" build
echo "$ENTRY"
