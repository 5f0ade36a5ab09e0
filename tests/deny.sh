#!/bin/bash
# deny.sh: what deny.toml says of everything that is built in. Its advisories come from a database in the network: where that cannot be
# fetched, a line says that nobody looked.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."
PATH=$(lab/need.sh deny_path):$PATH
checks=(licenses bans sources)
if said=$(cargo deny fetch db 2>&1); then checks+=(advisories)
else echo "deny: advisories SKIPPED, their database cannot be fetched: $(tail -n 1 <<< "$said")"; fi
cargo deny check --hide-inclusion-graph "${checks[@]}"
