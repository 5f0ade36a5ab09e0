#!/bin/bash
# lab.sh PART: makes kube, containerd, node, images, image, sysexts, operator, vm, judges, cilium-real, runners, sshd, crio or conformance with all that
# it is made of, and the link to it in lab/out (lab/out/1.37 with KUBERNETES=1.37, lab/out/containerd-1.7 with CONTAINERD=1.7).
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
part=$1 variant=${KUBERNETES:+/$KUBERNETES}${CONTAINERD:+/containerd-$CONTAINERD} out=out$variant
point() { # LINK TARGET: only the link is replaced, and only if it changed; a cluster that runs keeps its old image
  [ "$(readlink "$1" || true)" = "$2" ] || ln -sfnT "$2" "$1"
}
mkdir -p "$out/sysexts"
entry=$("./$part.sh")
case $part in
  containerd | node) ;;     # the image holds it
  sysexts) for name in kubernetes keepalived haproxy cilium; do point "$out/sysexts/$name.raw" "$(realpath "$entry/$name.raw")"; done
    [ -z "$variant" ] || point "$out/sysexts/ha-agent.raw" "$(realpath -m out/sysexts)/ha-agent.raw" ;;
  *) point "$out/$part" "$entry"
    [ ! -d "$entry/images" ] || point "$out/$part-image" "$(./image.sh "$entry/images")" ;;    # for nodes that have these, too
esac
