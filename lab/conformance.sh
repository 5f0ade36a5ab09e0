#!/bin/bash
# conformance.sh: Kubernetes' own conformance tests: programs/ (e2e.test, ginkgo) and images/, the tars of the images that they ask for.
# Prints the cache entry. No registry is asked: the images' programs are built from the same sources, and where an image is somebody
# else's program (nginx), one that answers in its place does: these tests look at the objects around it.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" KUBERNETES="$KUBERNETES" PATH="$PATH" HOME="$HOME" "$(realpath "$0")" "$@"
kube=$(./kube.sh)

build_programs() { GO=$(./go.sh) ./conformance-build.sh "$1" >&2; }

make_root() { # DIR: what the images of shells and tools have in common: Debian, busybox' programs where it has none, agnhost
  mmdebstrap --quiet --variant=minbase --mode=root --format=directory --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(paste -sd, conformance/packages)" "$DEBIAN" "$1" >&2
  rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/etc/{hostname,resolv.conf}
  chroot "$1" sh -c 'for name in $(busybox --list); do [ -e "/usr/bin/$name" ] || ln -s busybox "/usr/bin/$name"; done'
  ln -sf bash "$1/usr/bin/sh"     # dash and Debian's busybox drop variables whose names hold a "-", which these tests print
  # As in agnhost's Dockerfile.
  install "$programs/agnhost" "$kube/coredns" "$1/"; ln -s agnhost "$1/agnhost-2"; mkdir "$1/uploads"
  install -m 644 "$programs"/localhost.{crt,key} "$1/"
  chroot "$1" groupadd --gid 50000 group-defined-in-image
  chroot "$1" useradd --uid 1000 --groups group-defined-in-image user-defined-in-image
  install -m 6755 "$programs/nonewprivs" "$1/usr/local/bin/nnp"
  printf '#!/bin/sh\nexec /agnhost test-webserver\n' | install /dev/stdin "$1/usr/local/bin/nginx"
}

archive() { # NAME[|NAME]... ENTRYPOINT WORD...: the images of these names that the tests ask for, by all their tags
  local names; names=$(grep -E "^registry\.k8s\.io/(e2e-test-images/)?($1):" <<<"$asked" | paste -sd,) || return 0
  images/archive.py "$out/images/${1%%|*}.tar" "$names" "${@:2}"
}

build() {
  local out=$1 name asked; asked=$("$programs/e2e.test" --list-images)
  root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
  mkdir "$out"/{programs,images}
  install "$programs"/{e2e.test,ginkgo} "$out/programs"
  make_root "$root"
  # One layer, which the nodes' store holds once.
  archive 'agnhost|glibc-dns-testing|jessie-dnsutils' /agnhost cmd=pause "$root=/"
  archive busybox "" cmd=sh "$root=/"
  archive nonroot "" cmd=sh user=1234 "$root=/"
  archive nonewprivs "" cmd=nnp "$root=/"
  archive 'nginx|httpd' "" cmd=nginx "$root=/"
  for name in nautilus kitten; do archive $name /agnhost cmd=test-webserver "$programs/agnhost=/agnhost" "$programs/$name=/"; done
  archive sample-apiserver /sample-apiserver "$programs/sample-apiserver=/sample-apiserver"
  archive etcd "" "$kube/etcd=/usr/local/bin/etcd"
}

cached conformance-programs "$(key conformance-build.sh cache.sh "=$KUBERNETES")" build_programs
programs=$ENTRY
cached conformance "$(key conformance.sh conformance/packages images cache.sh "=$DEBIAN $kube $programs")" build
echo "$ENTRY"
