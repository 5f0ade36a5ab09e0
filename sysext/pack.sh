#!/bin/bash
# pack.sh DIR OUT.raw [MKSQUASHFS OPTION...]: a sysext tree as an image, byte for byte the same for the same tree.
set -euo pipefail
dir=$1 out=$2; shift 2
chmod -R u=rwX,go=rX "$dir"                        # whatever the builder's umask was
find "$dir" -exec touch -h -d @0 {} +              # squashfs keeps every file's time
rm -f "$out"
# -processors does not change the result; extended attributes would (and a build host's labels mean nothing on a node).
SOURCE_DATE_EPOCH=0 mksquashfs "$dir" "$out" -all-root -noappend -no-xattrs -no-progress -quiet "$@"
chmod 644 "$out"
