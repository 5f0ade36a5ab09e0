# shellcheck shell=bash
# Sourced. What the lab is made of: the default row of the product's own table of minors, or KUBERNETES=1.37 (1.37.2).
# A change here makes new cache entries; nothing is ever asked "latest".
TABLE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../crates/cluster-file/src/minors.tsv
asked=${KUBERNETES:-}
read -r KUBERNETES ETCD COREDNS PAUSE < <(awk -F '\t' -v asked="$asked" '
  /^#/ { next }
  !columns { for (columns = 1; columns <= NF; columns++) column[$columns] = columns; next }
  asked ? index(asked ".", $column["minor"] ".") == 1 : $column["new"] == "default" {
    print (split(asked, parts, ".") == 3 ? asked : $column["tested"]), $column["etcd"], $column["coredns"], $column["pause"]
  }' "$TABLE") || { echo "lab: KUBERNETES=$asked: minors.tsv has no such row" >&2; exit 2; }
[ "$ETCD" != - ] || { echo "lab: KUBERNETES=$asked: minors.tsv does not say what it is made of" >&2; exit 2; }
export KUBERNETES
CILIUM=1.20.2        # the newest of the line that minors.tsv has; only for make lab-cilium
HELM=4.3.1           # with Cilium's chart
CONTAINERD=${CONTAINERD:-2.2.9}     # as Flatcar has it; CONTAINERD=1.7 is Debian trixie's, as older Flatcars have it
DEBIAN=trixie
NEWER=forky          # haproxy 3.2 LTS, as the bakery ships; trixie has 3.0
