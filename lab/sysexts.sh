#!/bin/bash
# sysexts.sh: the neighbour sysexts kubernetes, keepalived and haproxy in the bakery's layout. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./packages.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
node=$(./node.sh)/root kube=$(./kube.sh)

pack() { # NAME VERSION. Not compressed: five nodes on two cores would unpack the kubelet five times.
  release "$work/$1" "$1"
  ../sysext/pack.sh "$work/$1" "$out/$1-$2-x86-64.raw" -noI -noD -noF -noX >&2
  chmod 444 "$out/$1-$2-x86-64.raw"                # never written again, so that the provider may link instead of copying
  ln -s "$1-$2-x86-64.raw" "$out/$1.raw"
}

kubernetes() {
  local t=$work/kubernetes; cp -r sysexts/kubernetes "$t"
  install -D -t "$t/usr/bin" "$kube"/{kubeadm,kubelet,kubectl}
  install -D -t "$t/usr/local/bin/cni" "$node"/usr/lib/cni/{bridge,host-local,loopback,portmap}
  mkdir -p "$t/usr/local/share" "$t/usr/libexec/kubernetes/kubelet-plugins/volume"
  echo "v$KUBERNETES" > "$t/usr/local/share/kubernetes-version"
  # The controller manager's pod mounts this directory, and /usr is read-only: it lives in /var, as in the bakery.
  ln -s /var/kubernetes/kubelet-plugins/volume/exec "$t/usr/libexec/kubernetes/kubelet-plugins/volume/exec"
  pack kubernetes "v$KUBERNETES"
}

debian() { # NAME: Debian's program, with the libraries that the node's own /usr has not or has older, found by RPATH
  local t=$work/$1 lib=usr/lib/$1 so
  cp -r "sysexts/$1" "$t"; install -D "$work/debian/root/usr/sbin/$1" "$t/usr/bin/$1"    # never /usr/sbin: a link on Flatcar
  mkdir -p "$t/$lib" "$t/usr/share/$1"
  cp "$work/debian/root/etc/$1/$1.config-opts" "$t/usr/share/$1/" 2>/dev/null || true      # keepalived's list of what it was built with
  for so in $(chroot "$work/debian/root" ldd "/usr/sbin/$1" | awk '$3 ~ /^\// {print $3}'); do
    cmp -s "$node$so" "$work/debian/root$so" || install -m 644 "$work/debian/root$so" "$t/$lib/"
  done
  patchelf --set-rpath "/$lib" "$t/usr/bin/$1" "$t/$lib"/*
  pack "$1" "$(chroot "$work/debian/root" dpkg-query -W -f '${source:Upstream-Version}' "$1")"
}

cilium() { # the CLI's stand-in (see its first lines), where the bakery's sysext has the real one; no unit, the agent calls it
  local t=$work/cilium
  install -D -t "$t/usr/local/bin" cilium/cilium; install -D -m 644 -t "$t/usr/local/share/cilium" cilium/manifest.yaml
  pack cilium 0-stand-in
}

inside() { # in a mount namespace of its own
  mkdir "$work/debian"; overlay_above_node "$work/debian"
  # Of that suite nothing but what is named, and what these cannot do without.
  # A mirror may lag behind; its signature and its sums count.
  sed -n "s/^deb \(.*\) $DEBIAN /deb [check-valid-until=no] \1 $NEWER /p" "$node/etc/apt/sources.list" > "$work/debian/root/etc/apt/sources.list.d/newer.list"
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$NEWER" > "$work/debian/root/etc/apt/preferences.d/newer"
  install_packages "$work/debian/root" keepalived haproxy/"$NEWER"
  kubernetes; cilium; debian keepalived; debian haproxy
}

build() {
  export out=$1 work node kube KUBERNETES DEBIAN NEWER; work=$(mktemp -d "$CACHE/.sysexts.XXXXXX")   # named as cached() looks for what a killed build left
  trap 'rm -rf --one-file-system "$work"' EXIT
  export -f inside pack kubernetes cilium debian
  unshare -m --propagation private bash -euo pipefail -c inside
}
cached sysexts "$(key sysexts.sh cache.sh packages.sh sysexts cilium ../sysext/pack.sh "=$node $kube $NEWER")" build
echo "$ENTRY"
