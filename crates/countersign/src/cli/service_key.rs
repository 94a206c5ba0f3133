//! `countersign service-key`: a key for a service behind the gate.

use clap::Args;
use serde::Serialize;

use crate::config::value::page::Digest;
use crate::output::{Failure, Output};
use crate::{entropy, wire};

/// `countersign service-key`
#[derive(Debug, Args)]
pub(crate) struct ServiceKey {
    /// The service, as log and audit shall call it
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
}

fn name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(String::from("write letters, digits and -_."))
    }
}

/// What is made.
#[derive(Serialize)]
struct Made {
    name: String,
    key: String,
    sha256: String,
}

/// Makes a key, which is kept nowhere, and the lines of the configuration that let it in.
pub(super) fn run(command: ServiceKey, output: Output) -> Result<(), Failure> {
    let key = entropy::reference()?;
    let sha256 = Digest(wire::sha256(&key)).to_string();
    let made = Made { name: command.name, key, sha256 };
    let text = |made: &Made| {
        let Made { name, key, sha256 } = made;
        format!(
            "key: {key}   (shown only now)\n\n\
             Below the [[api]] that it is for:\n\n\
             [[api.service_key]]\n\
             name    = \"{name}\"\n\
             sha256  = \"{sha256}\"\n\
             publish = []   # channels that it may post events on\n\
             objects = []   # kinds of objects whose owners it may say"
        )
    };
    Ok(output.answer(&made, text)?)
}
