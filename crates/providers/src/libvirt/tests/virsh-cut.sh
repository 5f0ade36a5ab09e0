#!/bin/bash
# Stands before the real virsh in the operator's machine. Call number N ("cut": N HOW) meets a daemon that is killed before it
# or after it, hangs, or answers nonsense; "n" counts, "calls" gets every call.
exec 9>>/run/cuts/lock; flock 9
n=$(($(</run/cuts/n) + 1)); echo $n >/run/cuts/n; echo "$*" >>/run/cuts/calls
flock -u 9; exec 9>&-
read -r at how </run/cuts/cut
[ "$n" = "$at" ] || exec /usr/bin/virsh "$@"
case $how in
  killed) kill -KILL "$(</run/libvirtd.pid)"; exec /usr/bin/virsh "$@" ;;
  hung) kill -STOP "$(</run/libvirtd.pid)"; exec /usr/bin/virsh "$@" ;;
  killed-after) /usr/bin/virsh "$@" >/dev/null 2>&1; kill -KILL "$(</run/libvirtd.pid)" ;;
  lost) /usr/bin/virsh "$@" >/dev/null 2>&1 ;;
  nonsense) echo "%<< no & answer"; exit 0 ;;
  silent) exit 0 ;;
esac
echo "error: Disconnected from qemu:///system due to end of file" >&2
exit 1
