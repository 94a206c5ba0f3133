//! `countersign object`: whose the objects of services are.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::ConfigFile;
use crate::control::Order;
use crate::output::{Failure, Output, table};
use crate::record::{NewObject, Object};

/// `countersign object`
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whose an object is; what was known of it before does not count
    #[command(after_help = "\
Examples:
  countersign object set --api shop --kind order 9001 --owner 4711
  countersign object set --api shop --kind note 17 --owner users/ann      # where accounts own notes themselves")]
    Set {
        #[command(flatten)]
        which: Which,
        /// The owner: a value of the kind's key, or KIND/SUBJECT of an account
        #[arg(long, value_name = "OWNER")]
        owner: String,
        /// The tenant that he must act for
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// Say whose many objects are, from a file with lines of id,owner or id,owner,tenant
    Import {
        #[command(flatten)]
        of: Of,
        /// The file; `-` for standard input
        file: PathBuf,
    },
    /// Show whose an object is
    Show(Which),
    /// Forget an object; a reference to it is refused from then on
    Remove(Which),
}

/// Objects of a kind.
#[derive(Debug, Args)]
pub(crate) struct Of {
    #[command(flatten)]
    config: ConfigFile,
    /// The API's name
    #[arg(long)]
    api: String,
    /// The kind, as the API's configuration calls it
    #[arg(long)]
    kind: String,
}

/// Which object.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    of: Of,
    /// What the service calls it
    id: String,
}

/// Objects that are set in one order: a second of writing.
const AT_ONCE: usize = 5000;
/// What their texts may come to: a gate takes orders of eight times as much, and JSON writes some bytes as six.
const BYTES_AT_ONCE: usize = 256 * 1024;
/// What JSON writes about each.
const FRAME_BYTES: usize = 40;

/// Does what it says.
pub(super) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Set { which: Which { of, id }, owner, tenant } => {
            let object = NewObject { id: id.clone(), owner: owner.clone(), tenant };
            let () = set(&of, vec![object])?;
            let text = format!("{} {id} of {} is {owner}'s", of.kind, of.api);
            Ok(output.answer(&serde_json::json!({ "id": id, "owner": owner }), |_| text)?)
        }
        Command::Import { of, file } => {
            let objects = read(&file)?;
            let count = objects.len();
            for piece in pieces(objects) {
                let () = set(&of, piece)?;
            }
            Ok(output.answer(&serde_json::json!({ "imported": count }), |_| format!("{count} imported"))?)
        }
        Command::Show(Which { of, id }) => {
            let order = Order::Object { api: of.api.clone(), kind: of.kind.clone(), id: id.clone() };
            let object: Option<Object> = of.config.order(order)?;
            let object =
                object.ok_or_else(|| Failure::Failed(anyhow::anyhow!("no {} {id} is known", of.kind)))?;
            Ok(output.answer(&object, list)?)
        }
        Command::Remove(Which { of, id }) => {
            let order = Order::RemoveObject { api: of.api.clone(), kind: of.kind.clone(), id: id.clone() };
            let there: bool = of.config.order(order)?;
            let text = if there { "is forgotten" } else { "was not known" };
            let text = format!("{} {id} of {} {text}", of.kind, of.api);
            Ok(output.answer(&serde_json::json!({ "id": id, "removed": there }), |_| text)?)
        }
    }
}

fn set(of: &Of, objects: Vec<NewObject>) -> Result<(), Failure> {
    of.config.order(Order::SetObjects { api: of.api.clone(), kind: of.kind.clone(), objects })
}

/// In their order, as many together as one order holds.
fn pieces(objects: Vec<NewObject>) -> Vec<Vec<NewObject>> {
    let mut pieces = Vec::new();
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for object in objects {
        let NewObject { id, owner, tenant } = &object;
        let own = FRAME_BYTES + id.len() + owner.len() + tenant.as_ref().map_or(0, String::len);
        if !piece.is_empty() && (piece.len() >= AT_ONCE || bytes + own > BYTES_AT_ONCE) {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
        bytes += own;
        piece.push(object);
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces
}

/// The objects of a file.
fn read(file: &std::path::Path) -> Result<Vec<NewObject>, Failure> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("could not read {}", file.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let wrong = || {
                let (file, line) = (file.display(), at + 1);
                Failure::Failed(anyhow::anyhow!("{file}:{line}: a line is id,owner or id,owner,tenant"))
            };
            let mut parts = line.split(',').map(str::trim);
            let (id, owner, tenant) = (parts.next(), parts.next(), parts.next());
            match (id, owner, parts.next()) {
                (Some(id), Some(owner), None) if !id.is_empty() && !owner.is_empty() => Ok(NewObject {
                    id: id.to_owned(),
                    owner: owner.to_owned(),
                    tenant: tenant.filter(|tenant| !tenant.is_empty()).map(str::to_owned),
                }),
                _ => Err(wrong()),
            }
        })
        .collect()
}

fn list(object: &Object) -> String {
    let Object { id, owner, tenant, reference, ends_at } = object;
    let row = [
        id.clone(),
        owner.clone().unwrap_or_else(|| String::from("whoever holds the reference")),
        tenant.clone().unwrap_or_default(),
        reference.clone().unwrap_or_default(),
        ends_at.as_ref().map_or_else(|| String::from("never"), ToString::to_string),
    ];
    table(["id", "owner", "tenant", "reference", "ends"], [row])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::read;

    #[test]
    fn lines_are_objects_or_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.csv");
        let check = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file)
                .map(|objects| objects.into_iter().map(|o| (o.id, o.owner, o.tenant)).collect::<Vec<_>>())
        };
        let one = |id: &str, owner: &str, tenant: Option<&str>| {
            (id.to_owned(), owner.to_owned(), tenant.map(str::to_owned))
        };
        assert_eq!(
            check("1,2\n\n 3 , users/ann , t1\n").ok(),
            Some(vec![one("1", "2", None), one("3", "users/ann", Some("t1"))])
        );
        for bad in ["1", "1,", ",2", "1,2,3,4", "1,2\n3"] {
            let told = check(bad).err().unwrap().to_string();
            assert!(told.contains("a line is id,owner"), "{bad}: {told}");
        }
    }
}
