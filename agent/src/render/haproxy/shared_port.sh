# A service on the nodes' addresses and haproxy on the VIP, on one port; the VIP arrives when haproxy listens already. Prints
# what the VIP answers. Two files in the working directory: service.cfg, balancer.cfg.
set -eu
haproxy=$1
trap 'kill $(cat *.pid)' EXIT
ip link set lo up
for last in 11 12 13; do ip addr add "10.77.0.$last/32" dev lo; done
# In the background once it listens.
for name in service balancer; do "$haproxy" -D -p "$name.pid" -f "$name.cfg" >&2; done
ip addr add 10.77.0.30/32 dev lo
exec 3<>/dev/tcp/10.77.0.30/8132
printf 'GET / HTTP/1.0\r\n\r\n' >&3
cat <&3
