#!/bin/bash
# conformance-build.sh DIR: Kubernetes' own end-to-end tests (e2e.test), their runner (ginkgo) and the programs in the images that
# they use, of the same release as the cluster; Go checks the sums.
set -euo pipefail
out=$(realpath "$1"); . "$(dirname "$(realpath "$0")")/versions.sh"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
go=${GO:-go}; export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=auto
tools=(github.com/onsi/ginkgo/v2/ginkgo k8s.io/kubernetes/test/images/{agnhost,nonewprivs} k8s.io/sample-apiserver)

sources=$("$go" mod download -json "k8s.io/kubernetes@v$KUBERNETES")
own=$(jq -r .GoMod <<<"$sources") sources=$(jq -r .Dir <<<"$sources")
# As in kube-build.sh: each staging module, which it names v0.0.0, by its real version. Ginkgo is of the version that it names.
{ printf 'module lab/conformance\n\n%s\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$(grep '^go ' "$own")" "$KUBERNETES"
  sed -n "s/^\t\(k8s\.io\/[a-z0-9-]*\) v0\.0\.0$/\t\1 => \1 v0${KUBERNETES#1}/p" "$own"
  printf ')\n\ntool (\n'; printf '\t%s\n' "${tools[@]}"; printf ')\n'; } > go.mod
printf '//go:build tools\n\npackage tools\n\nimport _ "k8s.io/kubernetes/test/e2e"\n' > tools.go
"$go" mod tidy

ld="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do      # what the tests compare the apiserver's with
  ld+=" -X $package.gitVersion=v$KUBERNETES -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES")"
done
"$go" test -c -trimpath -ldflags "$ld" -o "$out/e2e.test" k8s.io/kubernetes/test/e2e
for package in "${tools[@]}"; do "$go" build -trimpath -ldflags "$ld" -o "$out/${package##*/}" "$package"; done
# What else Kubernetes puts into these images.
install -m 644 "$sources"/test/images/agnhost/porter/localhost.{crt,key} "$out"
for name in nautilus kitten; do mkdir "$out/$name"; install -m 644 "$sources/test/images/$name/html"/* "$out/$name"; done
