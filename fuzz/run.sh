#!/bin/bash
# run.sh TARGET [SECONDS]: fuzzes one parser, with the toolchain of the product and what `cargo fuzz --sanitizer none` hands to it:
# all of ours is safe Rust. New inputs go to target/corpus; what breaks goes to artifacts: copy it into corpus/TARGET, where an
# ordinary test replays it. One core, as fuzzing itself takes; CARGO_TARGET_DIR as usual.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
target=${1:?one of $(ls fuzz_targets | sed 's/[.]rs$//' | tr '\n' ' ')} seconds=${2:-60}
triple=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-target}
case $target in
  qmp | guest_agent) features=providers ;;
  image_signature) features=images ;;
  *) features= ;;
esac
export AWS_LC_SYS_NO_JITTER_ENTROPY=1
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# --target: build scripts and macros are not fuzzed.
cargo build -j1 --release --locked --target "$triple" --features "$features" --bin "$target"
mkdir -p "$out/corpus/$target" "artifacts/$target"
# A memory limit and a time limit: bombs are findings too.
exec "$out/$triple/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
  -artifact_prefix="artifacts/$target/" "$out/corpus/$target" "corpus/$target"
