//! A manager in this process at the other end of a socket pair: the order of signals and answers is the test's choice.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use zbus::ObjectPath;
use zbus::object_server::SignalEmitter;

use super::*;
use crate::testing::FakeCommands;

/// What the fake does with an order.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Script {
    /// JobRemoved goes out before the order's own answer.
    EndsBeforeTheAnswer(&'static str),
    /// Other jobs end first, ours later.
    EndsLater(&'static str),
    /// The order itself is refused.
    NoSuchUnit,
}

/// systemd's own errors on the bus.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum ManagerError {
    #[zbus(error)]
    Bus(zbus::Error),
    NoSuchUnit(String),
}

#[derive(Debug)]
struct FakeManager {
    script: Script,
    subscribed: bool,
    /// The orders so far, by systemd's own names.
    orders: Vec<&'static str>,
}

const JOB: &str = "/org/freedesktop/systemd1/job/7";
const OTHER_JOB: &str = "/org/freedesktop/systemd1/job/6";
/// Of `x.service`; every other name is one that systemd has no file for.
const UNIT: &str = "/org/freedesktop/systemd1/unit/x";
const NO_UNIT: &str = "/org/freedesktop/systemd1/unit/none";

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn subscribe(&mut self) {
        self.subscribed = true;
    }

    /// As the real one, which has an object for every name.
    fn load_unit(&self, name: &str) -> ObjectPath<'static> {
        object_path(if name == "x.service" { UNIT } else { NO_UNIT })
    }

    fn reload(&mut self) {
        self.orders.push("Reload");
    }

    fn reset_failed_unit(&self, name: &str) -> Result<(), ManagerError> {
        Err(ManagerError::NoSuchUnit(format!("Unit {name} not loaded.")))
    }

    async fn start_unit(
        &mut self,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        name: &str,
        mode: &str,
    ) -> Result<ObjectPath<'static>, ManagerError> {
        self.make_job("StartUnit", emitter, name, mode).await
    }

    async fn restart_unit(
        &mut self,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        name: &str,
        mode: &str,
    ) -> Result<ObjectPath<'static>, ManagerError> {
        self.make_job("RestartUnit", emitter, name, mode).await
    }

    async fn reload_or_restart_unit(
        &mut self,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
        name: &str,
        mode: &str,
    ) -> Result<ObjectPath<'static>, ManagerError> {
        self.make_job("ReloadOrRestartUnit", emitter, name, mode)
            .await
    }

    #[zbus(signal)]
    async fn job_removed(
        emitter: &SignalEmitter<'_>,
        id: u32,
        job: ObjectPath<'_>,
        unit: &str,
        result: &str,
    ) -> zbus::Result<()>;
}

impl FakeManager {
    async fn make_job(
        &mut self,
        order: &'static str,
        emitter: SignalEmitter<'_>,
        name: &str,
        mode: &str,
    ) -> Result<ObjectPath<'static>, ManagerError> {
        self.orders.push(order);
        assert!(
            self.subscribed,
            "an order before Subscribe would never see its job end"
        );
        assert_eq!(mode, "replace");
        match self.script {
            Script::NoSuchUnit => {
                return Err(ManagerError::NoSuchUnit(format!("Unit {name} not found.")));
            }
            Script::EndsBeforeTheAnswer(result) => {
                Self::job_removed(&emitter, 7, object_path(JOB), name, result).await?;
            }
            Script::EndsLater(result) => {
                Self::job_removed(&emitter, 6, object_path(OTHER_JOB), name, "failed").await?;
                let (emitter, name) = (emitter.to_owned(), name.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    Self::job_removed(&emitter, 7, object_path(JOB), &name, result)
                        .await
                        .unwrap();
                });
            }
        }
        Ok(object_path(JOB))
    }
}

#[derive(Debug)]
struct FakeUnit {
    active: String,
    load: String,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn active_state(&self) -> String {
        self.active.clone()
    }

    #[zbus(property)]
    fn load_state(&self) -> String {
        self.load.clone()
    }
}

fn object_path(path: &'static str) -> ObjectPath<'static> {
    ObjectPath::from_static_str_unchecked(path)
}

struct Fake {
    bus: Bus,
    commands: Rc<FakeCommands>,
    server: Connection,
}

async fn bus_with(script: Script, active: &str, load: &str) -> Fake {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let unit = |active: &str, load: &str| FakeUnit {
        active: active.into(),
        load: load.into(),
    };
    let server = connection::Builder::unix_stream(theirs)
        .server(zbus::Guid::generate())
        .p2p()
        .serve_at(
            "/org/freedesktop/systemd1",
            FakeManager {
                script,
                subscribed: false,
                orders: Vec::new(),
            },
        )
        .serve_at(UNIT, unit(active, load))
        .serve_at(NO_UNIT, unit("inactive", "not-found"))
        .build();
    let client = connection::Builder::unix_stream(ours).p2p().build();
    let (server, client) = tokio::join!(server, client);
    let commands = Rc::new(FakeCommands::default());
    let connection = subscribe_to_signals(client.unwrap()).await.unwrap();
    let bus = Bus {
        connection: Mutex::new(Some(connection)),
        commands: commands.clone(),
    };
    Fake {
        bus,
        commands,
        server: server.unwrap(),
    }
}

#[tokio::test]
async fn a_job_that_ends_before_the_answer_is_not_missed() {
    let fake = bus_with(Script::EndsBeforeTheAnswer("done"), "active", "loaded").await;
    tokio::time::timeout(Duration::from_secs(5), fake.bus.start("x.service"))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn other_jobs_do_not_count() {
    let fake = bus_with(Script::EndsLater("done"), "active", "loaded").await;
    fake.bus.start("x.service").await.unwrap();
}

#[tokio::test]
async fn a_failed_job_carries_its_result_and_the_units_journal() {
    let fake = bus_with(Script::EndsLater("failed"), "failed", "loaded").await;
    let said = super::super::Output {
        stdout: "one\ncannot bind :6444\n".into(),
    };
    fake.commands.answer("journalctl -u x.service", Ok(said));
    let error = fake.bus.start("x.service").await.unwrap_err();
    let failed = error.downcast_ref::<CommandFailed>().unwrap();
    assert_eq!(failed.tail, ["one", "cannot bind :6444"]);
    assert_eq!(
        error.to_string(),
        "systemctl start x.service: job ended with `failed`: cannot bind :6444"
    );
}

#[tokio::test]
async fn a_refused_order_says_so_in_systemds_words() {
    let fake = bus_with(Script::NoSuchUnit, "inactive", "not-found").await;
    let error = fake.bus.start("x.service").await.unwrap_err();
    assert!(
        format!("{error:#}")
            .starts_with("systemctl start x.service: Unit x.service not found. (org.freedesktop.systemd1.NoSuchUnit)"),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_unit_that_is_not_there_is_told_from_one_that_does_not_run() {
    let fake = bus_with(Script::NoSuchUnit, "inactive", "loaded").await;
    let state = async |unit: &str| fake.bus.active_state(unit).await.unwrap();
    assert_eq!(state("x.service").await, "inactive");
    assert_eq!(state("y.service").await, "not-found");
    fake.bus.reset_failed("y.service").await.unwrap();
}

#[tokio::test]
async fn each_order_is_systemds_own() {
    let fake = bus_with(Script::EndsBeforeTheAnswer("done"), "active", "loaded").await;
    fake.bus.start("x.service").await.unwrap();
    fake.bus.restart("x.service").await.unwrap();
    fake.bus.reload_or_restart("x.service").await.unwrap();
    fake.bus.daemon_reload().await.unwrap();
    let manager = fake
        .server
        .object_server()
        .interface::<_, FakeManager>("/org/freedesktop/systemd1")
        .await
        .unwrap();
    assert_eq!(
        manager.get().await.orders,
        ["StartUnit", "RestartUnit", "ReloadOrRestartUnit", "Reload"]
    );
}

#[tokio::test]
async fn a_change_is_heard_as_it_happens() {
    let fake = bus_with(Script::NoSuchUnit, "active", "loaded").await;
    assert_eq!(
        fake.bus.changed("x.service", "failed").await.unwrap(),
        "active",
        "at once if it differs already"
    );
    let server = fake.server.clone();
    let dies = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let unit = server
            .object_server()
            .interface::<_, FakeUnit>(UNIT)
            .await
            .unwrap();
        unit.get_mut().await.active = "failed".into();
        unit.get()
            .await
            .active_state_changed(unit.signal_emitter())
            .await
            .unwrap();
    };
    let begun = std::time::Instant::now();
    let (state, ()) = tokio::join!(fake.bus.changed("x.service", "active"), dies);
    assert_eq!(state.unwrap(), "failed");
    assert!(
        begun.elapsed() < ASK_ANYWAY,
        "heard by the signal, not by asking anyway"
    );
}

#[tokio::test]
async fn a_broken_connection_is_an_error_and_forgotten() {
    let fake = bus_with(Script::NoSuchUnit, "active", "loaded").await;
    let watched = async { fake.bus.changed("x.service", "active").await };
    let server = RefCell::new(Some(fake.server.clone()));
    let ends = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.take().unwrap().close().await.unwrap();
    };
    let (state, ()) = tokio::join!(watched, ends);
    assert!(state.is_err());
}
