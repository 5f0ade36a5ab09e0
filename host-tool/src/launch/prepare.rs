//! Everything that a launch makes once for all nodes: the image, the keys, the configs, what machines share.

use std::path::Path;

use anyhow::{Context, Result};
use ha_cluster_file::cluster::Vm;

use super::founding::{self, Founding};
use super::inspection::Inspection;
use super::report::{LaunchEvent, Report};
use super::same_files::hash_named_files;
use super::{Launch, by_others, configs, remake};
use crate::assets;
use crate::pki::Pki;
use crate::pki::kubeconfig::Server;
use crate::source::Source;
use crate::state::{self, ClusterStore};

/// A newer certificate of Flatcar's than the built-in one, as `image pull` takes it.
const SIGNING_KEY: &str = "HA_HOST_SIGNING_KEY";

impl Launch<'_> {
    /// Everything that is made once for all nodes.
    pub(super) fn prepare(&self, store: &ClusterStore, report: &mut dyn Report) -> Result<Pki> {
        let (cluster, provider) = (&self.source.cluster, &*self.judged.provider);
        let operator = &self.judged.files;
        let (pki, new_keys) = accept_source(store, self.source, report)?;
        report.tell(&LaunchEvent::StateHeld(store));
        operator.keep(store.path())?;
        self.prepare_configs(store, &pki, new_keys, report)?;
        state::record_life(store, state::ClusterLife::Launching)?;
        report.tell(&LaunchEvent::StepBegun("assets"));
        let bar = &mut *report.download_bar();
        if let Some(packed) = assets::pack_disk(store.path(), cluster, &operator.sysexts, bar)? {
            report.tell(&LaunchEvent::StepDone("assets", &packed.facts()));
            if let Err(error) = assets::remove_unused_disks(store.path()) {
                let words = format!("older assets disks are still there: {error:#}");
                report.tell(&LaunchEvent::Warning(&words));
            }
        }
        report.tell(&LaunchEvent::StepBegun("provider"));
        provider.prepare()?;
        store.ensure_kubeconfig(cluster, &pki, &Server::of(cluster, provider))?;
        Ok(pki)
    }

    /// Finds out who can still found or join; who cannot loses its machine, and everybody without one gets a fresh config.
    fn prepare_configs(
        &self,
        store: &ClusterStore,
        pki: &Pki,
        new_keys: bool,
        report: &mut dyn Report,
    ) -> Result<()> {
        let cluster = &self.source.cluster;
        let mut see = Inspection::new(cluster, store, pki, &self.judged.provider)?;
        let founding = self.find_founding(&mut see, new_keys, report)?;
        if founding == Founding::Closed {
            founding::close_founding(store, cluster)?;
        }
        let remakes = remake::choose_stuck_nodes(&see, &founding)?;
        for warning in &remakes.warnings {
            report.tell(&LaunchEvent::Warning(warning));
        }
        if !remakes.nodes.is_empty() {
            // The next launch must not take the old machines' fame for the new ones'.
            state::record_life(store, state::ClusterLife::Launching)?;
        }
        for node in remakes.nodes {
            see.remove(node)?;
        }
        let files = &self.judged.files;
        for warning in configs::write_missing(&see, &founding, pki, files)? {
            report.tell(&LaunchEvent::Warning(&warning));
        }
        Ok(())
    }

    fn find_founding(
        &self,
        see: &mut Inspection<'_>,
        new_keys: bool,
        report: &mut dyn Report,
    ) -> Result<Founding> {
        let (seen, cluster) = (founding::find_out(see)?, see.cluster);
        if cluster.provider.makes_machines() {
            return Ok(seen);
        }
        let asked_for = self.options.found;
        let founding = by_others::judge_founding(see, seen, new_keys, asked_for)?;
        if let Some(founder) = cluster.founder().filter(|_| asked_for) {
            // The config that it was given before holds no permission, or one that has ended.
            see.remove(founder)?;
        }
        let file = self.source.path.display().to_string();
        if let Some(words) = by_others::founding_words(&founding, cluster, &file) {
            report.tell(&LaunchEvent::Warning(&words));
        }
        Ok(founding)
    }
}

/// Fetches the machines' image unless it is stored.
pub(super) fn obtain_image(vm: &Vm, report: &mut dyn Report) -> Result<()> {
    let key = std::env::var_os(SIGNING_KEY).filter(|path| !path.is_empty());
    let key = key.as_deref().map(Path::new);
    ha_flatcar_image::obtain_image(vm, key, &mut *report.download_bar()).context(
        "fetching the machines' image (`ha-host image pull` has options for other servers, files and keys, and launch takes \
         what it stored)",
    )
}

/// The keys, and whether they are new.
fn accept_source(
    store: &ClusterStore,
    source: &Source,
    report: &mut dyn Report,
) -> Result<(Pki, bool)> {
    let hashes = hash_named_files(&source.cluster, &store.file_hashes()?)?;
    store.accept(&source.as_accepted())?;
    store.keep_file_hashes(&hashes)?;
    let (pki, new) = store.ensure_pki()?;
    let word = if new { "new" } else { "kept" };
    let place = format!("state in {}", ha_host_base::text::shown_path(store.path()));
    report.tell(&LaunchEvent::StepDone("pki", &[word.to_owned(), place]));
    Ok((pki, new))
}
