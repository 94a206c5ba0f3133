//! What a client would rather have.

use countersign_auth::media;

/// An `Accept` field in the first line, and what is offered in the others.
pub fn accept(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let accept = lines.next().unwrap_or_default();
    let offered: Vec<String> = lines.map(str::to_owned).collect();
    let Some(first) = offered.first() else { return };
    let chosen = media::choose(Some(accept), &offered);
    assert!(offered.iter().any(|one| one == chosen), "something offered is chosen");
    assert_eq!(media::choose(None, &offered), first);
    assert_eq!(media::choose(Some("*/*"), &offered), first, "whoever takes everything gets the first");
    assert_eq!(media::choose(Some(accept), &[chosen.to_owned()]), chosen);
    // What is not chosen may be away.
    let fewer: Vec<String> = offered.iter().filter(|one| *one == chosen || *one == first).cloned().collect();
    assert_eq!(media::choose(Some(accept), &fewer), chosen);
}
