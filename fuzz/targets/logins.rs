//! What browsers bring back from an issuer.

use countersign_auth::derive::DerivationKey;
use countersign_auth::scheme::code::{Begun, Browser, RANDOM_BYTES, StateError, Way};

use super::anybody::NOW;

/// A state in the first line, a cookie in the second, a way back in the third: nobody who lacks the key makes a state that
/// opens, and one that was made here opens for its browser, API and issuer as long as nobody has changed it.
pub fn logins(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.splitn(3, '\n');
    let (state, cookie, back) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let key = DerivationKey::new([7; 32]);
    let way = Way { key: &key, api: "crm", issuer: "corp" };
    let known = Browser::parse(cookie);
    if let Some(browser) = &known {
        assert!(browser.expose() == cookie && cookie.len() == 43, "32 bytes in base64url: {cookie}");
        assert_eq!(way.open(browser, state, NOW), Err(StateError::Foreign));
    }
    let is_known = known.is_some();
    let mut random = [0x5a; RANDOM_BYTES];
    random.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let gone = way.depart(known, &random, NOW, back).expect("the cipher works");
    assert_eq!(gone.browser.expose() == cookie, is_known);
    let begun = |back: &str| Ok(Begun { at: NOW, back: back.to_owned() });
    assert_eq!(way.open(&gone.browser, &gone.state, NOW), begun(if back.len() <= 1024 { back } else { "" }));
    for other in
        [Way { api: "crn", ..way }, Way { issuer: "corq", ..way }, Way { api: "crmc", issuer: "orp", ..way }]
    {
        assert_eq!(other.open(&gone.browser, &gone.state, NOW), Err(StateError::Foreign));
        assert_ne!(other.nonce(&gone.browser, &gone.state), gone.nonce);
    }
    // One letter is another, wherever the input says.
    let mut changed = gone.state.clone().into_bytes();
    let at = bytes.iter().fold(0_usize, |sum, byte| sum * 31 % 65_521 + usize::from(*byte)) % changed.len();
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).expect("base64url");
    assert_eq!(way.open(&gone.browser, &changed, NOW), Err(StateError::Foreign));
}
