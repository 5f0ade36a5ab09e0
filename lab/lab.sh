#!/bin/bash
# lab.sh: everything, and lab/out with links to it: image/{root,containerd}, sysexts/NAME.raw, kube/, images/, vm/, operator/.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
point() { # LINK TARGET: only the link is replaced, and only if it changed; a cluster that runs keeps its old image
  [ "$(readlink "$1" || true)" = "$2" ] || ln -sfnT "$2" "$1"
}
mkdir -p out/sysexts
kube=$(./kube.sh) images=$(./images.sh) image=$(./image.sh) sysexts=$(./sysexts.sh) operator=$(./operator.sh) vm=$(./vm.sh)
point out/kube "$kube"; point out/images "$images"; point out/image "$image"; point out/operator "$operator"; point out/vm "$vm"
for name in kubernetes keepalived haproxy cilium; do point "out/sysexts/$name.raw" "$(realpath "$sysexts/$name.raw")"; done
echo "lab: ready in $PWD/out"
