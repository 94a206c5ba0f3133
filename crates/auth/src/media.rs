//! Which of a few media types a client would rather have (RFC 9110 section 12.5.1).

/// The offered media type with the highest quality for an `Accept` header; the earlier one where two are equal.
///
/// The most specific range that fits a type gives its quality; parameters are not compared. Where nothing offered
/// is acceptable, or there is no header, the first is sent all the same: a client that asked for an image is
/// served better by an error that it cannot read than by one about its header. Ranges that cannot be read are
/// passed over.
///
/// `offered` holds full media types such as `application/json` or `text/html; charset=utf-8`; if it is empty so
/// is the answer.
pub fn choose<'a>(accept: Option<&str>, offered: &'a [String]) -> &'a str {
    let first = offered.first().map_or("", String::as_str);
    let Some(accept) = accept else { return first };
    let mut best = (first, 0);
    for media_type in offered {
        let quality = quality(accept, media_type);
        if quality > best.1 {
            best = (media_type, quality);
        }
    }
    best.0
}

/// Genuine lists name some dozen; the rest of a longer one is not read.
const RANGES_MAX: usize = 64;

/// In thousandths; 0 is not acceptable.
fn quality(accept: &str, media_type: &str) -> u16 {
    let (kind, subtype) = essence(media_type);
    let mut found = (0, 0);
    for range in accept.split(',').take(RANGES_MAX) {
        let (range_kind, range_subtype) = essence(range);
        let specificity = match (range_kind, range_subtype) {
            ("*", "*") => 1,
            (wanted, "*") if wanted.eq_ignore_ascii_case(kind) => 2,
            (wanted, exactly)
                if wanted.eq_ignore_ascii_case(kind) && exactly.eq_ignore_ascii_case(subtype) =>
            {
                3
            }
            _ => continue,
        };
        let Some(weight) = weight(range) else { continue };
        // Of two ranges that say the same, the kinder one counts.
        found = found.max((specificity, weight));
    }
    found.1
}

/// Type and subtype, without parameters; two empty texts if it is none.
fn essence(media_type: &str) -> (&str, &str) {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    // Java's URLConnection sends a lone `*`.
    if essence == "*" { ("*", "*") } else { essence.split_once('/').unwrap_or_default() }
}

/// The weight of a range in thousandths (RFC 9110 section 12.4.2); `None` if it cannot be read.
fn weight(range: &str) -> Option<u16> {
    let weight = range.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(weight) = weight else { return Some(1000) };
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// `json` of `application/json; charset=utf-8`.
pub(crate) fn subtype(media: &str) -> &str {
    let essence = media.split(';').next().unwrap_or_default().trim();
    essence.split_once('/').map_or("", |(_, subtype)| subtype)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::choose;

    /// What `Accept` brings of what is offered, parted by blanks.
    fn check(accept: &str, offered: &str, expected: &str) {
        let offered: Vec<_> = offered.split(' ').map(str::to_owned).collect();
        assert_eq!(choose(Some(accept), &offered), expected, "{accept}");
    }

    #[test]
    fn the_best_is_chosen() {
        const BOTH: &str = "application/xml application/json";
        check("application/json", BOTH, "application/json");
        check("APPLICATION/JSON", BOTH, "application/json");
        check("application/json;charset=utf-8", BOTH, "application/json");
        check("application/xml, application/json", BOTH, "application/xml");
        check("application/xml;q=0.8, application/json", BOTH, "application/json");
        check("application/xml;q=0.8 , application/json ; q=0.9", BOTH, "application/json");
        check("application/json;q=0.001, */*;q=0", BOTH, "application/json");
        check("*/*", BOTH, "application/xml");
        check("*", BOTH, "application/xml");
        check("application/*, application/xml;q=0.5", BOTH, "application/json");
        check("*/*;q=0.1, application/xml;q=0", BOTH, "application/json");
        check("text/*, application/json;q=0.5", BOTH, "application/json");
        check(
            "application/json, text/json, text/x-json, text/javascript, application/xml, text/xml",
            "application/json text/html",
            "application/json",
        );
        check(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "application/json text/html",
            "text/html",
        );
        check("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", BOTH, "application/xml");
    }

    #[test]
    fn the_first_where_nothing_fits() {
        const BOTH: &str = "application/xml application/json";
        for accept in [
            "",
            "image/png",
            "application/json;q=0",
            "application/json;q=2",
            "application/json;q=0.1234",
            "application/json;q=x",
            "application",
            "/",
            "*/json",
            ";;,,=",
            "application/json;q=-1",
        ] {
            check(accept, BOTH, "application/xml");
        }
        assert_eq!(choose(None, &["text/plain".to_owned()]), "text/plain");
        assert_eq!(choose(Some("*/*"), &[]), "");
    }

    proptest! {
        #[test]
        fn something_offered_is_chosen(accept in any::<String>(), odd in "[a-z*/;,=q.01 ]{0,40}") {
            let offered = ["text/xml".to_owned(), "a/b".to_owned()];
            for accept in [accept, odd] {
                let chosen = choose(Some(&accept), &offered);
                assert!(offered.iter().any(|media_type| media_type == chosen));
            }
        }
    }
}
