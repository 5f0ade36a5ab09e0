use ha_test_support::DEMO;

use super::*;
use crate::testing::{AnsweringCluster, Forwarding};

struct RenderFixture {
    _dir: tempfile::TempDir,
    source: Source,
    store: ClusterStore,
}

/// After a first render.
fn rendered_once() -> RenderFixture {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo.yaml");
    std::fs::write(&file, DEMO.replace("nodes:", "provider: none\nnodes:")).unwrap();
    let source = source::read_source(&file, None).unwrap();
    let root = StateRoot::new(Some(&dir.path().join("state"))).unwrap();
    let store = root.dir("demo").lock().unwrap();
    assert_eq!(
        permit_render(&source, &store, false, None).unwrap(),
        FoundingPermission::Permitted
    );
    store.accept_for_render(&source.as_accepted()).unwrap();
    store.ensure_pki().unwrap();
    RenderFixture {
        _dir: dir,
        source,
        store,
    }
}

fn permit_render(
    source: &Source,
    store: &ClusterStore,
    asked_for: bool,
    standing: Option<&AnsweringCluster>,
) -> Result<FoundingPermission> {
    let provider: Arc<dyn Provider> = match standing {
        Some(cluster) => Arc::new(Forwarding(cluster.at)),
        None => Arc::new(ByOthers::new(&source.cluster, store.path())),
    };
    permit_founding(asked_for, source, store, provider)
}

#[test]
fn a_later_render_permits_founding_only_if_told_and_never_beside_a_cluster_that_answers() {
    let RenderFixture {
        source,
        store,
        _dir,
    } = &rendered_once();
    assert_eq!(
        permit_render(source, store, false, None).unwrap(),
        FoundingPermission::NotFirst
    );
    let pki = store.pki().unwrap().unwrap();
    // Sick, but it is there.
    let cluster = AnsweringCluster::start(pki, &[("GET /readyz", 500, "etcd failed")]);
    let error = permit_render(source, store, true, Some(&cluster)).unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Stop::BadInput(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("demo answers at "), "{error}");
    assert!(
        store.record().unwrap().unwrap().founded,
        "that is remembered"
    );
    drop(cluster);
    let error = permit_render(source, store, true, None).unwrap_err();
    assert!(error.to_string().contains("demo was founded"), "{error}");
    assert_eq!(
        permit_render(source, store, false, None).unwrap(),
        FoundingPermission::Founded
    );
}

#[test]
fn another_clusters_answer_does_not_count() {
    let RenderFixture {
        source,
        store,
        _dir,
    } = &rendered_once();
    let other = AnsweringCluster::start(Pki::create().unwrap(), &[("GET /readyz", 200, "ok")]);
    assert_eq!(
        permit_render(source, store, true, Some(&other)).unwrap(),
        FoundingPermission::Permitted
    );
    assert!(!store.record().unwrap().unwrap().founded);
}
