#!/bin/bash
# crio.sh: crio.raw, a system extension laid out as the bakery's `crio`: the real crictl, CRI-O's unit, socket, policy and directory of
# drop-ins. CRI-O's own program is in no registry that the lab reaches: the unit runs the node's containerd, with a store of its own, in
# CRI-O's place. It also holds the archive that an assets disk would bring. Prints the cache entry.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"; . ./cache.sh; . ./packages.sh; . ./versions.sh
CRI_TOOLS=1.37.0     # Go's module proxy has few of its releases
images=$(./images.sh)

crictl() { # FILE
  local module=sigs.k8s.io/cri-tools work go; go=$(./go.sh)
  work=$(mktemp -d "$CACHE/.crio.XXXXXX")          # named as cached() looks for what a killed build left
  ( export CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=auto; cd "$work"
    printf 'module lab/crio\n\ngo 1.24.0\n' > go.mod
    "$go" get -tool "$module/cmd/crictl@v$CRI_TOOLS"
    "$go" build -trimpath -ldflags "-s -w -X $module/pkg/version.Version=v$CRI_TOOLS" -o "$1" "$module/cmd/crictl" ) >&2
  rm -rf "$work"
}

build() {
  local tree=$1/tree own=$1/tree/usr; mkdir -p "$own/bin"
  crictl "$(realpath "$own/bin")/crictl"
  install -D -m 644 -t "$own/share/crio/assets" "$images/kube-proxy.tar"
  install -D -m 644 /dev/stdin "$own/share/crio/etc/crio/policy.json" <<< '{"default": [{"type": "insecureAcceptAnything"}]}'
  install -D -m 644 /dev/stdin "$own/share/crio/etc/crio/crio.conf.d/10-crio.conf" <<< $'[crio.image]\nsignature_policy = "/etc/crio/policy.json"'
  # Whatever a node's images are called, the operator's machine has them.
  install -D -m 644 /dev/stdin "$own/share/crio/stand-in.d/_default/hosts.toml" <<< $'[host."http://10.77.0.1:5000"]\ncapabilities = ["pull", "resolve"]'
  install -D -m 644 /dev/stdin "$own/share/crio/stand-in.toml" <<< $'\n[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/usr/share/crio/stand-in.d"'
  install -D -m 644 /dev/stdin "$own/lib/systemd/system/crio.service" <<'UNIT'
[Unit]
Description=In the place of the Container Runtime Interface for OCI (CRI-O)
Wants=network-online.target
Before=kubelet.service
After=network-online.target
[Service]
Type=notify
ExecStartPre=/bin/sh -ec 'cp -r /usr/share/crio/etc/. /etc/; install -D -m 644 -t /run/ha-assets/images /usr/share/crio/assets/*'
ExecStartPre=/bin/sh -ec '{ echo "imports = [\'/etc/crio/crio.conf.d/99-*.conf\']"; cat /etc/containerd/config.toml /usr/share/crio/stand-in.toml; } > /run/crio.toml'
ExecStart=/usr/bin/containerd --config /run/crio.toml --address /var/run/crio/crio.sock --root /var/lib/containers/stand-in --state /run/crio/stand-in
TasksMax=infinity
LimitNOFILE=1048576
TimeoutStartSec=0
Restart=on-failure
RestartSec=10
UNIT
  install -D -m 644 /dev/stdin "$own/lib/systemd/system/multi-user.target.d/10-crio-service.conf" <<< $'[Unit]\nUpholds=crio.service'
  release "$tree" crio
  ../sysext/pack.sh "$tree" "$1/crio.raw" -noI -noD -noF -noX >&2; chmod 444 "$1/crio.raw"; rm -rf "$tree"
}
cached crio "$(key crio.sh cache.sh packages.sh ../sysext/pack.sh "=$images $CRI_TOOLS")" build
echo "$ENTRY"
