#!/bin/bash
# flakes.sh RUNS [FILTER]: every test that needs no cluster (or those whose names contain FILTER), RUNS times; BUSY=1 keeps each
# processor busy twice over meanwhile. JOBS=4 runs so many programs side by side, each in a network of its own (root alone can): most
# of them wait most of the time. Prints each failure with its output, then how often each test failed; fails if one did.
set -euo pipefail
runs=$1 filter=("${@:2}")
cd "$(dirname "$(realpath "$0")")/.."
work=$(mktemp -d) busy=()
trap '[ ${#busy[@]} = 0 ] || kill "${busy[@]}"; rm -rf "$work"' EXIT

# Built once, by the commands of "make test" (there is one target directory less to fill), and of the harness what needs no lab.
for what in "--tests" "--lib -p ha-tests"; do
  cargo test --locked --no-run --message-format=json $what
done | jq -r 'select(.profile.test and .executable != null) | .manifest_path + " " + .executable' > "$work/programs"

if [ "${BUSY:-0}" = 1 ]; then
  for ((i = 0; i < 2 * $(nproc); i++)); do
    while :; do :; done & busy+=($!); disown     # or bash would tell of each that it was killed
  done
fi
jobs=${JOBS:-1} apart=
[ "$jobs" = 1 ] || apart='unshare --net sh -c "ip link set lo up && exec \"\$@\"" -'
echo "flakes: $(wc -l < "$work/programs") test programs, $runs times each, $jobs at a time, ${#busy[@]} busy loops beside them"

# once RUN MANIFEST PROGRAM: as cargo runs it, in the package's directory
once() {
  local run=$1 manifest=$2 program=$3 out; out=$work/$(basename "$program")
  (cd "$(dirname "$manifest")" && eval "$apart" '"$program" -q "${filter[@]}"') > "$out" 2>&1 < /dev/null && return
  # One failure after the other, or their lines would mix.
  (
    flock 9
    echo "flakes: run $run, $(basename "$program"):"
    sed -n '/^failures:$/,$p' "$out" | tee "$out.failures"
    # The second list is of names alone. A program that died in the middle has none: its last words, and its own name.
    if [ -s "$out.failures" ]; then sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$out.failures"
    else tail -n 30 "$out" >&2; echo "$(basename "$program") (died)"; fi >> "$work/failed"
  ) 9> "$work/lock"
}

for ((run = 1; run <= runs; run++)); do
  while read -r manifest program; do
    once "$run" "$manifest" "$program" &
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  done < "$work/programs"
  wait
  [ $((run % 10)) != 0 ] || echo "flakes: $run of $runs runs, $SECONDS s, $(cat "$work/failed" 2>/dev/null | wc -l) failures"
done
[ ! -s "$work/failed" ] || { echo "flakes: how often each test failed in $runs runs:"; sort "$work/failed" | uniq -c | sort -rn; exit 1; }
echo "flakes: none in $runs runs, $SECONDS s"
