//! Where tracing's lines go: the journal, with the agent's own name and fields, or standard error.

use tracing::Level;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const IDENTIFIER: &str = "ha-agent";
/// Fields arrive as HA_PHASE, HA_NODE, HA_ATTEMPT.
const FIELD_PREFIX: &str = "HA";

/// Starts the journal for the service; a panic is told there before it ends the process.
pub fn start_logging() {
    // The libraries' own lines (hyper, zbus, rustls) are noise in a story.
    let own = Targets::new()
        .with_target("ha_agent", Level::INFO)
        .with_default(Level::ERROR);
    let registry = tracing_subscriber::registry().with(own);
    let begun = match tracing_journald::layer() {
        Ok(layer) => registry.with(with_own_fields(layer)).try_init(),
        Err(_) => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_target(false),
            )
            .try_init(),
    };
    if begun.is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!("panic, a bug: {panic}")));
    }
}

fn with_own_fields(layer: tracing_journald::Layer) -> tracing_journald::Layer {
    // tracing-journald calls INFO a notice by default.
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    layer
        .with_syslog_identifier(IDENTIFIER.into())
        .with_field_prefix(Some(FIELD_PREFIX.into()))
        .with_priority_mappings(priorities)
}
