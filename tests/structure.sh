#!/bin/bash
# structure.sh: what neither rustfmt nor clippy looks at. Prints every fault, then fails.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
find agent host-tool crates tests -name '*.rs' -type f -print0 | sort -z | xargs -0 awk '
  /^[[:space:]]*#\[path/ { print FILENAME ":" FNR ": no #[path]: the tests of x.rs are in x/tests.rs"; faults++ }
  FNR == 451 { print FILENAME ": more than 450 lines"; faults++ }
  END { exit faults > 0 }' >&2
