#!/bin/bash
# need.sh [lab|inotify|rust|arm64|deny|browser|disk]...: installs what is missing on a Debian 12+ machine and says so; what is there is never touched.
set -euo pipefail
DENY=0.20.2                              # cargo-deny
CACHE=${FLATCAR_HA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flatcar-ha}
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

apt_install() { # only the packages that dpkg does not know as installed
  local missing=()
  for p; do dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
  [ ${#missing[@]} = 0 ] && return
  echo "need: installing ${missing[*]} with apt-get"
  # /dev/null: no question may wait for an answer; policy-rc.d: keepalived and haproxy are wanted as programs, not as daemons here.
  local guard=
  [ -e /usr/sbin/policy-rc.d ] || { guard=1; printf '#!/bin/sh\nexit 101\n' | root install -m 755 /dev/stdin /usr/sbin/policy-rc.d; }
  root apt-get -qq update </dev/null
  root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null >/dev/null \
    || { [ -z "$guard" ] || root rm /usr/sbin/policy-rc.d; echo "need: apt-get could not install ${missing[*]}" >&2; exit 1; }
  [ -z "$guard" ] || root rm /usr/sbin/policy-rc.d
}

need_lab() {
  apt_install mmdebstrap squashfs-tools patchelf busybox-static gcc libc6-dev python3 jq curl ca-certificates file \
    systemd-container e2fsprogs xz-utils iproute2 iptables nftables conntrack kmod procps util-linux openssl \
    ignition keepalived haproxy gnupg bzip2 \
    openssh-client   # from ignition on: the tests ask them about what is written, and launch by ssh
}

# The kernel's 128 are too few for the fourth kubelet ("inotify_init: too many open files"). Until the next boot only.
need_inotify() {
  local now; now=$(sysctl -n fs.inotify.max_user_instances)
  [ "$now" -ge 8192 ] || { echo "need: raising fs.inotify.max_user_instances from $now to 8192"
    root sysctl -qw fs.inotify.max_user_instances=8192; }
  now=$(sysctl -n fs.inotify.max_user_watches)
  [ "$now" -ge 65536 ] || { echo "need: raising fs.inotify.max_user_watches from $now to 524288"
    root sysctl -qw fs.inotify.max_user_watches=524288; }
}

need_rust() {
  apt_install gcc libc6-dev curl ca-certificates cmake make pkg-config
  export PATH=$HOME/.cargo/bin:$PATH
  if command -v cargo >/dev/null; then :
  elif apt-cache show rustup >/dev/null 2>&1; then
    apt_install rustup     # Debian 13
  else
    echo "need: installing rustup from sh.rustup.rs"
    curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none
  fi
  # rustup installs the pinned toolchain at its first call: here, since two calls at once would both begin to.
  ( cd "$(dirname "$0")" && cargo --version >/dev/null )
}

need_deny() { # cargo-deny, from source: nobody packages it for Debian
  need_rust
  [ ! -x "$(need_deny_path)/cargo-deny" ] || return 0
  echo "need: building cargo-deny $DENY with cargo install (minutes, once; cached in $(need_deny_path))"
  # It runs for a second: its own profile (everything in one piece, optimised at the end) would cost more than half of the build.
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    cargo install --quiet --locked --root "$(dirname "$(need_deny_path)")" "cargo-deny@$DENY"
}
need_deny_path() { echo "$CACHE/cargo-deny-$DENY/bin"; }

need_browser() { # looks at what a launch leaves as its picture
  if command -v chromium >/dev/null; then :
  elif apt-cache show chromium >/dev/null 2>&1 && apt_install chromium; then :
  else echo "need: apt has no chromium for us: the tests that look at launch.html will say SKIPPED" >&2
  fi
}

# GiB: three virtual machines may fill 6, and launch asks for them, the rest of the tests' clusters was seen to fill under 2 (df); the
# build; a first run's lab with Go's cache (du). Without them tests fail half an hour later.
CLUSTERS_FILL=8 BUILD_FILLS=10 FIRST_LAB_FILLS=17
need_disk() {
  local dir want=$CLUSTERS_FILL have; dir=$(dirname "$(realpath "$0")")/..
  [ -d "$dir/target/debug" ] || want=$((want + BUILD_FILLS))
  compgen -G "$CACHE/kube-*" >/dev/null || want=$((want + FIRST_LAB_FILLS))
  have=$(($(df --output=avail -B1 "$dir" | tail -n 1) >> 30))
  [ "$have" -ge "$want" ] || { echo "need: $have GiB disk free here, the tests fill up to $want GiB: make room first" >&2; exit 1; }
}

need_arm64() { # the cross build of the agent's sysext, and what runs its program here
  apt_install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
  ! command -v rustup >/dev/null || ( cd "$(dirname "$0")" && rustup -q target add aarch64-unknown-linux-gnu )
}

export PATH=$PATH:/usr/sbin:/sbin      # a user's PATH on Debian has no sysctl
for part in "${@:-lab}"; do need_$part; done
