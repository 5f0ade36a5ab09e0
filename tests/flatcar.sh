#!/bin/bash
# flatcar.sh: the end-to-end suite on real Flatcar images, if this machine can: KVM that works, Flatcar's servers, QEMU, and
# for the second half a libvirt that answers. Exit code 0: all of it was run and passed, or a line says SKIPPED and what is missing.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
missing=()
[ -w /dev/kvm ] || missing+=("KVM: /dev/kvm is not there or not yours (sudo usermod -aG kvm $USER, then log in again)")
command -v "qemu-system-$(uname -m)" >/dev/null || missing+=("QEMU: install qemu-system and qemu-img")
board=amd64-usr; [ "$(uname -m)" != aarch64 ] || board=arm64-usr
curl -fsS --max-time 20 -o /dev/null "https://stable.release.flatcar-linux.net/$board/current/version.txt" 2>/dev/null \
  || missing+=("Flatcar's servers: stable.release.flatcar-linux.net does not answer from here")
if [ ${#missing[@]} != 0 ]; then
  echo "test-flatcar: SKIPPED, nothing was tested; this machine lacks:"; printf '  %s\n' "${missing[@]}"; exit 0
fi
cargo test --locked -p ha-tests --test flatcar qemu -- --ignored --test-threads=1
if virsh -c qemu:///system list >/dev/null 2>&1; then
  cargo test --locked -p ha-tests --test flatcar libvirt -- --ignored --test-threads=1
else
  echo "test-flatcar: libvirt SKIPPED, only QEMU was tested: virsh -c qemu:///system does not answer for you"
fi
