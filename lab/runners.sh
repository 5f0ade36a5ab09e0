#!/bin/bash
# runners.sh: what the load balancer runs from where it is no sysext: images/ with keepalived and haproxy as the sysexts have them,
# names/ with the whole names of both, and podman.raw with podman and the same images, which it loads. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./packages.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" CONTAINERD="$CONTAINERD" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
node=$(./node.sh)/root

libraries() { # ROOT PROGRAM -> FILE=PATH of it and of all that it loads, at the same paths
  local f
  for f in "$2" $(chroot "$1" ldd "$2" | grep -o '/[^ ]*'); do echo "$1$f=$f"; done
}

image() { # ROOT NAME FILE=PATH...
  local root=$1 name=$2; shift 2
  images/archive.py "$work/$name.tar" "$name:1" "" $(libraries "$root" "/usr/sbin/$name") "$@"
  runners/oci.py "$work/$name.tar" "$out/images/$name.tar" "registry.example.org/$name" > "$out/names/$name"
}

podman() { # as Flatcar's own extension: programs in /usr, no configuration in /etc
  local root=$work/podman/root tree=$work/podman/upper/usr own=$work/tree/usr
  install_packages "$root" podman crun conmon netavark golang-github-containers-common golang-github-containers-image
  rm -rf "$tree"/share/{doc,man,locale,info,lintian,bash-completion,zsh,fish} "$tree/sbin/policy-rc.d"
  mkdir "$work/tree"; cp -a "$tree" "$own"
  install -D -m 644 /dev/stdin "$own/share/containers/policy.json" <<< '{"default":[{"type":"insecureAcceptAnything"}]}'
  # A node's /usr is an overlay on an overlay already, and no kernel mounts a third one.
  printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n' > "$own/share/containers/storage.conf"
  install -D -m 644 -t "$own/share/lab-images" "$out"/images/*.tar
  install -D -m 644 /dev/stdin "$own/lib/systemd/system/lab-images.service" <<'UNIT'
[Unit]
Description=The lab's registry: what it would be asked for is there
Before=haproxy.service keepalived.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'install -D -m 644 -t /etc/containers /usr/share/containers/policy.json; for f in /usr/share/lab-images/*; do podman load --input "$f"; done'
UNIT
  install -D -m 644 /dev/stdin "$own/lib/systemd/system/multi-user.target.d/20-lab-images.conf" <<< $'[Unit]\nUpholds=lab-images.service'
  release "$work/tree" podman; ../sysext/pack.sh "$work/tree" "$out/podman.raw" -noI -noD -noF -noX >&2; chmod 444 "$out/podman.raw"
  judge "$root"
}

judge() { # ROOT: podman's generator, with its own libraries, whatever this machine has
  local f; for f in /usr/libexec/podman/quadlet $(chroot "$1" ldd /usr/libexec/podman/quadlet | grep -o '/[^ ]*'); do
    install -D "$1$f" "$out/judge/root/$(basename "$f")"
  done
  install -m 755 /dev/stdin "$out/judge/quadlet" <<'SH'
#!/bin/sh
here=$(dirname "$(realpath "$0")")/root
exec "$here/ld-linux-x86-64.so.2" --library-path "$here" "$here/quadlet" "$@"
SH
}

inside() { # in a mount namespace of its own
  local root=$work/debian/root
  mkdir "$work"/{debian,podman}; overlay_above_node "$work/debian"; overlay_above_node "$work/podman"
  sed -n "s/^deb \(.*\) $DEBIAN /deb [check-valid-until=no] \1 $NEWER /p" "$node/etc/apt/sources.list" > "$root/etc/apt/sources.list.d/newer.list"
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$NEWER" > "$root/etc/apt/preferences.d/newer"
  install_packages "$root" keepalived haproxy/"$NEWER"
  printf 'root:x:0:0::/root:/bin/sh\n' > "$work/passwd"; printf 'root:x:0:\n' > "$work/group"
  local users="$work/passwd=/etc/passwd $work/group=/etc/group"
  image "$root" haproxy $users
  image "$root" keepalived $users "$root/etc/keepalived/keepalived.config-opts=/etc/keepalived/keepalived.config-opts"
  podman
}

build() {
  export out=$1 work node DEBIAN NEWER; work=$(mktemp -d "$CACHE/.runners.XXXXXX")   # named as cached() looks for what a killed build left
  trap 'rm -rf --one-file-system "$work"' EXIT
  mkdir "$out"/{images,names}
  export -f inside libraries image podman judge
  unshare -m --propagation private bash -euo pipefail -c inside
}
cached runners "$(key runners.sh runners cache.sh packages.sh images/archive.py ../sysext/pack.sh "=$node $NEWER")" build
echo "$ENTRY"
