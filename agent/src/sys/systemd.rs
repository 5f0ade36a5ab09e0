//! systemd's manager over D-Bus: orders whose outcome is the job's result, and unit states.
//! No zbus type leaves `sys`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures_util::StreamExt;
use tokio::sync::Mutex;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, connection};

use super::{Boxed, Cmd, CommandFailed, Commands, Systemd};

const BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// systemd's own socket, for root, there before any bus is.
const PRIVATE: &str = "unix:path=/run/systemd/private";
/// An order's deadline: systemd gives a unit 90 s by default to start, so a job that takes longer never ends.
const ORDER_DEADLINE: Duration = Duration::from_secs(100);
/// A plain question's deadline: systemd answers within a millisecond, or not at all.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);
/// How often a watched unit is asked although no signal came: a signal lost in a reconnect must not be lost for ever.
const ASK_ANYWAY: Duration = Duration::from_secs(2);
/// Journal lines of a unit that an error carries.
const JOURNAL_LINES: &str = "10";
/// `journalctl` on a huge journal takes its time; the error must not wait for long.
const JOURNAL_DEADLINE: Duration = Duration::from_secs(5);

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Manager {
    fn subscribe(&self) -> zbus::Result<()>;
    fn reload(&self) -> zbus::Result<()>;
    fn load_unit(&self, name: &str) -> zbus::Result<OwnedObjectPath>;
    fn start_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reload_or_restart_unit(&self, name: &str, mode: &str) -> zbus::Result<OwnedObjectPath>;
    fn reset_failed_unit(&self, name: &str) -> zbus::Result<()>;
    #[zbus(signal)]
    fn job_removed(
        &self,
        id: u32,
        job: OwnedObjectPath,
        unit: String,
        result: String,
    ) -> zbus::Result<()>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Unit",
    default_service = "org.freedesktop.systemd1"
)]
trait Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> zbus::Result<String>;
    #[zbus(property(emits_changed_signal = "false"))]
    fn load_state(&self) -> zbus::Result<String>;
}

/// An order that makes a job.
#[derive(Debug, Clone, Copy)]
enum Order {
    Start,
    Restart,
    ReloadOrRestart,
}

impl Order {
    /// The same order on the command line, for messages.
    fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restart => "restart",
            Self::ReloadOrRestart => "reload-or-restart",
        }
    }
}

/// systemd over the system bus, or over its private socket while there is no bus. Connects when first needed and again
/// when the connection broke.
#[derive(Debug)]
pub struct Bus {
    connection: Mutex<Option<Connection>>,
    commands: Rc<dyn Commands>,
}

impl Bus {
    /// `commands` runs `journalctl` for the last lines of a unit that failed.
    pub fn new(commands: Rc<dyn Commands>) -> Self {
        Self {
            connection: Mutex::new(None),
            commands,
        }
    }

    async fn manager(&self) -> Result<ManagerProxy<'static>> {
        let mut slot = self.connection.lock().await;
        let connection = match slot.take().filter(|c| !c.is_closed()) {
            Some(connection) => connection,
            None => connect_to_systemd().await?,
        };
        *slot = Some(connection.clone());
        Ok(ManagerProxy::new(&connection).await?)
    }

    /// Forgets the connection if it broke, so that the next order makes a new one.
    async fn checked<T>(&self, answer: zbus::Result<T>) -> Result<T> {
        if let Err(zbus::Error::InputOutput(_)) = &answer {
            self.connection.lock().await.take();
        }
        answer.map_err(plain_error)
    }

    async fn order(&self, order: Order, unit: &str) -> Result<()> {
        let manager = self.manager().await?;
        let job = tokio::time::timeout(ORDER_DEADLINE, job_result(&manager, order, unit)).await;
        let outcome = match job {
            Err(_) => format!("job not done after {} s", ORDER_DEADLINE.as_secs()),
            Ok(result) => match self
                .checked(result)
                .await
                .with_context(|| command_line(order, unit))?
                .as_str()
            {
                "done" => return Ok(()),
                other => format!("job ended with `{other}`"),
            },
        };
        Err(CommandFailed {
            command: command_line(order, unit),
            outcome,
            code: None,
            tail: self.journal(unit).await,
        }
        .into())
    }

    async fn journal(&self, unit: &str) -> Vec<String> {
        let args = [
            "-u",
            unit,
            "-n",
            JOURNAL_LINES,
            "-o",
            "cat",
            "--no-pager",
            "-q",
        ];
        match self
            .commands
            .run(Cmd::new("journalctl", &args, JOURNAL_DEADLINE))
            .await
        {
            Ok(out) => out.stdout.lines().map(str::to_owned).collect(),
            Err(error) => vec![format!("(no journal of {unit}: {error:#})")],
        }
    }

    async fn state(&self, unit: &str) -> Result<String> {
        let manager = self.manager().await?;
        let answer = with_deadline(unit_state(&manager, unit)).await?;
        self.checked(answer)
            .await
            .with_context(|| format!("cannot ask systemd about {unit}"))
    }

    async fn change(&self, unit: &str, known: &str) -> Result<String> {
        let manager = self.manager().await?;
        let signals = with_deadline(property_signals(&manager, unit)).await?;
        let mut signals = self
            .checked(signals)
            .await
            .with_context(|| format!("cannot watch {unit}"))?;
        loop {
            let state = self.state(unit).await?;
            if state != known {
                return Ok(state);
            }
            if let Ok(None) = tokio::time::timeout(ASK_ANYWAY, signals.next()).await {
                self.connection.lock().await.take();
                return Err(anyhow!(
                    "the connection to systemd ended while watching {unit}"
                ));
            }
        }
    }
}

impl Systemd for Bus {
    fn start<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(self.order(Order::Start, unit))
    }

    fn restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(self.order(Order::Restart, unit))
    }

    fn reload_or_restart<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(self.order(Order::ReloadOrRestart, unit))
    }

    fn reset_failed<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<()>> {
        Box::pin(async move {
            let manager = self.manager().await?;
            let answer = with_deadline(manager.reset_failed_unit(unit)).await?;
            match answer {
                Err(zbus::Error::MethodError(name, ..))
                    if name.as_str().ends_with(".NoSuchUnit") =>
                {
                    Ok(())
                }
                other => self
                    .checked(other)
                    .await
                    .with_context(|| format!("cannot reset {unit}")),
            }
        })
    }

    fn daemon_reload(&self) -> Boxed<'_, Result<()>> {
        Box::pin(async move {
            let manager = self.manager().await?;
            let answer = tokio::time::timeout(ORDER_DEADLINE, manager.reload()).await;
            let answer = answer.context("systemd did not finish reading its unit files")?;
            self.checked(answer)
                .await
                .context("systemd cannot read its unit files anew")
        })
    }

    fn active_state<'a>(&'a self, unit: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(self.state(unit))
    }

    fn changed<'a>(&'a self, unit: &'a str, known: &'a str) -> Boxed<'a, Result<String>> {
        Box::pin(self.change(unit, known))
    }
}

async fn connect_to_systemd() -> Result<Connection> {
    let builder = connection::Builder::address(BUS).method_timeout(ORDER_DEADLINE);
    let bus_error = match with_deadline(builder.build())
        .await
        .and_then(|r| r.map_err(plain_error))
    {
        Ok(connection) => return subscribe_to_signals(connection).await,
        Err(error) => error,
    };
    let builder = connection::Builder::address(PRIVATE)
        .p2p()
        .method_timeout(ORDER_DEADLINE);
    match with_deadline(builder.build())
        .await
        .and_then(|r| r.map_err(plain_error))
    {
        Ok(connection) => subscribe_to_signals(connection).await,
        Err(error) => Err(anyhow!(
            "systemd cannot be reached: {bus_error:#}; on its private socket: {error:#}"
        )),
    }
}

/// Without this systemd sends neither JobRemoved nor PropertiesChanged.
async fn subscribe_to_signals(connection: Connection) -> Result<Connection> {
    let manager = ManagerProxy::new(&connection).await?;
    match with_deadline(manager.subscribe()).await? {
        Err(zbus::Error::MethodError(name, ..)) if name.as_str().ends_with("AlreadySubscribed") => {
        }
        other => other
            .map_err(plain_error)
            .context("cannot subscribe to systemd's signals")?,
    }
    Ok(connection)
}

/// The result of the job that an order makes. The signal is subscribed to before the order: a fast job ends before the
/// order's own answer arrives.
async fn job_result(manager: &ManagerProxy<'_>, order: Order, unit: &str) -> zbus::Result<String> {
    let mut removed = manager.receive_job_removed().await?;
    let job = match order {
        Order::Start => manager.start_unit(unit, "replace").await?,
        Order::Restart => manager.restart_unit(unit, "replace").await?,
        Order::ReloadOrRestart => manager.reload_or_restart_unit(unit, "replace").await?,
    };
    while let Some(signal) = removed.next().await {
        let args = signal.args()?;
        if args.job == job {
            return Ok(args.result.clone());
        }
    }
    Err(zbus::Error::InputOutput(Arc::new(
        std::io::ErrorKind::ConnectionReset.into(),
    )))
}

async fn unit_state(manager: &ManagerProxy<'_>, unit: &str) -> zbus::Result<String> {
    let path = manager.load_unit(unit).await?;
    // With a cache, one property costs all ninety and two rules on the bus.
    let proxy = UnitProxy::builder(manager.inner().connection())
        .path(path)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let active = proxy.active_state().await?;
    if active == "inactive" && proxy.load_state().await? == "not-found" {
        return Ok("not-found".into());
    }
    Ok(active)
}

async fn property_signals(
    manager: &ManagerProxy<'_>,
    unit: &str,
) -> zbus::Result<zbus::fdo::PropertiesChangedStream> {
    let path = manager.load_unit(unit).await?;
    let destination = manager.inner().destination().to_owned();
    let properties =
        zbus::fdo::PropertiesProxy::new(manager.inner().connection(), destination, path).await?;
    properties.receive_properties_changed().await
}

async fn with_deadline<T>(question: impl Future<Output = T>) -> Result<T> {
    let answer = tokio::time::timeout(QUESTION_DEADLINE, question).await;
    answer.map_err(|_| {
        anyhow!(
            "systemd did not answer within {} s",
            QUESTION_DEADLINE.as_secs()
        )
    })
}

fn command_line(order: Order, unit: &str) -> String {
    format!("systemctl {} {unit}", order.verb())
}

/// systemd's own words, without D-Bus's wrapping.
fn plain_error(error: zbus::Error) -> anyhow::Error {
    match &error {
        zbus::Error::MethodError(name, Some(text), _) => anyhow!("{text} ({})", name.as_str()),
        zbus::Error::FDO(error) => {
            let text = error.to_string();
            anyhow!(
                "{}",
                text.strip_prefix("org.freedesktop.DBus.Error.")
                    .unwrap_or(&text)
            )
        }
        _ => anyhow!(error),
    }
}

#[cfg(test)]
mod tests;
