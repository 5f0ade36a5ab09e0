#!/bin/bash
# flakes.sh RUNS [FILTER]: every test that needs no cluster (or those whose names contain FILTER), RUNS times; BUSY=1 keeps each
# processor busy twice over meanwhile. Prints each failure with its output, then how often each test failed; fails if one did.
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
echo "flakes: $(wc -l < "$work/programs") test programs, $runs times each, ${#busy[@]} busy loops beside them"

for ((run = 1; run <= runs; run++)); do
  while read -r manifest program; do       # as cargo runs them: in the package's directory
    (cd "$(dirname "$manifest")" && "$program" -q "${filter[@]}") > "$work/out" 2>&1 < /dev/null && continue
    echo "flakes: run $run, $(basename "$program"):"
    sed -n '/^failures:$/,$p' "$work/out" | tee "$work/failures"
    # The second list is of names alone. A program that died in the middle has none: its last words, and its own name.
    if [ -s "$work/failures" ]; then sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$work/failures"
    else tail -n 30 "$work/out" >&2; echo "$(basename "$program") (died)"; fi >> "$work/failed"
  done < "$work/programs"
  [ $((run % 10)) != 0 ] || echo "flakes: $run of $runs runs, $SECONDS s, $(cat "$work/failed" 2>/dev/null | wc -l) failures"
done
[ ! -s "$work/failed" ] || { echo "flakes: how often each test failed in $runs runs:"; sort "$work/failed" | uniq -c | sort -rn; exit 1; }
echo "flakes: none in $runs runs, $SECONDS s"
