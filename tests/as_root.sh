#!/bin/bash
# as_root.sh [CARGO TEST OPTION]... [-- TEST OPTION...]: builds the test programs as whoever calls, and runs each of them as root, by
# $AS_ROOT (empty for root, else sudo with what it must hand on): cargo as root would leave root's files in target/, and a user's
# next build would fail. Goes on after a program that fails, and fails at its end.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
options=()
while [ $# -gt 0 ]; do
  case $1 in --) shift; break ;; *) options+=("$1"); shift ;; esac
done
# The tests' cargo may not be root's, and their ha-host is the one that is tested.
cargo build --locked --package ha-host
export HA_HOST=${HA_HOST:-$PWD/target/debug/ha-host}
programs=$(cargo test --locked --no-run --message-format=json-render-diagnostics "${options[@]}" |
  jq -r 'select(.profile.test and .executable != null) | "\(.manifest_path | rtrimstr("/Cargo.toml")) \(.executable)"')
# Root keeps no state below a directory of somebody else's, but in its own cache. A sudo user's is its own matter.
if [ "$(id -u)" = 0 ] && [ "$(stat -c %u .)" != 0 ]; then
  export HA_TEST_DIR=${HA_TEST_DIR:-${FLATCAR_HA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flatcar-ha}/e2e}
fi
[ -n "$programs" ] || { echo "as_root: cargo test ${options[*]}: no test program" >&2; exit 1; }
failed=()
while read -r dir program; do
  echo "     Running $program as root" >&2
  # shellcheck disable=SC2086     # several words
  (cd "$dir" && ${AS_ROOT:-} env --default-signal=INT,HUP,TERM HA_HOST="$HA_HOST" "$program" "$@") < /dev/null || failed+=("$program")
done <<< "$programs"
[ ${#failed[@]} = 0 ] || { printf 'as_root: failed: %s\n' "${failed[@]}" >&2; exit 1; }
