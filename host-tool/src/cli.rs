//! The verbs and their options.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ha_host_base::text::parse_duration;

const AFTER: &str = "Exit codes: 0 done, 1 failed, 2 bad input (nothing was written), 3 timed out, 130 interrupted.\n\
                     Ctrl-C, SIGTERM and SIGHUP end every command within a second; launch and destroy go on when run again.";

/// Makes a highly available Kubernetes cluster of Flatcar machines from one cluster.yaml.
#[derive(Debug, Parser)]
#[command(name = "ha-host", version, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    /// Directory of all clusters' state [default: $XDG_STATE_HOME/ha-host or ~/.local/state/ha-host]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a commented cluster file with every key (never over an existing file)
    New(NewArgs),
    /// Say everything that is wrong with a cluster file
    Check(CheckArgs),
    /// Write one Ignition config per node, for machines that you make yourself
    Render(RenderArgs),
    /// Make the cluster, or go on where an earlier launch ended
    Launch(LaunchArgs),
    /// Give the nodes' configs out to machines that others boot, once each, while a launch waits for them
    Serve(ServeArgs),
    /// Show how a cluster does; without a name: all clusters
    Status(StatusArgs),
    /// Examine every node of a cluster, and the ways between them; exit code 0: all well, 1: not
    Doctor(DoctorArgs),
    /// Draw the cluster's last launch again: one page, launch.html, that needs nothing else
    Report(ReportArgs),
    /// Print the administrator's kubeconfig
    Kubeconfig(KubeconfigArgs),
    /// Show a node's journal, or its console if it is off
    Logs(LogsArgs),
    /// Remove everything that launch made
    Destroy(DestroyArgs),
    /// Fetch, list and remove Flatcar images
    Image(ImageArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Run a command on a node as root
    #[command(hide = true)]
    Exec(ExecArgs),
    /// Switch a node's machine
    #[command(hide = true)]
    Power(PowerArgs),
    /// Cut a node off from all others, its own link staying up
    #[command(hide = true)]
    Cut(CutArgs),
    /// Say where this machine reaches an address of the nodes' network
    #[command(hide = true)]
    Reach(ReachArgs),
    /// Remove one node's machine and make it anew
    #[command(hide = true)]
    Remake(RemakeArgs),
    /// Keep a qemu cluster's user network apart from its nodes; started by this program itself
    #[command(hide = true)]
    QemuFilter,
    /// Keep one nspawn node; started by this program itself
    #[command(hide = true)]
    NspawnKeeper(NspawnKeeperArgs),
    /// Run a command in a virtual machine by its guest agent; started by this program itself
    #[command(hide = true)]
    GuestExec(GuestExecArgs),
}

/// Write a commented cluster file.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Where to
    #[arg(default_value = "cluster.yaml")]
    pub file: PathBuf,
}

/// Say everything that is wrong with a cluster file.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The cluster file
    pub file: PathBuf,
    /// One JSON object instead of text: whether it is good, and every fault with its place
    #[arg(long)]
    pub json: bool,
}

/// Write one Ignition config per node.
#[derive(Debug, Args)]
pub struct RenderArgs {
    /// The cluster file
    pub file: PathBuf,
    /// Directory for NODE.ign, one per node; made if needed
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace files that are there already
    #[arg(long)]
    pub force: bool,
    /// Let the first control plane found the cluster, although configs were rendered with these keys before; refused if the
    /// cluster answers
    #[arg(long)]
    pub found: bool,
}

/// Make the cluster.
#[derive(Debug, Args)]
pub struct LaunchArgs {
    /// The cluster file
    pub file: PathBuf,
    /// How long all of it may take, downloads included: 90s, 15m, 1h30m
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// How many machines to make at a time [default: one per processor, at least 4]
    #[arg(long, value_name = "N")]
    pub parallel: Option<NonZeroUsize>,
    /// With `provider: none`: let the first control plane found the cluster, although configs were given out with these keys
    /// before; refused if the cluster answers
    #[arg(long)]
    pub found: bool,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
}

/// Give the nodes' configs out to machines that others boot.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// Where machines reach this one, e.g. 10.0.0.2:8080
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// What machines call it, if not by that address: https://boot.example.org
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Encrypt, with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key to it (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Also boot machines from the network: a directory with Flatcar's flatcar_production_pxe.vmlinuz and
    /// flatcar_production_pxe_image.cpio.gz
    #[arg(long, value_name = "DIR")]
    pub pxe: Option<PathBuf>,
    /// The disk that such a machine installs Flatcar to [default: flatcar-install's choice]
    #[arg(long, value_name = "DEVICE", requires = "pxe")]
    pub install_disk: Option<String>,
    /// Give this node's config out once more
    #[arg(long, value_name = "NODE")]
    pub again: Option<String>,
    /// Nodes have their local system extensions already: do not let them fetch these from here
    #[arg(long)]
    pub without_sysexts: bool,
}

/// Show how a cluster does.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// A cluster's name or file
    pub cluster: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Look again and again; in a pipe a line for each change
    #[arg(long, requires = "cluster")]
    pub watch: bool,
}

/// Examine every node of a cluster.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// Only this node, and its ways to the others
    pub node: Option<String>,
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Draw the cluster's last launch again.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// Where to, instead of launch.html in the cluster's state directory; also while a launch is at work
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace the file of --output if it is there already
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// Print the administrator's kubeconfig.
#[derive(Debug, Args)]
pub struct KubeconfigArgs {
    /// The cluster's name or file
    pub cluster: String,
}

/// Show a node's journal.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// The node's name
    pub node: String,
    /// Go on as new lines come
    #[arg(short, long)]
    pub follow: bool,
    /// Only this unit, e.g. ha-agent, kubelet, haproxy
    #[arg(short, long, value_name = "UNIT")]
    pub unit: Option<String>,
    /// Instead, the containers of pods whose name begins so, e.g. etcd, kube-apiserver: also those that ended
    #[arg(short, long, value_name = "POD", conflicts_with = "unit")]
    pub pod: Option<String>,
}

/// Remove everything that launch made.
#[derive(Debug, Args)]
pub struct DestroyArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Fetch, list and remove Flatcar images.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Directory of the images [default: $XDG_DATA_HOME/ha-host/images or ~/.local/share/ha-host/images]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// What to do with them.
    #[command(subcommand)]
    pub verb: ImageVerb,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum ImageVerb {
    /// Fetch an image, check Flatcar's signature, store it; nothing if it is there already
    Pull(ImagePullArgs),
    /// List the stored images
    Ls(ImageLsArgs),
    /// Remove stored images; refuses those in use
    Rm(ImageRmArgs),
}

/// Fetch an image.
#[derive(Debug, Args)]
pub struct ImagePullArgs {
    /// Flatcar's release channel
    #[arg(long, value_name = "NAME", default_value = "stable", value_parser = ha_flatcar_image::CHANNELS)]
    pub channel: String,
    /// This version, e.g. 4230.2.3 [default: the channel's current one]
    #[arg(long, value_name = "V")]
    pub version: Option<String>,
    /// The machines' kind [default: this machine's]
    #[arg(long, value_parser = ["x86-64", "arm64"])]
    pub arch: Option<String>,
    /// Server to use instead of https://CHANNEL.release.flatcar-linux.net
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    pub mirror: Option<String>,
    /// Take the image from here, and its signature from PATH.sig: no network; needs --version
    #[arg(long, value_name = "PATH", requires = "version")]
    pub file: Option<PathBuf>,
    /// Flatcar's image signing certificate, if it is newer than the built-in one
    #[arg(long, value_name = "FILE", env = "HA_HOST_SIGNING_KEY")]
    pub signing_key: Option<PathBuf>,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
}

/// List the stored images.
#[derive(Debug, Args)]
pub struct ImageLsArgs {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Remove stored images.
#[derive(Debug, Args)]
pub struct ImageRmArgs {
    /// Which versions
    #[arg(required = true, value_name = "VERSION")]
    pub versions: Vec<String>,
    /// Only this kind [default: both]
    #[arg(long, value_parser = ["x86-64", "arm64"])]
    pub arch: Option<String>,
}

/// Print the completion script of a shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    pub shell: clap_complete::Shell,
}

/// Run a command on a node as root.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// The node's name
    pub node: String,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    pub argv: Vec<String>,
}

/// Switch a node's machine.
#[derive(Debug, Args)]
pub struct PowerArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// The node's name
    pub node: String,
    /// The order
    pub order: Order,
    /// Also while another ha-host is at work on the cluster: for tests that cut the power in the middle of a launch
    #[arg(long)]
    pub during_launch: bool,
}

/// An order to a machine.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Order {
    /// Pull the plug
    Off,
    /// Switch on
    On,
    /// Orderly restart
    Reboot,
}

/// Cut a node off from all others.
#[derive(Debug, Args)]
pub struct CutArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// The node's name
    pub node: String,
    /// Let it back instead
    #[arg(long)]
    pub heal: bool,
}

/// Say where this machine reaches an address of the nodes' network.
#[derive(Debug, Args)]
pub struct ReachArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// Address and port there
    pub inside: SocketAddr,
}

/// Remove one node's machine and make it anew.
#[derive(Debug, Args)]
pub struct RemakeArgs {
    /// The cluster's name or file
    pub cluster: String,
    /// The node's name
    pub node: String,
    /// The Ignition config for the new machine
    #[arg(long, value_name = "FILE")]
    pub ignition: PathBuf,
}

/// Keep one nspawn node.
#[derive(Debug, Args)]
pub struct NspawnKeeperArgs {
    /// What the provider says to itself
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<String>,
}

/// Run a command in a virtual machine by its guest agent.
#[derive(Debug, Args)]
pub struct GuestExecArgs {
    /// The guest agent's socket
    #[arg(long, value_name = "SOCKET", required_unless_present = "libvirt")]
    pub qemu: Option<PathBuf>,
    /// libvirt's URI and the domain
    #[arg(long, num_args = 2, value_names = ["URI", "DOMAIN"], conflicts_with = "qemu")]
    pub libvirt: Vec<String>,
    /// How messages call the machine
    #[arg(long, default_value = "the machine")]
    pub node: String,
    /// The command
    #[arg(last = true, required = true, value_name = "CMD")]
    pub argv: Vec<String>,
}

/// Reads the command line; ends the program on `--help`, `--version` and mistakes (exit code 2).
pub fn parse_arguments() -> Cli {
    Cli::parse()
}
