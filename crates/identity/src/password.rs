//! Passwords: argon2id in a small pool of threads, and what a new one must be like.
//!
//! A password is the bytes that were sent: neither trimmed nor normalized. One verification is 19 MiB and some
//! 20 ms of one core, so it runs on threads of its own with a bounded queue: log-ins saturate, decisions do not.

pub(crate) mod pool;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use countersign_auth::port::Unavailable;
use countersign_auth::time::Random;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use pool::Pool;

/// Longer passwords are refused: hashing them would cost whoever is asked more than whoever asks (T-D15).
pub const PASSWORD_BYTES_MAX: usize = countersign_auth::scheme::basic::PASSWORD_BYTES_MAX;

/// How passwords are kept and what a new one must be like.
#[derive(Clone, Debug)]
pub struct PasswordOptions {
    /// Memory of one argon2id run, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Threads that work on passwords.
    pub threads: usize,
    /// Passwords that may wait for a thread; one more is refused as too many. At 20 ms each the last of 128
    /// waits 2.5 s on one thread: longer than that nobody waits for a log-in.
    pub queue: usize,
    /// The least number of characters of a new password.
    pub characters_min: usize,
}

impl Default for PasswordOptions {
    /// argon2id with 19 MiB and two passes, the OWASP recommendation; half of the machine's cores.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { memory_kib: 19 * 1024, passes: 2, threads: (cores / 2).max(1), queue: 128, characters_min: 8 }
    }
}

/// What a thread works in. Log-ins in a row work in the same: to get 19 MiB of the system and to give them back each time
/// costs a quarter of what the hash costs.
type Memory = Vec<Block>;

/// The length of an output in bytes; what is kept may have another one, up to this.
const OUTPUT_BYTES_MAX: usize = 64;

/// The queue is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy;

/// The pool that verifies and makes password hashes.
pub(crate) struct Passwords {
    pool: Pool<Memory>,
    kdf: Argon2<'static>,
    /// A hash of the same cost that no password opens: an unknown user costs what a wrong password costs.
    dummy: Arc<str>,
    runs: Arc<AtomicU64>,
    random: Arc<dyn Random>,
    characters_min: usize,
}

impl Passwords {
    pub(crate) fn start(options: &PasswordOptions, random: Arc<dyn Random>) -> Result<Self, Unavailable> {
        let failed = |error: &dyn std::fmt::Display| Unavailable(format!("could not set argon2 up: {error}"));
        let params =
            Params::new(options.memory_kib, options.passes, 1, None).map_err(|error| failed(&error))?;
        let kdf = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self {
            pool: Pool::start(options.threads, options.queue).map_err(|error| failed(&error))?,
            dummy: dummy(kdf.params(), &*random)?,
            kdf,
            runs: Arc::default(),
            random,
            characters_min: options.characters_min,
        })
    }

    /// Compares a password with a hash, or with the dummy: one run of the KDF either way. `None` if the hash is none, or the
    /// KDF could not be run.
    pub(crate) fn verify(
        &self,
        stored: Option<Arc<str>>,
        password: Zeroizing<String>,
    ) -> Result<oneshot::Receiver<Option<bool>>, Busy> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| Arc::clone(&self.dummy));
        let runs = Arc::clone(&self.runs);
        self.pool.submit(move |memory| {
            runs.fetch_add(1, Ordering::Relaxed);
            let opened = opens(&stored, password.as_bytes(), memory);
            if known { opened } else { Some(false) }
        })
    }

    /// Makes a hash for a new password, in PHC form.
    pub(crate) fn hash(
        &self,
        password: Zeroizing<String>,
    ) -> Result<oneshot::Receiver<Result<String, Unavailable>>, Busy> {
        let kdf = self.kdf.clone();
        let runs = Arc::clone(&self.runs);
        let random = Arc::clone(&self.random);
        self.pool.submit(move |memory| {
            runs.fetch_add(1, Ordering::Relaxed);
            let mut salt = [0; 16];
            random.fill(&mut salt)?;
            let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
            run(&kdf, password.as_bytes(), &salt, &mut output, memory)
                .map_err(|error| Unavailable(format!("could not hash a password: {error}")))?;
            Ok(phc(kdf.params(), &salt, &output))
        })
    }

    /// How often the KDF ran.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Whether a password may be set for an account that people know by these names; the error is for them.
    pub(crate) fn check_new(&self, password: &str, names: &[&str]) -> Result<(), &'static str> {
        well_formed(password)?;
        if password.chars().count() < self.characters_min {
            return Err("the new password is too short");
        }
        let lower = password.to_lowercase();
        if names.iter().any(|name| !name.is_empty() && name.to_lowercase() == lower) {
            return Err("the new password is the name of the account");
        }
        if COMMON.contains(lower.as_str()) {
            return Err("the new password is among the first that anybody tries");
        }
        Ok(())
    }
}

/// Whether a password opens a hash; `None` if that is none, or the KDF could not be run.
fn opens(stored: &str, password: &[u8], memory: &mut Memory) -> Option<bool> {
    let hash = PasswordHash::new(stored).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let kdf = Argon2::new(algorithm, version, Params::try_from(&hash).ok()?);
    let (salt, expected) = (hash.salt?, hash.hash?);
    let mut output = Zeroizing::new([0; OUTPUT_BYTES_MAX]);
    let output = output.get_mut(..expected.len())?;
    run(&kdf, password, &salt, output, memory).ok()?;
    Some(verify_slices_are_equal(output, expected.as_bytes()).is_ok())
}

/// One run of the KDF.
fn run(
    kdf: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Memory,
) -> argon2::Result<()> {
    memory.resize(kdf.params().block_count(), Block::default());
    kdf.hash_password_into_with_memory(password, salt, output, memory)
}

/// A hash in PHC form.
fn phc(params: &Params, salt: &[u8], output: &[u8]) -> String {
    let (memory_kib, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
    let (salt, output) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(output));
    format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${output}")
}

/// A hash with the parameters of real ones. Salt and output are both drawn: what would open it is unknown and as
/// good as nowhere, and no run of the KDF takes its memory before anybody logs in.
fn dummy(params: &Params, random: &dyn Random) -> Result<Arc<str>, Unavailable> {
    let (mut salt, mut output) = ([0; 16], [0; Params::DEFAULT_OUTPUT_LEN]);
    random.fill(&mut salt)?;
    random.fill(&mut output)?;
    Ok(phc(params, &salt, &output).into())
}

/// Whether a password could be one at all. Says nothing about any account.
pub(crate) fn well_formed(password: &str) -> Result<(), &'static str> {
    if password.is_empty() {
        return Err("the password is empty");
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err("the password is longer than 4096 bytes");
    }
    if password.contains('\0') {
        return Err("the password holds a NUL");
    }
    Ok(())
}

/// Passwords that guessing begins with, in lower case.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("password/common_passwords.txt").lines().collect());

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests"
    )]
    use super::*;
    use crate::world::OsRandom;

    fn passwords() -> Passwords {
        let options = PasswordOptions { memory_kib: 8, passes: 1, threads: 1, ..PasswordOptions::default() };
        Passwords::start(&options, Arc::new(OsRandom::default())).unwrap()
    }

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn hashes_open_for_their_password_only() {
        let passwords = passwords();
        let hash = passwords.hash(secret("open sesame")).unwrap().await.unwrap().unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        let hash: Arc<str> = Arc::from(hash);
        for (password, right) in [("open sesame", true), ("open sesame ", false), ("Open sesame", false)] {
            let answer = passwords.verify(Some(Arc::clone(&hash)), secret(password)).unwrap().await.unwrap();
            assert_eq!(answer, Some(right), "{password}");
        }
        assert_eq!(passwords.verify(None, secret("open sesame")).unwrap().await, Ok(Some(false)));
        assert_eq!(passwords.verify(Some(Arc::from("nonsense")), secret("x")).unwrap().await, Ok(None));
    }

    #[test]
    fn hashes_of_others_open() {
        use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
        let kdf = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 2, 1, None).unwrap());
        let theirs = kdf.hash_password_with_salt(b"open sesame", b"a salt of sixteen").unwrap().to_string();
        // In memory that another run left, of another size.
        let mut memory = vec![Block::default(); 8];
        assert_eq!(opens(&theirs, b"open sesame", &mut memory), Some(true));
        assert_eq!(opens(&theirs, b"Open sesame", &mut memory), Some(false));
        let mut output = [0; 32];
        run(&kdf, b"open sesame", b"sixteen bytes 16", &mut output, &mut memory).unwrap();
        let ours = phc(kdf.params(), b"sixteen bytes 16", &output);
        assert!(kdf.verify_password(b"open sesame", &PasswordHash::new(&ours).unwrap()).is_ok());
    }

    #[tokio::test]
    async fn the_dummy_looks_like_a_hash_and_costs_what_one_costs() {
        let passwords = passwords();
        let real = passwords.hash(secret("open sesame")).unwrap().await.unwrap().unwrap();
        let shape = |text: &str| {
            let hash = PasswordHash::new(text).unwrap();
            let length = |part: Option<usize>| part.unwrap();
            (
                hash.algorithm.to_string(),
                hash.version,
                hash.params.to_string(),
                length(hash.salt.map(|salt| salt.len())),
                length(hash.hash.map(|output| output.len())),
            )
        };
        assert_eq!(shape(&passwords.dummy), shape(&real));
        // It is compared to the end: no error in it saves the run.
        assert_eq!(opens(&passwords.dummy, b"open sesame", &mut Memory::new()), Some(false));
        assert_ne!(passwords.dummy, self::passwords().dummy);
    }

    #[test]
    fn new_passwords_are_checked() {
        let passwords = passwords();
        let check = |password: &str, expected: Result<(), &str>| {
            assert_eq!(passwords.check_new(password, &["ann@example.com", ""]), expected, "{password}");
        };
        check("correct horse", Ok(()));
        check("ÄÖÜäöüßé", Ok(()));
        check("seven77", Err("the new password is too short"));
        check("ÄÖÜäöüß", Err("the new password is too short"));
        check("Password1", Err("the new password is among the first that anybody tries"));
        check("Ann@Example.com", Err("the new password is the name of the account"));
        check("", Err("the password is empty"));
        check("with a \0 NUL", Err("the password holds a NUL"));
        check(&"x".repeat(4096), Ok(()));
        check(&"x".repeat(4097), Err("the password is longer than 4096 bytes"));
        assert!(COMMON.len() >= 300, "{}", COMMON.len());
        assert!(COMMON.iter().all(|word| *word == word.to_lowercase()));
    }
}
