//! `loadBalancer` as written.

use std::net::IpAddr;

use ha_wire::settings::{Balance, LbMode, PortCheck, Stats, Timeouts, Vrrp};

use super::nodes::NodeEntry;
use super::reader::Fields;
use super::scalars::{Milliseconds, Scalar, Timeout, parse_keyword};
use super::spanned::Spanned;

/// Who runs keepalived and haproxy: the bakery's sysexts bring units, nothing else is needed.
pub const LB_MODE: LbMode = LbMode::Native;
/// How dedicated machines are written.
pub(crate) const MACHINES_HELP: &str = "list two machines: `machines: [{name: lb1, address: 192.168.122.21}, {name: lb2, address: 192.168.122.22}]`";
/// VRRP advertisements in milliseconds: a dead holder is missed after 3 to 4 of them, under half a second.
pub const ADVERT_INTERVAL_MS: u32 = 100;

/// What only keepalived and haproxy of the cluster's own have.
const OF_OWN_BALANCER: [&str; 8] = [
    "stats",
    "extraPorts",
    "timeouts",
    "advertInterval",
    "vrrp",
    "routerId",
    "track",
    "images",
];

/// `loadBalancer`, as written.
#[derive(Debug, Clone)]
pub struct LoadBalancerFile {
    /// Who runs keepalived and haproxy; default [`LB_MODE`].
    pub mode: Option<Spanned<LbMode>>,
    /// `mode.machines`, until [`super::ClusterFile`] takes them among its nodes.
    pub machines: Vec<NodeEntry>,
    /// haproxy's statistics page; left out: no page.
    pub stats: Option<StatsFile>,
    /// Further TCP ports that are balanced over the control planes.
    pub extra_ports: Vec<ExtraPortFile>,
    /// How long haproxy keeps what is silent.
    pub timeouts: TimeoutsFile,
    /// Interval of VRRP advertisements; default [`ADVERT_INTERVAL_MS`].
    pub advert_interval_ms: Option<Spanned<u32>>,
    /// How keepalived's advertisements travel; default unicast.
    pub vrrp: Option<Spanned<Vrrp>>,
    /// The virtual router id; left out: a derived one.
    pub router_id: Option<Spanned<u32>>,
    /// Further interfaces that keepalived tracks.
    pub track: Vec<Spanned<String>>,
    /// What the container modes run.
    pub images: ImagesFile,
    own_options: Vec<Spanned<()>>,
}

/// `loadBalancer.images`, as written.
#[derive(Debug, Clone)]
pub struct ImagesFile {
    /// keepalived's.
    pub keepalived: Option<Spanned<String>>,
    /// haproxy's.
    pub haproxy: Option<Spanned<String>>,
}

/// `loadBalancer.stats`, as written: a port, or a mapping.
#[derive(Debug, Clone)]
pub struct StatsFile {
    /// Required: the page's port.
    pub port: Option<Spanned<u16>>,
    /// Where it listens; default [`Stats::ADDRESS`].
    pub address: Option<Spanned<IpAddr>>,
    /// Who has to log in; left out: nobody.
    pub user: Option<Spanned<String>>,
    /// A local file with the user's password.
    pub password_file: Option<Spanned<String>>,
}

/// `loadBalancer.timeouts`, as written, in milliseconds; default [`Timeouts::DEFAULT_MS`].
#[derive(Debug, Clone)]
pub struct TimeoutsFile {
    /// The client is silent.
    pub client: Option<Spanned<u32>>,
    /// The apiserver is silent.
    pub server: Option<Spanned<u32>>,
    /// Both are, once they are connected.
    pub tunnel: Option<Spanned<u32>>,
}

/// One of `loadBalancer.extraPorts`, as written.
#[derive(Debug, Clone)]
pub struct ExtraPortFile {
    /// Required: a DNS label, names the frontend.
    pub name: Option<Spanned<String>>,
    /// Required: the port on the VIP.
    pub port: Option<Spanned<u16>>,
    /// Required: the port on the control planes.
    pub target: Option<Spanned<u16>>,
    /// What counts as alive; default: that it takes connections.
    pub check: Option<Spanned<PortCheck>>,
    /// Who gets the next connection; default: who has the fewest.
    pub balance: Option<Spanned<Balance>>,
}

impl LoadBalancerFile {
    /// Whether somebody else's balancer stands before the apiservers.
    pub(crate) fn is_external(&self) -> bool {
        let mode = self.mode.as_ref().map(|at| at.value);
        mode == Some(LbMode::External)
    }

    /// The options that are our own balancer's, each where it is written.
    pub(crate) fn own_options(&self) -> &[Spanned<()>] {
        &self.own_options
    }

    pub(super) fn read(mut f: Fields<'_>) -> Self {
        f.known(&[["mode"].as_slice(), &OF_OWN_BALANCER].concat());
        let own = OF_OWN_BALANCER.into_iter();
        let own_options = own.filter_map(|key| f.where_written(key)).collect();
        let (mode, machines) = read_mode(&mut f);
        Self {
            own_options,
            mode,
            machines,
            stats: StatsFile::read(&mut f),
            extra_ports: f.each("extraPorts", ExtraPortFile::read),
            timeouts: TimeoutsFile::read(f.fields("timeouts")),
            advert_interval_ms: f
                .or("advertInterval", Milliseconds(ADVERT_INTERVAL_MS))
                .map(|at| at.with(at.value.0)),
            vrrp: f.or("vrrp", Vrrp::default()),
            router_id: f.maybe("routerId"),
            track: f.list("track"),
            images: ImagesFile::read(f.fields("images")),
        }
    }
}

impl ImagesFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["keepalived", "haproxy"]);
        Self {
            keepalived: f.maybe("keepalived"),
            haproxy: f.maybe("haproxy"),
        }
    }
}

/// A word, or the mapping of [`LbMode::Machines`].
fn read_mode(f: &mut Fields<'_>) -> (Option<Spanned<LbMode>>, Vec<NodeEntry>) {
    let place = f.key_place("mode");
    if !f.is_mapping("mode") {
        return (f.or("mode", LB_MODE), Vec::new());
    }
    let mut f = f.fields("mode");
    f.known(&["machines"]);
    if !f.is_written("machines") {
        f.missing("machines", MACHINES_HELP);
        return (None, Vec::new());
    }
    let machines = f.each("machines", NodeEntry::read_balancer);
    let mode = place.map(|place| Spanned {
        value: LbMode::Machines,
        place,
        path: "loadBalancer.mode.machines".to_owned(),
        given: true,
        paired: false,
    });
    (mode, machines)
}

impl StatsFile {
    fn read(f: &mut Fields<'_>) -> Option<Self> {
        if f.is_mapping("stats") {
            let mut f = f.fields("stats");
            f.known(&["port", "address", "user", "passwordFile"]);
            return Some(Self {
                port: f.needed("port", "8404"),
                address: f.or("address", Stats::ADDRESS),
                user: f.maybe("user"),
                password_file: f.maybe("passwordFile"),
            });
        }
        let port: Spanned<u16> = f.maybe("stats")?;
        Some(Self {
            address: Some(Spanned {
                given: false,
                ..port.with(Stats::ADDRESS)
            }),
            port: Some(port),
            user: None,
            password_file: None,
        })
    }
}

impl TimeoutsFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["client", "server", "tunnel"]);
        let mut read = |key| {
            let at = f.or(key, Timeout(Timeouts::DEFAULT_MS))?;
            Some(at.with(at.value.0))
        };
        Self {
            client: read("client"),
            server: read("server"),
            tunnel: read("tunnel"),
        }
    }
}

impl ExtraPortFile {
    fn read(mut f: Fields<'_>) -> Self {
        f.known(&["name", "port", "target", "check", "balance"]);
        Self {
            name: f.needed("name", "https"),
            port: f.needed("port", "443"),
            target: f.needed("target", "30443"),
            check: read_check(&mut f),
            balance: f.or("balance", Balance::default()),
        }
    }
}

fn read_check(f: &mut Fields<'_>) -> Option<Spanned<PortCheck>> {
    let (word, options) = f.choice("check", &["tcp", "tls", "http"], "")?;
    let mut f = f.options(&word, options);
    f.known(if word.value == "http" { &["path"] } else { &[] });
    let check = match word.value {
        "http" => {
            let path = f.or("path", "/".to_owned())?;
            return Some(path.with(PortCheck::Http {
                path: path.value.clone(),
            }));
        }
        "tls" => PortCheck::Tls,
        _ => PortCheck::Tcp,
    };
    Some(word.with(check))
}

impl Scalar for Vrrp {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [("unicast", Self::Unicast), ("multicast", Self::Multicast)];
        parse_keyword(text, "a way of VRRP's advertisements", &table)
    }
}

impl Scalar for Balance {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [
            ("leastconn", Self::Leastconn),
            ("roundrobin", Self::Roundrobin),
        ];
        parse_keyword(text, "a way to balance", &table)
    }
}

impl Scalar for LbMode {
    fn read(text: &str) -> Result<Self, (String, String)> {
        let table = [
            ("native", Self::Native),
            ("quadlet", Self::Quadlet),
            ("staticPod", Self::StaticPod),
            ("external", Self::External),
        ];
        if text == "machines" {
            return Err((
                "says not which".to_owned(),
                format!("write `mode: {{machines: [...]}}`; {MACHINES_HELP}"),
            ));
        }
        parse_keyword(text, "a load balancer mode", &table)
    }
}
