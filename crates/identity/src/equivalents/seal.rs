//! The key that is not in the database, and what is sealed with it.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_auth::port::Unavailable;
use countersign_auth::time::Random;
use zeroize::Zeroizing;

use super::WeakerScheme;
use crate::store::sqlite::place::{folder_of, make_for_owner_of};
use crate::store::{EquivalentRow, StoreError};

const KEY_BYTES: usize = 32;
/// 32 bytes in base64, and a line's end.
const FILE_BYTES_MAX: u64 = 64;

/// Where the key is.
#[derive(Clone)]
pub enum KeyPlace {
    /// In a file, as base64 on one line, readable by its owner only; made when it is first needed. It should not be
    /// where the database's backups are.
    File(PathBuf),
    /// In memory, for services over stores that are no files.
    Memory(Zeroizing<[u8; KEY_BYTES]>),
}

/// Seals and opens.
pub(super) struct Sealer {
    place: KeyPlace,
    /// Whose owner the key's file is for.
    store: PathBuf,
    key: Mutex<Option<Zeroizing<[u8; KEY_BYTES]>>>,
}

impl Sealer {
    pub(super) fn new(place: KeyPlace, store: PathBuf) -> Self {
        Self { place, store, key: Mutex::default() }
    }

    /// Seals what is kept of an account for a scheme.
    pub(super) fn seal(
        &self,
        account: u64,
        scheme: WeakerScheme,
        mut plain: Zeroizing<Vec<u8>>,
        random: &dyn Random,
    ) -> Result<EquivalentRow, Unavailable> {
        let key = self.key_or_new(random)?;
        let failed = |_| Unavailable("could not seal what is kept for a weaker scheme".to_owned());
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce)?;
        let tag = cipher(&key)
            .map_err(failed)?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                bound(account, scheme),
                &mut plain,
            )
            .map_err(failed)?;
        let sealed = [&nonce, plain.as_slice(), tag.as_ref()].concat();
        Ok(EquivalentRow { account, scheme, sealed })
    }

    /// Opens a row of the store.
    pub(super) fn open(&self, row: &EquivalentRow) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let key = self.key().map_err(|why| StoreError::Down(format!("{why}; {}", self.way_out())))?;
        let other = || {
            let place = self.place();
            StoreError::Down(format!("{place} is not the key that they were sealed with; {}", self.way_out()))
        };
        let Some((nonce, sealed)) = row.sealed.split_first_chunk::<NONCE_LEN>() else { return Err(other()) };
        let mut plain = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = cipher(&key).map_err(|_| other())?;
        let opened = key.open_in_place(nonce, bound(row.account, row.scheme), &mut plain);
        let length = opened.map_err(|_| other())?.len();
        plain.truncate(length);
        Ok(plain)
    }

    fn place(&self) -> String {
        match &self.place {
            KeyPlace::File(path) => path.display().to_string(),
            KeyPlace::Memory(_) => "the key in memory".to_owned(),
        }
    }

    fn way_out(&self) -> String {
        format!("accounts have password-equivalents: bring {} back", self.place())
    }

    /// The key that is there.
    fn key(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, String> {
        self.key_in(&mut self.known())
    }

    fn known(&self) -> MutexGuard<'_, Option<Zeroizing<[u8; KEY_BYTES]>>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_in(
        &self,
        known: &mut Option<Zeroizing<[u8; KEY_BYTES]>>,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, String> {
        if let Some(key) = known {
            return Ok(key.clone());
        }
        let key = match &self.place {
            KeyPlace::Memory(key) => key.clone(),
            KeyPlace::File(path) => read(path)
                .map_err(|error| format!("could not read the key in {}: {error}", path.display()))?,
        };
        *known = Some(key.clone());
        Ok(key)
    }

    /// Whether its key is what the file holds. One that was not needed yet will be.
    pub(super) fn is_of_file(&self) -> bool {
        match (&self.place, &*self.known()) {
            (KeyPlace::Memory(_), _) | (KeyPlace::File(_), None) => true,
            (KeyPlace::File(path), Some(key)) => read(path).is_ok_and(|found| *found == **key),
        }
    }

    /// The key, made if there is none; it is safe on disk before anything is sealed with it.
    ///
    /// A key that was read is the only one from then on, whatever becomes of its file: with two of them no start could
    /// open all rows. Where something is kept one was read, since [`open`](Self::open) comes first at every start.
    fn key_or_new(&self, random: &dyn Random) -> Result<Zeroizing<[u8; KEY_BYTES]>, Unavailable> {
        let mut known = self.known();
        if let KeyPlace::File(path) = &self.place
            && !path.exists()
        {
            if known.is_some() {
                tracing::error!(
                    key = %path.display(),
                    "the key of password-equivalents is gone from its file: bring it back, the next start needs it"
                );
            } else {
                let failed =
                    |error| Unavailable(format!("could not make the key {}: {error}", path.display()));
                make(path, &self.store, random)?.map_err(failed)?;
            }
        }
        self.key_in(&mut known).map_err(Unavailable)
    }
}

/// Rows cannot change places: what is kept of one account opens for no other.
fn bound(account: u64, scheme: WeakerScheme) -> Aad<Vec<u8>> {
    Aad::from(format!("countersign equivalent {} {account}", scheme.name()).into_bytes())
}

fn cipher(key: &[u8; KEY_BYTES]) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new)
}

fn read(path: &Path) -> std::io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).unwrap_or_default();
    let malformed = || std::io::Error::new(ErrorKind::InvalidData, "it is not 32 bytes in base64");
    let key: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| malformed())?;
    Ok(Zeroizing::new(key))
}

/// Makes a key file for the owner of the store `like`. The outer error is the generator's.
fn make(path: &Path, like: &Path, random: &dyn Random) -> Result<std::io::Result<()>, Unavailable> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    random.fill(&mut *key)?;
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(*key)));
    let write = || {
        let mut file = make_for_owner_of(like, path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(folder_of(path))?.sync_all()
    };
    Ok(write())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::world::OsRandom;

    fn sealer(place: KeyPlace) -> Sealer {
        Sealer::new(place, PathBuf::from("gate.db"))
    }

    fn sealed(sealer: &Sealer, text: &str) -> EquivalentRow {
        let plain = Zeroizing::new(text.as_bytes().to_vec());
        sealer.seal(7, WeakerScheme::Digest, plain, &OsRandom::default()).unwrap()
    }

    #[test]
    fn the_key_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.db.key");
        let sealer = self::sealer(KeyPlace::File(path.clone()));
        let (one, two) = (sealed(&sealer, "open sesame"), sealed(&sealer, "open sesame"));
        assert_ne!(one.sealed, two.sealed, "the nonce is new each time");
        assert!(!one.sealed.windows(4).any(|window| window == b"open"));
        let again = self::sealer(KeyPlace::File(path.clone()));
        assert!(sealer.is_of_file() && again.is_of_file());
        assert_eq!(&**again.open(&one).unwrap(), b"open sesame");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, STANDARD.encode([9; 32])).unwrap();
        assert!(!sealer.is_of_file());
        std::fs::remove_file(&path).unwrap();
        assert!(!sealer.is_of_file());
    }

    #[test]
    fn a_key_that_goes_while_it_is_used_gets_no_successor() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("gate.db.key"), folder.path().join("elsewhere"));
        let sealer = self::sealer(KeyPlace::File(path.clone()));
        let before = sealed(&sealer, "open sesame");
        std::fs::rename(&path, &elsewhere).unwrap();
        let after = sealed(&sealer, "open sesame");
        assert!(!path.exists(), "another key would open nothing of what is there");
        std::fs::rename(&elsewhere, &path).unwrap();
        let next = self::sealer(KeyPlace::File(path));
        assert!(next.open(&before).is_ok() && next.open(&after).is_ok());
    }

    #[test]
    fn what_was_changed_or_moved_does_not_open() {
        let key = |byte| KeyPlace::Memory(Zeroizing::new([byte; KEY_BYTES]));
        let sealer = self::sealer(key(1));
        let row = sealed(&sealer, "open sesame");
        assert!(sealer.open(&row).is_ok());
        assert!(self::sealer(key(2)).open(&row).is_err());
        assert!(sealer.open(&EquivalentRow { account: 8, ..row.clone() }).is_err());
        assert!(sealer.open(&EquivalentRow { scheme: WeakerScheme::Ntlm, ..row.clone() }).is_err());
        for at in 0..row.sealed.len() {
            let mut changed = row.clone();
            changed.sealed[at] ^= 1;
            assert!(sealer.open(&changed).is_err(), "{at}");
            assert!(
                sealer.open(&EquivalentRow { sealed: row.sealed[..at].to_vec(), ..row.clone() }).is_err()
            );
        }
    }

    #[test]
    fn a_key_that_is_gone_or_no_key_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.db.key");
        let row = sealed(&self::sealer(KeyPlace::File(path.clone())), "open sesame");
        let why = |content: Option<&str>| {
            match content {
                Some(content) => std::fs::write(&path, content).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            sealer(KeyPlace::File(path.clone())).open(&row).unwrap_err().to_string()
        };
        assert!(why(Some("short")).contains("it is not 32 bytes in base64"));
        assert!(why(Some(&STANDARD.encode([9; 32]))).contains("is not the key that they were sealed with"));
        assert!(why(None).contains("bring") && why(Some("")).contains("gate.db.key"));
    }
}
