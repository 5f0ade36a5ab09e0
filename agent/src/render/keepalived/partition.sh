# partition.sh KEEPALIVED ROUNDS, in network and mount namespaces of its own, beside 12.conf and 13.conf: both nodes on one
# bridge, node 13 cut off and back again ROUNDS times. Prints for each round whose link address this machine has for the VIP then.
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns
ip link add br0 type bridge forward_delay 0; ip link set br0 up; ip addr add 10.77.0.1/24 dev br0
for i in 12 13; do
  ip netns add "n$i"; ip link add "v$i" type veth peer name eth0 netns "n$i"; ip link set "v$i" master br0 up
  ip -n "n$i" link set lo up; ip -n "n$i" link set eth0 up; ip -n "n$i" addr add "10.77.0.$i/24" dev eth0
  ip netns exec "n$i" "$1" -n -f "$i.conf" -p "$PWD/$i.pid" -r "$PWD/v$i.pid" -c "$PWD/c$i.pid" > "$i.log" 2>&1 & pids="${pids:-} $!"
done
trap 'kill $pids; wait' EXIT
has() { # NODE SECONDS: until this machine's neighbour table has NODE's link address for the VIP
  for _ in $(seq $(($2 * 20))); do
    (echo > /dev/udp/10.77.0.30/9) 2> /dev/null || :  # whoever has the VIP refuses; this is how it is asked for at all
    ip neigh show 10.77.0.30 | grep -q "$(ip -n "n$1" -br link show eth0 | awk '{print $3}')" && return
    sleep 0.05
  done
  return 1
}
holds() { ip -n "n$1" -br addr show eth0 | grep -q 10.77.0.30/; }
for _ in $(seq 100); do holds 12 || holds 13 || { sleep 0.1; continue; }; break; done
for _ in $(seq "$2"); do
  ip link set v13 nomaster
  has 12 20 && for _ in $(seq 200); do holds 13 && break; sleep 0.1; done
  ip link set v13 master br0
  if has 13 2; then echo 13; else echo 12; fi
done
