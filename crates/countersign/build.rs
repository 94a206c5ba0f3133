//! Embeds every `dialects/<name>/dialect.toml` of the repository, so that a new dialect is a new folder and
//! nothing else.

#![allow(clippy::disallowed_methods, reason = "cargo tells build scripts their folders in the environment")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // The fuzz targets are built with it as well, from another folder of the repository.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = manifest.ancestors().map(|folder| folder.join("dialects")).find(|folder| folder.is_dir());
    let root = root.ok_or_else(|| io::Error::other("there is no folder of dialects above the manifest"))?;
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
