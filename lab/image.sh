#!/bin/bash
# image.sh: what a node is made of: root/ (read-only, the lower layer) and containerd/ (its store with every image unpacked).
# A node gets the store by "cp -al" and own copies of its *.db files: no import, no unpacking at boot. Prints the cache entry.
# image.sh [DIR]...: with the images in each DIR's tars, too.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
node=$(./node.sh) images="$(./images.sh) $*"

fill() { # in its own mount and pid namespaces: the image's containerd fills the store through the paths that nodes will use
  local root=$work/root dir tar name config
  mount -t tmpfs tmpfs "$work"; mkdir "$work"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=$node/root,upperdir=$work/upper,workdir=$work/work" "$root"
  mkdir -p "$root/var/lib/containerd" "$root/images"
  mount -t proc proc "$root/proc"; mount --bind /dev "$root/dev"; mount -t tmpfs tmpfs "$root/run"
  mount --bind "$out/containerd" "$root/var/lib/containerd"
  # Without CRI: it would look for cgroups and CNI, and nothing is to run here.
  [ "$CONTAINERD" = 1.7 ] && config=2 || config=3
  echo "version = $config"'
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.internal.v1.tracing"]' > "$root/run/store.toml"
  chroot "$root" containerd --config /run/store.toml --log-level warn & local containerd=$!
  ctr() { chroot "$root" ctr -n k8s.io "$@"; }
  until ctr version >/dev/null 2>&1; do kill -0 $containerd; sleep 0.1; done
  for dir in $images; do
    mount --bind "$dir" "$root/images"
    for tar in "$root"/images/*.tar; do ctr images import --snapshotter overlayfs "/images/${tar##*/}" >/dev/null; done
    umount "$root/images"
  done
  # Pinned: the kubelet's garbage collector may not delete what no registry here could give back.
  for name in $(ctr images list -q); do
    ctr images label "$name" io.cri-containerd.image=managed io.cri-containerd.pinned=pinned >/dev/null
  done
  ctr images list -q >&2
  kill $containerd; wait $containerd || true
}

build() {
  export out=$1 work node images CONTAINERD; work=$(mktemp -d)
  cp -al "$node/root" "$1/root"          # the entry is whole by itself; links cost nothing and nobody writes there
  mkdir "$1/containerd"
  export -f fill
  unshare -m -p --fork --kill-child --propagation private bash -euo pipefail -c fill
  rmdir "$work"
}
cached image "$(key image.sh cache.sh "=$node $images")" build
echo "$ENTRY"
