//! Embeds every `dialects/<name>/dialect.toml` of the repository, so that a new dialect is a new folder and
//! nothing else.

#![allow(clippy::disallowed_methods, reason = "cargo tells build scripts their folders in the environment")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../dialects");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut names: Vec<String> = fs::read_dir(&root)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| root.join(name).join("dialect.toml").is_file())
        .collect();
    names.sort();

    let mut code = String::from("&[\n");
    for name in names {
        let file = fs::canonicalize(root.join(&name).join("dialect.toml"))?;
        println!("cargo:rerun-if-changed={}", file.display());
        let _ = writeln!(code, "    Embedded {{ name: {name:?}, text: include_str!({file:?}) }},");
    }
    code.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(Path::new(&out).join("dialects.rs"), code)
}
