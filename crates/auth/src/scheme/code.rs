//! Log-ins with a foreign issuer in a browser: what travels with the browser, and what is made of it.
//!
//! ```text
//! browser ─▶ gate     GET …/ISSUER                    cookie: 32 random bytes, which no script reads
//! browser ─▶ issuer   ?state=…&nonce=…&code_challenge=…
//! browser ─▶ gate     GET …/ISSUER?code=…&state=…     the cookie comes along
//! gate    ─▶ issuer   code, code_verifier             ◀─ an ID token with that nonce
//! ```
//!
//! The gate keeps nothing meanwhile. `state` is sealed under a key that is derived from API, issuer and the browser's
//! cookie: the state of another browser, another issuer (mix-up) or another API does not open (RFC 9700 sections 4.4
//! and 4.7). `nonce` (OpenID Connect Core 1.0 section 3.1.2.1) and the PKCE verifier (RFC 7636) are derived from cookie
//! and state, so that a code of another log-in is worth nothing here, whoever slips it in.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::derive::{DerivationKey, Derived, derive};
use crate::secret::Secret;
use crate::time::Time;

/// The cookie that says which browser a log-in began in, where the issuer sends browsers back in clear.
pub const COOKIE: &str = "Countersign-Login";
/// The same where it sends them back over TLS: with this prefix no other host of the domain can plant one.
pub const COOKIE_OF_HOST: &str = "__Host-Countersign-Login";
/// How long a log-in with an issuer may take, with whatever it asks people for.
pub const LIFETIME_SECS: u32 = 600;

/// Random bytes for one departure: a browser's name and the seal's nonce.
pub const RANDOM_BYTES: usize = BROWSER_BYTES + NONCE_LEN;

const BROWSER_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
/// Longer ways back are forgotten: issuers limit what they carry.
const BACK_BYTES_MAX: usize = 1024;
/// What the longest state is, in base64url, with room to spare.
const STATE_BYTES_MAX: usize = 2048;

/// Which browser a log-in belongs to.
pub struct Browser(Secret);

impl Browser {
    /// A cookie's value, if it is of the form that the gate sets.
    pub fn parse(value: &str) -> Option<Self> {
        let is_one = URL_SAFE_NO_PAD.decode(value).is_ok_and(|bytes| bytes.len() == BROWSER_BYTES);
        is_one.then(|| Self(Secret::new(value)))
    }

    fn new(random: &[u8]) -> Self {
        Self(Secret::new(URL_SAFE_NO_PAD.encode(random)))
    }

    /// What the cookie says.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// All that a browser takes along.
pub struct Departure {
    /// For the cookie.
    pub browser: Browser,
    /// `state`.
    pub state: String,
    /// `nonce`.
    pub nonce: String,
    /// `code_challenge`, of the method `S256`.
    pub challenge: String,
}

/// What a state that opens says.
#[derive(Debug, PartialEq, Eq)]
pub struct Begun {
    /// When the log-in began.
    pub at: Time,
    /// Where it leads back to; may be empty.
    pub back: String,
}

/// Why a state proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It was never made here, or for another browser, issuer or API, or was changed.
    #[error("the state is not of a log-in that began here, in this browser, with this issuer")]
    Foreign,
    /// The log-in took longer than [`LIFETIME_SECS`].
    #[error("the log-in took too long")]
    Expired,
}

/// One API and issuer.
#[derive(Clone, Copy)]
pub struct Way<'w> {
    /// The gate's.
    pub key: &'w DerivationKey,
    /// The API's name.
    pub api: &'w str,
    /// The name that the API's configuration has for the log-in.
    pub issuer: &'w str,
}

impl Way<'_> {
    /// Lets a browser go; one that has a log-in under way in another tab keeps its name. `None` only if the cipher
    /// fails.
    pub fn depart(
        &self,
        known: Option<Browser>,
        random: &[u8; RANDOM_BYTES],
        now: Time,
        back: &str,
    ) -> Option<Departure> {
        let (name, nonce) = random.split_first_chunk::<BROWSER_BYTES>()?;
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).ok()?;
        let browser = known.unwrap_or_else(|| Browser::new(name));
        let mut bytes = now.unix_secs().to_be_bytes().to_vec();
        if back.len() <= BACK_BYTES_MAX {
            bytes.extend_from_slice(back.as_bytes());
        }
        let key = self.seal(&browser)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes).ok()?;
        let state = URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat());
        let challenge =
            URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier(&browser, &state).expose().as_bytes()));
        Some(Departure { nonce: self.nonce(&browser, &state), challenge, browser, state })
    }

    /// Opens the state that a browser came back with.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(&self, browser: &Browser, state: &str, now: Time) -> Result<Begun, StateError> {
        if state.len() > STATE_BYTES_MAX {
            return Err(StateError::Foreign);
        }
        let bytes = URL_SAFE_NO_PAD.decode(state).map_err(|_| StateError::Foreign)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(StateError::Foreign)?;
        let mut sealed = sealed.to_vec();
        let key = self.seal(browser).ok_or(StateError::Foreign)?;
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut sealed)
            .map_err(|_| StateError::Foreign)?;
        let (secs, back) = opened.split_first_chunk::<TIME_BYTES>().ok_or(StateError::Foreign)?;
        let at = Time::from_unix_secs(i64::from_be_bytes(*secs));
        if now.unix_secs() >= at.unix_secs().saturating_add(i64::from(LIFETIME_SECS)) {
            return Err(StateError::Expired);
        }
        let back = String::from_utf8(back.to_vec()).map_err(|_| StateError::Foreign)?;
        Ok(Begun { at, back })
    }

    /// `nonce` of the ID token that such a log-in ends with.
    pub fn nonce(&self, browser: &Browser, state: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.derived("login nonce", browser, &[state]))
    }

    /// `code_verifier`: 43 letters, which the issuer's answer and the browser never say.
    pub fn verifier(&self, browser: &Browser, state: &str) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.derived("login verifier", browser, &[state])))
    }

    fn seal(&self, browser: &Browser) -> Option<LessSafeKey> {
        let key = self.derived("login state", browser, &[]);
        UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
    }

    fn derived(&self, label: &str, browser: &Browser, more: &[&str]) -> Derived {
        let parts: Vec<&str> =
            [self.api, self.issuer, browser.expose()].into_iter().chain(more.iter().copied()).collect();
        derive(self.key, label, &parts, 32)
    }
}

/// The cookie's name for an issuer that sends browsers back to that address.
pub fn cookie_for(redirect: &str) -> &'static str {
    if returns_over_tls(redirect) { COOKIE_OF_HOST } else { COOKIE }
}

/// Whether browsers come back over TLS.
pub fn returns_over_tls(redirect: &str) -> bool {
    redirect.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    const NOW: Time = Time::from_unix_secs(1_800_000_000);

    fn way<'w>(key: &'w DerivationKey, api: &'w str, issuer: &'w str) -> Way<'w> {
        Way { key, api, issuer }
    }

    #[test]
    fn a_state_opens_where_and_when_it_was_made_for_alone() {
        let key = DerivationKey::new([7; 32]);
        let own = way(&key, "crm", "corp");
        let gone = own.depart(None, &[1; RANDOM_BYTES], NOW, "/crm/x?y=1").unwrap();
        assert_eq!(
            own.open(&gone.browser, &gone.state, NOW),
            Ok(Begun { at: NOW, back: "/crm/x?y=1".to_owned() })
        );
        assert!(!gone.state.contains("crm") && gone.browser.expose().len() == 43);
        let foreign = Err(StateError::Foreign);
        let other_key = DerivationKey::new([8; 32]);
        for other in [way(&key, "crn", "corp"), way(&key, "crm", "corq"), way(&other_key, "crm", "corp")] {
            assert_eq!(other.open(&gone.browser, &gone.state, NOW), foreign);
        }
        assert_eq!(own.open(&Browser::new(&[2; 32]), &gone.state, NOW), foreign);
        let mut changed = gone.state.clone().into_bytes();
        for at in 0..changed.len() {
            let old = changed[at];
            changed[at] = if old == b'A' { b'B' } else { b'A' };
            assert_eq!(own.open(&gone.browser, std::str::from_utf8(&changed).unwrap(), NOW), foreign, "{at}");
            changed[at] = old;
        }
        for broken in ["", "A", "AAAA", "=", &gone.state[1..], &"A".repeat(4096)] {
            assert_eq!(own.open(&gone.browser, broken, NOW), foreign, "{broken}");
        }
        let later = |secs: i64| Time::from_unix_secs(NOW.unix_secs() + secs);
        assert!(own.open(&gone.browser, &gone.state, later(599)).is_ok());
        assert_eq!(own.open(&gone.browser, &gone.state, later(600)), Err(StateError::Expired));
    }

    #[test]
    fn a_browser_keeps_its_name_and_each_log_in_has_proofs_of_its_own() {
        let key = DerivationKey::new([7; 32]);
        let own = way(&key, "crm", "corp");
        let first = own.depart(None, &[1; RANDOM_BYTES], NOW, "").unwrap();
        let known = Browser::parse(first.browser.expose());
        let second = own.depart(known, &[2; RANDOM_BYTES], NOW, "").unwrap();
        assert_eq!(first.browser.expose(), second.browser.expose());
        assert!(
            first.state != second.state && first.nonce != second.nonce && first.challenge != second.challenge
        );
        assert!(own.open(&first.browser, &second.state, NOW).is_ok());
        // RFC 7636 section 4.2.
        let verifier = own.verifier(&first.browser, &first.state);
        assert_eq!(verifier.expose().len(), 43);
        assert_eq!(URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes())), first.challenge);
        for no_name in ["", "short", &"A".repeat(42), &"=".repeat(43), &"A".repeat(44)] {
            assert!(Browser::parse(no_name).is_none(), "{no_name}");
        }
    }

    #[test]
    fn a_way_back_that_is_too_long_is_forgotten() {
        let key = DerivationKey::new([7; 32]);
        let own = way(&key, "crm", "corp");
        let back = format!("/{}", "x".repeat(BACK_BYTES_MAX));
        let gone = own.depart(None, &[1; RANDOM_BYTES], NOW, &back).unwrap();
        assert_eq!(own.open(&gone.browser, &gone.state, NOW).unwrap().back, "");
        let gone = own.depart(None, &[1; RANDOM_BYTES], NOW, &back[1..]).unwrap();
        assert!(gone.state.len() <= STATE_BYTES_MAX, "no state that is made is too long");
        assert_eq!(own.open(&gone.browser, &gone.state, NOW).unwrap().back, back[1..]);
    }
}
