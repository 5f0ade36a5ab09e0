#!/bin/bash
# part.sh PART COMMAND...: runs the command with its output in target/parts/PART.log. Says once a minute what the part is at,
# and how it ended; nothing of one that is done at once. The seconds count from PARTS_BEGAN.
set -euo pipefail
part=$1 log=target/parts/$1.log; shift
mkdir -p target/parts
say() { printf '%4d s  %-9s %s\n' $(($(date +%s) - PARTS_BEGAN)) "$part" "$*"; }

tell() { # the log's last line is what the part is at
  sleep 2 >/dev/null; say "is being made (${WAITING:+$WAITING, }its output: $log)"
  while sleep 60 >/dev/null; do say "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)"; done
}

tell & teller=$!
trap 'kill $teller 2>/dev/null' EXIT
# In the foreground: what stands behind & would not hear Ctrl-C.
if "$@" > "$log" 2>&1 < /dev/null; then
  [ $SECONDS -lt 2 ] || say "done in $SECONDS s"
else
  say "FAILED; the end of $log:"
  tail -n 30 "$log"
  exit 1
fi
