#!/bin/bash
# go.sh: prints a Go program of at least 1.24, installing Debian's if there is none. An older Go can fetch the newer itself.
set -euo pipefail
good() { # GOTOOLCHAIN=auto lets a Go >= 1.21 fetch the toolchain that go.mod asks for
  local v; v=$("$1" env GOVERSION 2>/dev/null) || return 1; v=${v#go1.}; [ "${v%%.*}" -ge 21 ]
}
for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-1.2[4-9]/bin/go; do
  [ -x "$go" ] && good "$go" && { echo "$go"; exit; }
done
for p in golang-1.24-go golang-go; do
  apt-cache show "$p" >/dev/null 2>&1 || continue
  echo "need: installing $p with apt-get" >&2
  if [ "$(id -u)" = 0 ]; then apt-get -qq -y install "$p"; else sudo apt-get -qq -y install "$p"; fi </dev/null >&2
  for go in /usr/lib/go-1.24/bin/go /usr/bin/go; do [ -x "$go" ] && good "$go" && { echo "$go"; exit; }; done
done
echo "lab: Go 1.21 or later is needed to build Kubernetes (the official downloads are not reachable), and apt has none:
  install it from go.dev/dl or Debian 13 / bookworm-backports (golang-1.24-go)" >&2
exit 1
