#!/bin/bash
# Stands in for virsh: one host's domains, networks, pools and volumes as files below $HA_STAND_IN.
# "cut" there says which calls go wrong: FIRST COUNT HOW, counted from 1 by "n".
#   refused  nothing happens, exit code 1, as for any failed look-up        lost     it happens, the answer does not come
#   silent   nothing happens, nothing is said, exit code 0                  nonsense the same with words that mean nothing
# As long as "gate" is there no call ends, or none of the command in it ("held": one waits there). "calls" gets every call, "side-by-side" how many ran at once.
set -u
cd "$HA_STAND_IN" || exit 2
while [[ ${1:-} == -* ]]; do [ "$1" != --connect ] || shift; shift; done
exec 9>>lock; flock 9
n=$(($(<n) + 1)); echo $n >n
printf '%s\n' "$*" >>calls
: >"running/$$"; set -- "$@"; ls running | wc -l >>side-by-side
flock -u 9
trap 'rm -f "running/$$"' EXIT
while gate=$(cat gate 2>/dev/null) && [ "${gate:-$1}" = "$1" ]; do : >held; sleep 0.01; done

fail() { echo "error: $*" >&2; return 1; }
value() { sed -n "s:.*<$1[^>]*>\([^<]*\)</$1>.*:\1:p" "$2" | head -n 1; }
there() { [ -e "$1/$2" ] || fail "failed to get $2"; }
names() { local i; for i in "$1"/*; do [ ! -e "$i" ] || echo "${i##*/}"; done; }
create() { # VOLUME XML
  local backing; backing=$(sed -n 's:.*<backingStore><path>\([^<]*\)<.*:\1:p' "$2")
  [ ! -e "vol/$1" ] || { fail "volume $1 exists already"; return; }
  [ -z "$backing" ] || [ -e "vol/${backing##*/}" ] || { fail "no such file: $backing"; return; }
  [ -n "$backing" ] && echo "fresh overlay" >"vol/$1" || : >"vol/$1"
  echo "$(sed -n "s:.*<format type='\([^']*\)'/><perm.*:\1:p" "$2") ${backing:--}" >"meta/$1"
}
volume() { # VOLUME
  local format backing physical; there vol "$1" || return
  read -r format backing <"meta/$1"; physical=$(stat -c %s "vol/$1")
  [ "$format" != qcow2 ] || physical=196616
  echo "<volume type='file'><name>$1</name><capacity unit='bytes'>1</capacity><physical unit='bytes'>$physical</physical>"
  echo "<target><path>/pool/$1</path><format type='$format'/></target>"
  [ "$backing" = - ] || echo "<backingStore><path>$backing</path></backingStore>"
  echo "</volume>"
}
one() {
  local command=$1; shift
  case $command in
    uri) echo qemu:///system ;;
    capabilities) echo "<capabilities><host/></capabilities>" ;;
    domcapabilities) echo "<domainCapabilities><path>/usr/bin/qemu</path><domain>qemu</domain></domainCapabilities>" ;;
    nodememstats) echo "free   :            999999999 KiB" ;;
    list) [ "$1" = --all ] && names dom || names run ;;
    dumpxml) there dom "$1" || return; [ -e "run/$1" ] && sed "s/<domain /<domain id='1' /" "dom/$1" || cat "dom/$1" ;;
    define) local name; name=$(value name "$1"); [ ! -e "dom/$name" ] || { fail "domain $name exists already"; return; }; cp "$1" "dom/$name" ;;
    autostart) there dom "$1" ;;
    start) there dom "$1" && { [ ! -e "run/$1" ] || { fail "it runs already"; return; }; } && : >"run/$1" ;;
    destroy) there run "$1" && rm "run/$1" && { [ ! -e "transient/$1" ] || rm "transient/$1" "dom/$1"; } ;;
    undefine) there dom "$1" && { [ -e "run/$1" ] && : >"transient/$1" || rm "dom/$1"; } ;;
    net-list) [ "$1" = --all ] && names net || names netrun ;;
    net-dumpxml) there net "$1" && cat "net/$1" ;;
    net-define) cp "$1" "net/$(value name "$1")" ;;
    net-start) there net "$1" && : >"netrun/$1" ;;
    net-autostart) there net "$1" ;;
    net-destroy) there netrun "$1" && rm "netrun/$1" && { [ ! -e "transient/$1" ] || rm "transient/$1" "net/$1"; } ;;
    net-undefine) there net "$1" && { [ -e "netrun/$1" ] && : >"transient/$1" || rm "net/$1"; } ;;
    pool-list) [ "$1" = --all ] && names pool || names poolrun ;;
    pool-dumpxml) there pool "$1" || return
      echo "<pool type='dir'><name>$1</name><available unit='bytes'>999999999999</available></pool>" ;;
    pool-define) cp "$1" "pool/$(value name "$1")" ;;
    pool-build | pool-autostart) there pool "$1" ;;
    pool-start) there pool "$1" && : >"poolrun/$1" ;;
    pool-refresh) there poolrun "$1" ;;
    pool-destroy) there poolrun "$1" && rm "poolrun/$1" ;;
    pool-undefine) there pool "$1" && rm "pool/$1" ;;
    vol-list) there poolrun "$1" || return; local i; for i in $(names vol); do echo " $i   /pool/$i"; done ;;
    vol-create) there poolrun "$1" && create "$(value name "$2")" "$2" ;;
    vol-dumpxml) volume "$3" ;;
    vol-upload) there vol "$4" && cp "$6" "vol/$4" ;;
    vol-delete) there vol "$3" && rm "vol/$3" "meta/$3" ;;
    *) fail "no such command: $command" ;;
  esac
}
# One argument is a line of commands; virsh ends as the last one does.
all() {
  local line code=0; local -a words
  if [ $# -gt 1 ]; then one "$@"; return; fi
  while IFS= read -r line; do read -ra words <<<"$line"; one "${words[@]}"; code=$?; done < <(tr ';' '\n' <<<"$1")
  return $code
}

first=0 count=0 how=whole
[ ! -s cut ] || read -r first count how <cut
((n >= first && n < first + count)) || how=whole
case $how in
  whole) all "$@" ;;
  refused) fail "failed to get what was asked for" ;;
  lost) all "$@" >/dev/null; fail "Disconnected from qemu:///system" ;;
  silent) ;;
  nonsense) echo "%<< no & answer" ;;
esac
