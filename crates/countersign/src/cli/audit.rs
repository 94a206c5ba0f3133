//! `countersign audit`: who changed what.

use clap::Args;

use super::ConfigFile;
use crate::control::Order;
use crate::output::{Failure, Output, table};
use crate::record::AuditEvent;

/// As many as one answer holds that a person or a program still wants at once.
const EVENTS_MAX: i64 = 100_000;

/// `countersign audit`
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    config: ConfigFile,
    /// So many events, the newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=EVENTS_MAX))]
    limit: u32,
}

/// Does what it says.
pub(super) fn run(audit: Audit, output: Output) -> Result<(), Failure> {
    let Audit { config, limit } = audit;
    let events: Vec<AuditEvent> = config.order(Order::Audit { limit })?;
    Ok(output.answer(&events, |events| list(events))?)
}

fn list(events: &[AuditEvent]) -> String {
    let row = |event: &AuditEvent| {
        let AuditEvent { at, actor, event, object, address } = event;
        [at.to_string(), actor.clone(), event.clone(), object.clone(), address.clone()]
    };
    table(["at", "who", "what", "to what", "from"], events.iter().map(row))
}
