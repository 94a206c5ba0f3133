//! Where the demo keeps its things: a folder of the user's, or one of its own that goes away.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::entropy;

/// A folder that only its owner can look into.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    stays: Stays,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// Somebody named it.
    Yes,
    /// It goes when this value goes.
    No,
}

impl Folder {
    /// Opens the folder that was named, or makes one with a name of its own below the system's.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn open(named: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        let (path, stays) = match named {
            Some(path) => (path.to_owned(), Stays::Yes),
            None => (std::env::temp_dir().join(format!("{name}-{}", entropy::reference()?)), Stays::No),
        };
        let builder = |recursive| {
            let mut builder = fs::DirBuilder::new();
            builder.mode(0o700).recursive(recursive);
            builder
        };
        builder(stays == Stays::Yes)
            .create(&path)
            .with_context(|| format!("could not make {}", path.display()))?;
        Ok(Self { path, stays })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, unless somebody named it.
    pub(crate) fn close(self) {
        drop(self);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.stays == Stays::No
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "could not remove the demo's folder");
        }
    }
}

/// Writes a file that only its owner can read.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    open.set_permissions(Permissions::from_mode(0o600))?;
    open.write_all(text.as_bytes())
}
