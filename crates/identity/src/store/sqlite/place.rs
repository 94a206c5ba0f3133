//! The file's place: what it is called, whose it is, who has it open, and whether it is still there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use super::{StoreError, io};

/// Symbolic links from one to the next: Linux follows as many.
const LINKS_MAX: usize = 40;

/// Where a file is that may be called by a symbolic link, or is to be made where one points to. What stands beside the
/// database (its lock, its key, its socket) is beside the file itself, whatever it is called by.
pub fn settled(path: &Path) -> PathBuf {
    let mut settled = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = std::fs::read_link(&settled) else { break };
        settled = folder_of(&settled).join(target);
    }
    settled
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a file, for its owner alone, who is the one of `like` or, where there is none, of the new file's folder: what root
/// makes while the gate is stopped is for the gate's own user.
///
/// # Errors
/// If it is there already, a symbolic link among others, or cannot be made.
pub(crate) fn make_for_owner_of(like: &Path, path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    let file = {
        use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
        // Before it is there: it may be the one whose owner is asked for.
        let like = std::fs::metadata(like).or_else(|_| std::fs::metadata(folder_of(path)));
        let file = options.mode(0o600).open(path)?;
        if rustix::process::geteuid().is_root()
            && let Ok(like) = like
        {
            // Root of a container may not, and then nobody else is meant. SQLite does not mind either.
            let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
        }
        file
    };
    #[cfg(not(unix))]
    let file = options.open(path)?;
    Ok(file)
}

/// A database file that this process has to itself.
pub(super) struct Held {
    /// What it is called, which may be a symbolic link, and where that led to.
    paths: [PathBuf; 2],
    opened_as: Option<(u64, u64)>,
    /// Of its name: whoever puts another file there meanwhile opens that for no second gate.
    _by_name: File,
    /// Of the file, whatever it is called by. It is closed after SQLite's connections: whatever closes the file first would
    /// take the locks along that these have in this process (fcntl(2), "Advisory record locking").
    _by_file: File,
}

impl Held {
    /// Takes the file that is called so, which is made if it is not there. Both locks fall with the process.
    pub(super) fn take(called: &Path) -> Result<Self, StoreError> {
        let settled = settled(called);
        let path = settled.as_path();
        // Not opened before the lock is had: see above.
        if !path.exists() {
            made_or_there(path, path).map_err(io)?;
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        made_or_there(path, &name).map_err(io)?;
        let by_name = OpenOptions::new().write(true).open(name).map_err(io)?;
        lock(&by_name)?;
        let by_file = OpenOptions::new().read(true).write(true).open(path).map_err(io)?;
        // Linux keeps these locks apart from SQLite's, which are fcntl's; others may not.
        if cfg!(target_os = "linux") {
            lock(&by_file)?;
        }
        #[cfg(unix)]
        by_file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(io)?;
        let opened_as = identity(&by_file.metadata().map_err(io)?);
        let paths = [called.to_owned(), settled];
        Ok(Self { paths, opened_as, _by_name: by_name, _by_file: by_file })
    }

    /// Where the file was when it was taken.
    pub(super) fn path(&self) -> &Path {
        let [_called, settled] = &self.paths;
        settled
    }

    /// Whether what it is called leads to another file by now, or to none: whoever comes next works on that one. Neither is
    /// the file in its place where the link was turned along with it: what SQLite has beside it is not.
    pub(super) fn is_displaced(&self) -> bool {
        let leads_elsewhere = |path: &PathBuf| match std::fs::metadata(path) {
            Ok(there) => identity(&there) != self.opened_as,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        self.paths.iter().any(leads_elsewhere)
    }
}

fn made_or_there(like: &Path, path: &Path) -> Result<(), Error> {
    match make_for_owner_of(like, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn lock(file: &File) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Taken),
        Err(std::fs::TryLockError::Error(error)) => Err(io(error)),
    }
}

/// What tells a file from all others that are there at the same time.
#[cfg(unix)]
fn identity(file: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_file: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn links_lead_to_the_file_also_before_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink("real/gate.db", at("near.db")).unwrap();
        std::os::unix::fs::symlink(at("near.db"), at("far.db")).unwrap();
        for _ in ["not there yet", "there"] {
            assert_eq!(settled(&at("far.db")), at("real/gate.db"));
            assert_eq!(settled(&at("real/gate.db")), at("real/gate.db"));
            drop(Held::take(&at("far.db")).unwrap());
        }
        std::os::unix::fs::symlink("ring.db", at("ring.db")).unwrap();
        assert_eq!(settled(&at("ring.db")), at("ring.db"));
        assert!(Held::take(&at("ring.db")).is_err());
    }

    #[test]
    fn a_file_is_one_processes_whatever_it_is_called_by() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let held = Held::take(&at("gate.db")).unwrap();
        assert!(matches!(Held::take(&at("gate.db")), Err(StoreError::Taken)));
        std::fs::remove_file(at("gate.db.lock")).unwrap();
        std::fs::hard_link(at("gate.db"), at("other.db")).unwrap();
        for name in ["gate.db", "other.db"] {
            assert!(matches!(Held::take(&at(name)), Err(StoreError::Taken)), "{name}");
        }
        drop(held);
        assert!(Held::take(&at("other.db")).is_ok());
    }

    #[test]
    fn another_file_in_its_place_is_seen_and_so_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let held = Held::take(&at("gate.db")).unwrap();
        assert!(!held.is_displaced());
        std::fs::rename(at("gate.db"), at("away.db")).unwrap();
        assert!(held.is_displaced());
        std::fs::write(at("gate.db"), "").unwrap();
        assert!(held.is_displaced());
        assert!(matches!(Held::take(&at("gate.db")), Err(StoreError::Taken)), "its name is taken");
        std::fs::rename(at("away.db"), at("gate.db")).unwrap();
        assert!(!held.is_displaced());
    }

    #[test]
    fn a_link_that_is_turned_to_another_file_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let turn = |to: &str| {
            let _ = std::fs::remove_file(at("link.db"));
            std::os::unix::fs::symlink(to, at("link.db")).unwrap();
        };
        turn("one.db");
        let held = Held::take(&at("link.db")).unwrap();
        assert_eq!((held.path(), held.is_displaced()), (&*at("one.db"), false));
        turn("two.db");
        assert!(held.is_displaced(), "to none");
        std::fs::write(at("two.db"), "").unwrap();
        assert!(held.is_displaced(), "to another one");
        turn("one.db");
        assert!(!held.is_displaced());
        std::fs::rename(at("one.db"), at("away.db")).unwrap();
        turn("away.db");
        assert!(held.is_displaced(), "with the file, but without what is beside it");
    }

    /// Where these tests are not root's, everything is the caller's anyway.
    #[test]
    fn what_is_made_has_the_owner_of_the_store_or_of_its_folder() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        const SOMEBODY: u32 = 12_345;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut owner = std::fs::metadata(folder.path()).unwrap().uid();
        if chown(folder.path(), Some(SOMEBODY), Some(SOMEBODY)).is_ok() {
            owner = SOMEBODY;
        }
        std::fs::create_dir(at("keys")).unwrap();
        drop(Held::take(&at("gate.db")).unwrap());
        drop(make_for_owner_of(&at("gate.db"), &at("keys/gate.key")).unwrap());
        for name in ["gate.db", "gate.db.lock", "keys/gate.key"] {
            assert_eq!(std::fs::metadata(at(name)).unwrap().uid(), owner, "{name}");
        }
        // Whoever owns the folder gets nothing that was there before.
        std::fs::write(at("others"), "").unwrap();
        let before = std::fs::metadata(at("others")).unwrap().uid();
        std::fs::remove_file(at("gate.db.lock")).unwrap();
        std::os::unix::fs::symlink("others", at("gate.db.lock")).unwrap();
        let _held = Held::take(&at("gate.db"));
        assert_eq!(std::fs::metadata(at("others")).unwrap().uid(), before);
    }
}
