//! The faults of single machines, in rounds: those of one round are made together, on different nodes, and one look finds them all.

/// A fault, where it is made, and how it is named.
pub struct Fault {
    /// On this node.
    pub node: &'static str,
    pub make: &'static str,
    pub mend: &'static str,
    /// Whose lines it stands in; none: the cluster's.
    pub named_at: Option<&'static str>,
    pub check: &'static str,
    /// Words of the reason, the command and the remedy.
    pub words: &'static [&'static str],
}

/// Made together, on different nodes: one look finds them all.
pub const FIRST: [Fault; 4] = [
    Fault {
        node: "node1",
        make: "cp /etc/resolv.conf /var/tmp/e2e-resolv && : > /etc/resolv.conf",
        mend: "cat /var/tmp/e2e-resolv > /etc/resolv.conf",
        named_at: Some("node1"),
        check: "name servers of pods",
        words: &["no name server", "CoreDNS", "cat /", "network.dns"],
    },
    Fault {
        node: "node2",
        make: "nft add table inet e2e && nft 'add chain inet e2e in { type filter hook input priority -5; }' && \
               nft add rule inet e2e in iifname != lo tcp dport 2379 drop",
        mend: "nft delete table inet e2e",
        named_at: None,
        check: "node3 to node2",
        words: &[
            "port 2379",
            "a firewall drops it",
            "nc -zv 10.77.0.12 2379",
            "nft list ruleset",
        ],
    },
    Fault {
        node: "node3",
        make: "used=$(df --output=used -k /run | tail -1) && mount -o remount,size=$((used + 64))k /run && \
               dd if=/dev/zero of=/run/e2e-full bs=4k 2>/dev/null; true",
        mend: "rm /run/e2e-full && mount -o remount,size=20% /run",
        named_at: Some("node3"),
        check: "space of /run",
        words: &["run out", "df -h /run", "remove"],
    },
    Fault {
        node: "node4",
        make: "cp /etc/containerd/config.toml /var/tmp/e2e-config && \
               printf 'version = 2\\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\\n' > /etc/containerd/config.toml && \
               systemctl restart containerd",
        mend: "cat /var/tmp/e2e-config > /etc/containerd/config.toml && systemctl restart containerd",
        named_at: Some("node4"),
        check: "container runtime",
        words: &[
            "serves no CRI",
            "journalctl -u containerd",
            "disabled_plugins",
        ],
    },
];

pub const SECOND: [Fault; 6] = [
    Fault {
        node: "node1",
        make: "mount --make-private /sys",
        mend: "mount --make-shared /sys",
        named_at: Some("node1"),
        check: "mount propagation",
        words: &["/sys not shared", "findmnt", "mount --make-rshared /sys"],
    },
    Fault {
        node: "node2",
        make: "mkdir -p /etc/systemd/system.conf.d && printf '[Manager]\\nDefaultEnvironment=HTTPS_PROXY=http://u:secret@10.77.0.1:3128\\n' \
               > /etc/systemd/system.conf.d/e2e.conf && systemctl daemon-reexec",
        mend: "rm /etc/systemd/system.conf.d/e2e.conf && systemctl daemon-reexec && systemctl unset-environment HTTPS_PROXY",
        named_at: Some("node2"),
        check: "proxy",
        words: &[
            "HTTPS_PROXY",
            "10.77.0.30",
            "systemctl show-environment",
            "NO_PROXY",
        ],
    },
    Fault {
        node: "node3",
        make: "sysctl -w net.ipv4.ip_forward=0",
        mend: "sysctl -w net.ipv4.ip_forward=1",
        named_at: Some("node3"),
        check: "net.ipv4.ip_forward",
        words: &[
            "is 0, must be 1",
            "sysctl net.ipv4.ip_forward",
            "sysctl -w net.ipv4.ip_forward=1",
        ],
    },
    Fault {
        node: "node3",
        make: "sysctl -w net.bridge.bridge-nf-call-iptables=0",
        mend: "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        named_at: Some("node3"),
        check: "net.bridge.bridge-nf-call-iptables",
        words: &[
            "is 0, must be 1",
            "sysctl -w net.bridge.bridge-nf-call-iptables=1",
        ],
    },
    // It goes on answering there: Linux answers for its addresses on every interface.
    Fault {
        node: "node4",
        make: "ip link add e2e0 type bridge && ip link set e2e0 up && ip address del 10.77.0.14/24 dev eth0 && \
               ip address add 10.77.0.14/32 dev e2e0 && ip route replace 10.77.0.0/24 dev eth0 src 10.77.0.14",
        mend: "ip link del e2e0 && ip address add 10.77.0.14/24 dev eth0 && ip route replace default via 10.77.0.1",
        named_at: Some("node4"),
        check: "address",
        words: &[
            "10.77.0.14 is on e2e0, and the node file says eth0",
            "ip address show eth0",
            "interface: e2e0",
        ],
    },
    Fault {
        node: "node4",
        make: "systemctl stop containerd",
        mend: "systemctl start containerd",
        named_at: Some("node4"),
        check: "containerd.service",
        words: &[
            "inactive",
            "systemctl status containerd.service",
            "systemctl start containerd.service",
        ],
    },
];

/// Shows the machine a firmware with this product_uuid, and hides that it is a container, which would show its host's.
const FIRMWARE: &str = "cp -a /sys/class /run/e2e-class 2>/dev/null; mkdir -p /run/e2e-class/dmi/id && \
    echo 4c4c4544-0042-4a10-8051-b7c04f4d3132 > /run/e2e-class/dmi/id/product_uuid && \
    mount --bind /run/e2e-class /sys/class && mv /run/systemd/container /run/e2e-container";
const NO_FIRMWARE: &str =
    "mv /run/e2e-container /run/systemd/container && umount /sys/class && rm -r /run/e2e-class";
const ONE_UUID: &[&str] = &[
    "node1 and node2 have one product uuid, 4c4c4544-",
    "cat /sys/class/dmi/id/product_uuid",
    "a UUID of its own",
];
/// node3's own is there again by `ip`'s word for a hardware address.
const SAME_MAC: &str = "ip link show eth0 | sed -n 's,.*link/ether ,,p' | cut -d' ' -f1 > /var/tmp/e2e-mac && \
     ip link set dev eth0 address 52:54:00:77:00:77";
const OWN_MAC: &str = "ip link set dev eth0 address $(cat /var/tmp/e2e-mac)";
const ONE_MAC: &[&str] = &[
    "node3 and node4 have one mac, 52:54:00:77:00:77",
    "ip link show eth0",
    "another MAC address",
];
const SAME_ID: &str = "echo 00112233445566778899aabbccddeeff > /run/e2e-id && mount --bind /run/e2e-id /etc/machine-id";
const ONE_ID: &[&str] = &[
    "node1 and node2 have one machine-id, 0011",
    "cat /etc/machine-id",
    "remove /etc/machine-id",
];

const fn of_cluster(
    node: &'static str,
    [make, mend]: [&'static str; 2],
    check: &'static str,
    words: &'static [&'static str],
) -> Fault {
    Fault {
        node,
        make,
        mend,
        named_at: None,
        check,
        words,
    }
}

pub const THIRD: [Fault; 8] = [
    of_cluster("node1", [FIRMWARE, NO_FIRMWARE], "product uuid", ONE_UUID),
    of_cluster("node2", [FIRMWARE, NO_FIRMWARE], "product uuid", ONE_UUID),
    of_cluster(
        "node1",
        [SAME_ID, "umount /etc/machine-id"],
        "machine-id",
        ONE_ID,
    ),
    of_cluster(
        "node2",
        [SAME_ID, "umount /etc/machine-id"],
        "machine-id",
        ONE_ID,
    ),
    of_cluster("node3", [SAME_MAC, OWN_MAC], "mac", ONE_MAC),
    of_cluster("node4", [SAME_MAC, OWN_MAC], "mac", ONE_MAC),
    // As most guides to hardening begin: what is its own, what was answered, pings. No port of the cluster's.
    Fault {
        node: "node4",
        make: "nft add table inet e2e && nft 'add chain inet e2e in { type filter hook input priority 0; policy drop; }' && \
               nft add rule inet e2e in iif lo accept && nft add rule inet e2e in ct state established,related accept && \
               nft add rule inet e2e in meta l4proto { icmp, ipv6-icmp } accept && nft add rule inet e2e in tcp dport 22 accept",
        mend: "nft delete table inet e2e",
        named_at: Some("node4"),
        check: "firewall rules",
        words: &[
            "nft inet e2e in, its policy: TCP port 10250",
            "nft list ruleset",
            "let the cluster's nodes pass",
        ],
    },
    // Mounted over: the lab's pod network would put it back where it was.
    Fault {
        node: "node4",
        make: "mount -t tmpfs tmpfs /etc/cni/net.d && systemctl restart containerd",
        mend: "umount /etc/cni/net.d && systemctl restart containerd",
        named_at: Some("node4"),
        check: "pod network",
        words: &[
            "/etc/cni/net.d holds no configuration",
            "ls /etc/cni/net.d",
            "kubectl -n kube-system get pods -o wide",
        ],
    },
];
