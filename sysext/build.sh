#!/bin/bash
# build.sh [OUTDIR]: the agent's sysext. ARCH=x86-64|arm64; AGENT_BIN=FILE packs that program instead of building it.
set -euo pipefail
here=$(dirname "$(realpath "$0")"); top=$(dirname "$here"); cd "$top"
ARCH=${ARCH:-x86-64} out=$(realpath -m "${1:-target/sysext}")
URL=${SYSUPDATE_URL:-https://extensions.flatcar.org/extensions/ha-agent/}
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)

case $ARCH in
  x86-64) target=x86_64-unknown-linux-gnu ;;
  arm64) target=aarch64-unknown-linux-gnu ;;
  *) echo "sysext: ARCH=$ARCH: x86-64 or arm64" >&2; exit 2 ;;
esac

cross_missing() { # what a cross build lacks here, one line each
  ls "$(rustc --print sysroot)/lib/rustlib/$target/lib"/libstd-*.rlib >/dev/null 2>&1 || echo "rustup target add $target"
  command -v aarch64-linux-gnu-gcc >/dev/null || echo "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
}

own_lld() { # where rustc keeps its lld as compilers look for it
  echo "$(rustc --print sysroot)/lib/rustlib/$(rustc --version --verbose | sed -n 's/^host: //p')/bin/gcc-ld"
}

compile() { # crt-static and a target directory of its own: other flags would rebuild the host tool's world each time
  local env=${target^^} missing; env=${env//-/_}
  if [ "$ARCH" = arm64 ] && [ "$(uname -m)" != aarch64 ]; then
    missing=$(cross_missing)
    [ -z "$missing" ] || { printf 'sysext: ARCH=arm64 cannot be built here; first:\n%s\n' "$missing" >&2; exit 3; }
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
  fi
  # The path of this checkout must not be in the binary, or two checkouts would differ; nor need the registry's name, 400 times.
  local home=${CARGO_HOME:-$HOME/.cargo}
  local flags="-C target-feature=+crt-static --remap-path-prefix=$top=/src --remap-path-prefix=$home=/cargo"
  flags+=" --remap-path-prefix=$home/registry/src/index.crates.io-1949cf8c6b5b557f=/cargo"
  # It aborts on panic, so nobody unwinds: no tables for that (see there).
  flags+=" -C force-unwind-tables=no -C link-arg=-Wl,--no-eh-frame-hdr -C link-arg=-Wl,-T,sysext/discard.ld"
  # lld folds equal functions and packs relocations; a static-pie has 12,000 of them. And GNU's ld refuses to discard what crtbegin
  # refers to. For x86-64 rustc takes the one that it brings along; for arm64 it has to be told.
  flags+=" -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs"
  [ "$ARCH" != arm64 ] || flags+=" -C link-arg=-fuse-ld=lld -C link-arg=-B$(own_lld)"
  export "CARGO_TARGET_${env}_RUSTFLAGS=$flags"
  # Curve25519 in portable C: its assembly with and without ADX, and the tables, are 394 kB. Neither need ML-KEM, ML-DSA, ChaCha20 and
  # AES-GCM have AVX forms beside those for every processor: a node says a few kB a second.
  [ "$ARCH" != x86-64 ] || export AWS_LC_SYS_CFLAGS=-DMY_ASSEMBLER_IS_TOO_OLD_FOR_AVX
  cargo build --locked -p ha-agent --profile agent --target "$target" --target-dir "${AGENT_TARGET_DIR:-target/agent}" >&2
  agent=${AGENT_TARGET_DIR:-target/agent}/$target/agent/ha-agent
}

agent=${AGENT_BIN:-}
[ -n "$agent" ] || compile

work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cp -r sysext/tree "$work/ha-agent"
sed -i "s/@ARCHITECTURE@/$ARCH/" "$work/ha-agent/usr/lib/extension-release.d/extension-release.ha-agent"
install -D "$agent" "$work/ha-agent/usr/bin/ha-agent"

mkdir -p "$out"; name=ha-agent-$version-$ARCH.raw
sysext/pack.sh "$work/ha-agent" "$work/$name"
sed "s|@URL@|$URL|" sysext/ha-agent.sysupdate.conf > "$out/ha-agent.conf"
mv -f "$work/$name" "$out/$name"
( cd "$out"; sha256sum ha-agent-"$version"-*.raw | tee SHA256SUMS.ha-agent > SHA256SUMS )
# Where the lab looks; not for a build that goes elsewhere, as a test's.
[ $# != 0 ] || mkdir -p lab/out/sysexts
[ "$ARCH" != x86-64 ] || [ $# != 0 ] || ln -sfnT "$out/$name" lab/out/sysexts/ha-agent.raw
echo "$out/$name"
