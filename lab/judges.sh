#!/bin/bash
# judges.sh: systemd-analyze, haproxy and keepalived of Debian DEBIAN and NEWER, for the tests that ask them what they say of
# what is written: in SUITE/judge, each run with its own suite's libraries, whatever this machine has. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./versions.sh
[ "$(id -u)" = 0 ] || exec sudo FLATCAR_HA_CACHE="$CACHE" "$(realpath "$0")" "$@"

judge() { # ROOT PROGRAM
  install -D -m 755 /dev/stdin "$1/judge/${2##*/}" <<SH
#!/bin/sh
root=\$(dirname "\$(dirname "\$(realpath "\$0")")") libs=usr/lib/x86_64-linux-gnu
exec "\$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "\$root/\$libs:\$root/\$libs/systemd" "\$root/$2" "\$@"
SH
}

# keepalived reads what it was built with from one place: its own suite's file stands there, in a mount namespace.
judge_keepalived() { # ROOT
  judge "$1" usr/sbin/keepalived
  mv "$1/judge/keepalived" "$1/judge/keepalived.program"
  install -m 755 /dev/stdin "$1/judge/keepalived" <<'SH'
#!/bin/sh
own=$(dirname "$(realpath "$0")")
exec unshare -m sh -ec 'mount --bind "$1/../etc/keepalived" /etc/keepalived; own=$1; shift; exec "$own/keepalived.program" "$@"' sh "$own" "$@"
SH
}

build() {
  local suite program
  for suite in "$DEBIAN" "$NEWER"; do
    # A mirror may lag behind; its signature and its sums count. Nothing is configured, so nothing is run.
    mmdebstrap --quiet --variant=extract --mode=root --format=directory --aptopt='Acquire::Check-Valid-Until "false"' \
      --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/*' --include=systemd,dbus,haproxy,keepalived \
      "$suite" "$1/$suite" >&2
    rm -rf "$1/$suite"/var/lib/apt/lists/* "$1/$suite"/var/cache/apt/*.bin "$1/$suite"/etc/resolv.conf "$1/$suite"/etc/hostname
    for program in usr/bin/systemd-analyze usr/sbin/haproxy; do judge "$1/$suite" "$program"; done
    judge_keepalived "$1/$suite"
  done
}
cached judges "$(key judges.sh cache.sh "=$DEBIAN $NEWER")" build
echo "$ENTRY"
