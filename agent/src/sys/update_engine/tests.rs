//! A stand-in that owns update-engine's name on a real bus of the test's own.

use super::*;
use crate::sys::testing::PrivateBus;

struct StandIn(EngineStatus);

#[zbus::interface(name = "com.coreos.update1.Manager")]
impl StandIn {
    fn get_status(&self) -> EngineStatus {
        self.0.clone()
    }
}

async fn answer_to(operation: &str, version: &str) -> Option<Result<Option<String>>> {
    let root = tempfile::tempdir().unwrap();
    let machine = Files::new(root.path());
    let bus = PrivateBus::start(&machine)?;
    let status = (1_700_000_000, 0.0, operation.into(), version.into(), 0);
    let _engine = bus
        .serve("com.coreos.update1", "/com/coreos/update1", StandIn(status))
        .await;
    Some(installed_update(&machine).await)
}

#[tokio::test]
async fn only_an_update_that_waits_for_its_reboot_is_told() {
    for (operation, version, told) in [
        (
            "UPDATE_STATUS_UPDATED_NEED_REBOOT",
            "4459.2.1",
            Some("4459.2.1"),
        ),
        // update-engine forgets the version when it is restarted, and still knows that a reboot is needed.
        ("UPDATE_STATUS_UPDATED_NEED_REBOOT", "", Some("")),
        ("UPDATE_STATUS_IDLE", "4459.2.1", None),
        ("UPDATE_STATUS_DOWNLOADING", "4459.2.1", None),
    ] {
        let Some(answer) = answer_to(operation, version).await else {
            return;
        };
        assert_eq!(answer.unwrap().as_deref(), told, "{operation}");
    }
}

#[tokio::test]
async fn without_a_bus_or_an_engine_there_is_an_error_and_no_answer() {
    let root = tempfile::tempdir().unwrap();
    let machine = Files::new(root.path());
    assert!(installed_update(&machine).await.is_err());
    let Some(_bus) = PrivateBus::start(&machine) else {
        return;
    };
    let error = installed_update(&machine).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("com.coreos.update1"),
        "{error:#}"
    );
}
