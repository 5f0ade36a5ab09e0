#!/bin/bash
# lint.sh IMAGE.raw | --reproducible: is the sysext what a node and the bakery's tools expect? Prints every fault, then fails.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
if [ "${1:-}" = --reproducible ]; then # two builds; of AGENT_BIN=FILE only the packing, else both from nothing but the tree
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
  tree=$here/..
  if [ -z "${AGENT_BIN:-}" ]; then # another checkout at another path, as another person would have it
    tree=$work/elsewhere/checkout; mkdir -p "$tree"
    tar -C "$here/.." -c --exclude=./target --exclude=./lab/out --exclude=./.git . | tar -C "$tree" -x
  fi
  a=$(AGENT_TARGET_DIR=$work/target-one "$here/build.sh" "$work/one")
  (umask 077; sleep 1; AGENT_TARGET_DIR=$work/elsewhere/target "$tree/sysext/build.sh" "$work/two" >/dev/null)
  cmp "$a" "$work/two/$(basename "$a")" && cmp "$work/one/SHA256SUMS" "$work/two/SHA256SUMS" || { echo "lint: two builds differ" >&2; exit 1; }
  echo "lint: two $([ -n "${AGENT_BIN:-}" ] && echo "packings of one program" || echo builds) are byte for byte the same"; exit
fi

image=$(realpath "$1") file=$(basename "$(realpath "$1")") faults=0
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
unsquashfs -quiet -no-progress -d "$work/t" "$image" >/dev/null; cd "$work/t"
fault() { echo "lint: $file: $*" >&2; faults=$((faults + 1)); }
mode() { [ "$(stat -c %a "$1")" = "$2" ] || fault "$1 has mode $(stat -c %a "$1"), not $2"; }

[[ $file =~ ^ha-agent-[0-9]+\.[0-9]+\.[0-9]+-(x86-64|arm64)\.raw$ ]] || fault "the name is not ha-agent-VERSION-ARCH.raw"
arch=${BASH_REMATCH[1]:-}
[ "$(ls)" = usr ] || fault "only usr/ is merged, found: $(ls | tr '\n' ' ')"
[ ! -e usr/sbin ] || fault "usr/sbin would hide the node's link to usr/bin"
[ ! -e usr/local/sbin ] || fault "usr/local/sbin is not searched on Flatcar"

release=usr/lib/extension-release.d/extension-release.ha-agent
[ "$(ls usr/lib/extension-release.d)" = extension-release.ha-agent ] || fault "the release file must be $release and alone"
for line in ID=_any "ARCHITECTURE=$arch" EXTENSION_RELOAD_MANAGER=1; do grep -qx "$line" "$release" || fault "$release lacks $line"; done
! grep -q SYSEXT_LEVEL "$release" || fault "SYSEXT_LEVEL has no place beside ID=_any"

grep -qrx Upholds=ha-agent.service usr/lib/systemd/system/multi-user.target.d || fault "multi-user.target does not uphold ha-agent.service"
for unit in kubelet.path haproxy.path; do
  grep -qrx "Upholds=$unit" usr/lib/systemd/system/multi-user.target.d || fault "multi-user.target does not uphold $unit"
done
grep -q '^WatchdogSec=' usr/lib/systemd/system/ha-agent.service || fault "ha-agent.service has no watchdog"
hidden=usr/local/lib/systemd/system/multi-user.target.d/10-kubelet-service.conf
[ -e "$hidden" ] && ! grep -qv '^#' "$hidden" || fault "the kubernetes sysext's 10-kubelet-service.conf is not hidden: systemd tries the kubelet in a loop"
for d in usr/{lib,local/lib}/systemd/system/*.d/*; do [[ $d == *.conf ]] || fault "$d is ignored: a drop-in ends in .conf"; done
for pod in etcd kube-apiserver; do # kubeadm ends with an error where they are not
  grep -q "\"name\": \"$pod\"" "usr/share/ha-agent/kubeadm-patches/$pod+strategic.json" || fault "no patch of $pod"
done
! grep -rl '@[A-Z]*@' usr/lib | grep . || fault "a placeholder is left"

for dir in "/etc/ha-agent 0700" "/var/lib/ha-agent 0700" "/run/ha-agent 0755"; do
  grep -qx "d $dir root root -" usr/lib/tmpfiles.d/ha-agent.conf || fault "tmpfiles.d does not make $dir"
done
transfer=$(dirname "$image")/ha-agent.conf
for line in MatchPattern=ha-agent-@v-%a.raw Path=/opt/extensions/ha-agent CurrentSymlink=/etc/extensions/ha-agent.raw; do
  grep -qx "$line" "$transfer" || fault "$transfer lacks $line"
done
grep -qE '^Path=https?://[^@]+/$' "$transfer" || fault "$transfer does not say where from"

while read -r f; do mode "$f" 755; done < <(find usr -type d; find usr/bin -type f)
while read -r f; do mode "$f" 644; done < <(find usr/lib usr/local usr/share -type f)
[ -z "$(find . -perm /6000)" ] || fault "setuid or setgid files: $(find . -perm /6000)"
[ -z "$(find usr ! -user 0 -o ! -group 0)" ] || [ "$(id -u)" != 0 ] || fault "files that are not root's"

linked='static-pie linked'
[ "$arch" != arm64 ] || linked='ARM aarch64,.* statically linked' # rustc makes no static-pie for aarch64-unknown-linux-gnu
LC_ALL=C file usr/bin/ha-agent | grep -q "$linked" || fault "usr/bin/ha-agent is not $linked: $(file -b usr/bin/ha-agent)"
size=$(stat -c %s usr/bin/ha-agent)
[ "$size" -le 5000000 ] || fault "usr/bin/ha-agent is $size bytes; the limit is 5,000,000"
[ "$(stat -c %s "$image")" -le $((5 << 20)) ] || fault "the image is larger than 5 MiB"
if command -v systemd-analyze >/dev/null; then # the unit alone: its program is not in this machine's /usr
  sed "s|^ExecStart=/usr/bin/ha-agent|ExecStart=$work/t/usr/bin/ha-agent|; /^Documentation/d" usr/lib/systemd/system/ha-agent.service > "$work/ha-agent.service"
  ! said=$(systemd-analyze verify --man=no "$work/ha-agent.service" 2>&1 | grep ha-agent) || fault "systemd-analyze: $said"
  for unit in kubelet.path haproxy.path; do
    ! said=$(systemd-analyze verify --man=no "usr/lib/systemd/system/$unit" 2>&1 | grep "$unit:") || fault "systemd-analyze: $said"
  done
elif [ "${HA_WITHOUT_REAL:-}" = 1 ]; then echo "lint: skipped (HA_WITHOUT_REAL=1): systemd-analyze is not there" >&2
else fault "systemd-analyze is not there: install Debian's package systemd, or call \`make need\`; HA_WITHOUT_REAL=1 skips it"; fi
grep -qx "$(sha256sum "$image" | cut -d' ' -f1)  $file" "$(dirname "$image")/SHA256SUMS" || fault "SHA256SUMS does not have it"
[ $faults = 0 ] && echo "lint: $file is well"
