#!/bin/bash
# containerd.sh: containerd of the line that Flatcar ships (Debian's is older), built through Go's module proxy. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh

build() { CONTAINERD=$CONTAINERD GO=$(./go.sh) ./kube-build.sh containerd "$1" >&2; }
cached containerd "$(key containerd.sh kube-build.sh cache.sh "=$CONTAINERD")" build
echo "$ENTRY"
