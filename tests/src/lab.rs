//! What `make lab sysext` made, and the programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ha_cluster_file::minors::example_version;

use crate::plan::MachineKind;
use crate::process::run_to_end;

/// The system extensions a node gets, in the order of the cluster file.
pub const SYSEXTS: [&str; 4] = ["ha-agent", "kubernetes", "keepalived", "haproxy"];
/// Building `ha-host` from nothing on two busy cores takes minutes.
const BUILD: Duration = Duration::from_secs(1800);

/// The workspace's root.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("/"))
}

/// Where the parts lie.
#[derive(Debug, Clone)]
pub struct Lab {
    out: PathBuf,
}

impl Default for Lab {
    /// `$HA_LAB`, else the workspace's `lab/out`, whatever is there.
    fn default() -> Self {
        let out = std::env::var_os("HA_LAB")
            .map_or_else(|| workspace_root().join("lab/out"), PathBuf::from);
        Self { out }
    }
}

impl Lab {
    /// The lab with all that machines of this kind need. An error that names the remedy if something is missing.
    pub fn find(kind: MachineKind) -> Result<Self> {
        let lab = Self::default();
        let mut wanted: Vec<PathBuf> = SYSEXTS.iter().map(|name| lab.sysext(name)).collect();
        match kind {
            MachineKind::Nspawn => wanted.push(lab.image().join("root")),
            MachineKind::Qemu | MachineKind::Libvirt => {
                wanted.extend([lab.vm().join("disk.qcow2"), lab.operator().join("root")]);
            }
        }
        wanted.push(lab.network());
        wanted.push(lab.kubectl());
        for path in wanted {
            ensure!(
                path.exists(),
                "{} is missing: run `make lab sysext` first",
                path.display()
            );
        }
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the lab's machines live in namespaces of their own: run the tests as root"
        );
        Ok(lab)
    }

    /// A lab that may not be there.
    pub fn at(out: impl Into<PathBuf>) -> Self {
        Self { out: out.into() }
    }

    /// A part of the lab that only some tests need, by its name in `lab/out`.
    pub fn part(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// The node image, a directory.
    pub fn image(&self) -> PathBuf {
        self.out.join("image")
    }

    /// The image of virtual machines, a directory: disk, kernel, initramfs.
    pub fn vm(&self) -> PathBuf {
        self.out.join("vm")
    }

    /// The machine that virtual machines are run from, a directory.
    pub fn operator(&self) -> PathBuf {
        self.out.join("operator")
    }

    /// Everything that the operator's machine must see: the workspace, and where the lab's links lead.
    pub fn places(&self) -> Result<Vec<PathBuf>> {
        let mut places = vec![workspace_root().to_owned()];
        for link in [self.vm(), self.sysext(SYSEXTS[1]), self.kubectl()] {
            let real = link.canonicalize()?;
            places.push(real.parent().context("a file in a directory")?.to_owned());
        }
        places.push(self.vm().canonicalize()?);
        places.dedup();
        Ok(places)
    }

    /// The version of Kubernetes that it has, as its system extension's name says; of a lab that is not there the default.
    pub fn kubernetes(&self) -> String {
        let image = self.sysext("kubernetes").read_link().unwrap_or_default();
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let version = name
            .strip_prefix("kubernetes-v")
            .and_then(|rest| rest.strip_suffix("-x86-64.raw"));
        version.unwrap_or_else(|| example_version()).to_owned()
    }

    /// A system extension's image.
    pub fn sysext(&self, name: &str) -> PathBuf {
        self.out.join("sysexts").join(format!("{name}.raw"))
    }

    /// The lab's pod network.
    pub fn network(&self) -> PathBuf {
        workspace_root().join("lab/manifests/lab-net.yaml")
    }

    /// kubectl of the same version as the nodes'.
    pub fn kubectl(&self) -> PathBuf {
        self.out.join("kube/kubectl")
    }
}

/// `$HA_HOST`, else the workspace's `ha-host`, built once per process in this process's own profile.
pub fn built_ha_host() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os("HA_HOST") {
        return Ok(path.into());
    }
    BUILT
        .get_or_init(|| build_host().map_err(|e| format!("{e:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn build_host() -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(workspace_root())
        .args(["build", "--quiet", "--package", "ha-host"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    run_to_end(command, BUILD)?.ok()?;
    let own = std::env::current_exe()?;
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let target = own
        .ancestors()
        .find(|a| a.ends_with(profile))
        .context("this test does not lie in a target directory")?;
    let program = target.join("ha-host");
    if !program.exists() {
        bail!(
            "cargo built ha-host, but {} is not there",
            program.display()
        );
    }
    Ok(program)
}
