# shellcheck shell=bash
# Sourced. A cache by content: an entry's name holds the hash of all that went into it, it is built beside its place, gets a
# manifest, and is renamed in one step. An entry whose files differ from its manifest is built anew, never repaired.
CACHE=${FLATCAR_HA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flatcar-ha}

# key ITEM...: files and directories (their text and modes), or =TEXT.
key() {
  for i; do
    case $i in
      =*) echo "$i" ;;
      *) find "$i" -type f -printf '%m %p\n' | sed "s|$(dirname "$i")/||" | sort; find "$i" -type f | sort | xargs -d '\n' cat -- ;;
    esac
  done | sha256sum | cut -c1-16
}

# Every file's kind, mode, size and time (cheap enough for each call); with FLATCAR_HA_VERIFY=1 intact() reads the content too.
manifest() { (cd "$1" && find . -mindepth 1 ! -path ./complete ! -path ./sums -type f -printf '%y %m %s %T@ %p\n' -o \
  -mindepth 1 ! -path ./complete ! -path ./sums -printf '%y %m %p %l\n' | LC_ALL=C sort); }
sums() { (cd "$1" && find . -type f ! -path ./complete ! -path ./sums -print0 | xargs -0 -r -P2 -n64 sha256sum | LC_ALL=C sort -k2); }

intact() {
  [ -s "$1/complete" ] && cmp -s "$1/complete" <(manifest "$1") || return 1
  [ "${FLATCAR_HA_VERIFY:-0}" = 0 ] || cmp -s "$1/sums" <(sums "$1")
}

# cached NAME KEY BUILDER: the entry's directory in $ENTRY. BUILDER is called with an empty directory to fill.
cached() {
  ENTRY=$CACHE/$1-$2; mkdir -p "$CACHE"
  local lock tmp start=$SECONDS
  exec {lock}>"$CACHE/$1.lock"
  flock -n "$lock" || { echo "lab: waiting for another build of $1" >&2; flock "$lock"; }
  if intact "$ENTRY"; then exec {lock}>&-; return; fi
  rm -rf "$CACHE/.$1".??????                        # what a killed build left; the lock says that nobody is at work here
  if [ -e "$ENTRY" ]; then
    echo "lab: $ENTRY is damaged; building it again" >&2
    mv -T "$ENTRY" "$CACHE/.$1.broken"; rm -rf "$CACHE/.$1.broken"
  fi
  echo "lab: building $1 ($2)" >&2
  tmp=$(mktemp -d "$CACHE/.$1.XXXXXX"); chmod 755 "$tmp"
  # In the background, because bash ignores "set -e" in whatever stands left of || or after if.
  ( set -e; "$3" "$tmp" {lock}>&- ) & wait $! || { rm -rf "$tmp"; echo "lab: building $1 failed" >&2; exit 1; }
  sums "$tmp" > "$tmp/sums"; manifest "$tmp" > "$tmp/complete"
  sync -f "$tmp"; mv -T "$tmp" "$ENTRY"; exec {lock}>&-
  echo "lab: $1 done in $((SECONDS - start)) s, $(du -sh "$ENTRY" | cut -f1)" >&2
}
