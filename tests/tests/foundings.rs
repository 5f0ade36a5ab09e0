//! However the cluster is hidden from the node that may found it, there is one cluster afterwards, the same one.

use ha_tests::cluster::Cluster;
use ha_tests::founding::{Hidden, is_whole, wanted_rounds};
use ha_tests::plan::ClusterPlan;
use ha_tests::story::Story;

/// Which ways of hiding the cluster are in `make test`; `HA_FOUNDINGS=N` has each of all of them N times, `HA_HIDDEN=LostData,CutOff`
/// these alone.
const SLICE: [Hidden; 2] = [Hidden::PeersReboot, Hidden::EmptyManifest];

#[test]
fn a_founder_that_cannot_see_the_cluster_founds_no_second_one() {
    let story = Story::new("foundings");
    let rounds = wanted_rounds();
    let ways = match std::env::var("HA_HIDDEN") {
        Ok(names) => chosen_ways(&names),
        Err(_) if rounds.is_some() => Hidden::ALL.to_vec(),
        Err(_) => SLICE.to_vec(),
    };
    let cluster = story.step("the lab is there", || {
        Cluster::new(ClusterPlan::new("e2e-foundings", 3, 0))
    });
    story.step("launch ends with exit code 0", || cluster.launch(&[])?.ok());
    let identity = story.step("the cluster's identity", || cluster.kube().identity());
    story.step("it is whole", || is_whole(&cluster, &identity));
    for round in 1..=rounds.unwrap_or(1) {
        for way in &ways {
            let what = format!("{round}: {}: one cluster, the same one", way.describe());
            story.step(&what, || {
                way.happen(&cluster)?;
                is_whole(&cluster, &identity)
            });
        }
    }
    story.step("destroy leaves nothing", || cluster.destroy());
}

/// By their names as variants.
fn chosen_ways(names: &str) -> Vec<Hidden> {
    let way = |name: &str| {
        Hidden::ALL
            .into_iter()
            .find(|way| format!("{way:?}") == name)
    };
    let chosen = names.split(',').map(|name| {
        way(name).unwrap_or_else(|| panic!("HA_HIDDEN: `{name}` is none of {:?}", Hidden::ALL))
    });
    chosen.collect()
}
