//! A strict reader of the text that `/metrics` answers: OpenMetrics 1.0, as far as the gate uses it.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::Site;
use crate::raw::Client;

/// A line with a value: `NAME{LABEL="VALUE",...} VALUE`.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads a page as a monitor does that forgives nothing; what is wrong with it, if anything is.
pub(crate) fn problem(text: &str) -> Option<String> {
    read(text).err()
}

fn read(text: &str) -> Result<(), String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no EOF")?;
    let mut families: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut now = String::new();
    let mut samples: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    for line in body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            now = help.split(' ').next().unwrap_or_default().to_owned();
            if families.contains_key(&now) || help.len() <= now.len() + 1 {
                return Err(format!("a family that was there, or without words: {line}"));
            }
            families.insert(now.clone(), String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or(line)?;
            let known = ["counter", "gauge", "histogram"].contains(&kind);
            if name != now || !known || families.insert(now.clone(), kind.to_owned()).as_deref() != Some("") {
                return Err(format!("no type of its family: {line}"));
            }
        } else {
            let sample = sample(line).ok_or_else(|| format!("cannot be read: {line}"))?;
            let suffix = sample.name.strip_prefix(&now).ok_or_else(|| format!("of no family: {line}"))?;
            let suffixes: &[&str] = match families.get(&now).map(String::as_str) {
                Some("counter") => &["_total"],
                Some("gauge") => &[""],
                Some("histogram") => &["_bucket", "_count", "_sum"],
                _ => &[],
            };
            if !suffixes.contains(&suffix) || !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return Err(format!("twice, or of another type: {line}"));
            }
            samples.entry(now.clone()).or_default().push(sample);
        }
    }
    for (family, _) in families.iter().filter(|(_, kind)| *kind == "histogram") {
        histogram(family, samples.get(family).map_or(&[], Vec::as_slice))?;
    }
    Ok(())
}

/// Buckets grow with their bounds, and the last is of everything.
fn histogram(family: &str, samples: &[Sample]) -> Result<(), String> {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        series.entry(labels).or_default().push(sample);
    }
    for (labels, samples) in series {
        let of = |suffix: &str| -> Vec<&&Sample> {
            samples.iter().filter(|sample| sample.name.strip_prefix(family) == Some(suffix)).collect()
        };
        let [count] = of("_count")[..] else { return Err(format!("{family} {labels:?}: no one count")) };
        if of("_sum").len() != 1 {
            return Err(format!("{family} {labels:?}: no one sum"));
        }
        let (mut bound, mut below) = (f64::NEG_INFINITY, 0.0);
        let buckets = of("_bucket");
        for bucket in &buckets {
            let le = match bucket.labels.get("le").map(String::as_str) {
                Some("+Inf") => f64::INFINITY,
                Some(le) => {
                    le.parse().ok().filter(|le: &f64| *le < 1e9).ok_or(format!("{family}: le={le}"))?
                }
                None => return Err(format!("{family} {labels:?}: a bucket without a bound")),
            };
            if le <= bound || bucket.value < below {
                return Err(format!("{family} {labels:?}: not in order, or not cumulative"));
            }
            (bound, below) = (le, bucket.value);
        }
        if bound.is_finite() || (below - count.value).abs() > f64::EPSILON {
            return Err(format!(
                "{family} {labels:?}: {} buckets end at {bound} with {below}",
                buckets.len()
            ));
        }
    }
    Ok(())
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok().filter(|value: &f64| value.is_finite())?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut read = BTreeMap::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (label, value) = label.split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        if !is_name(label)
            || value.contains(['"', '\\'])
            || read.insert(label.to_owned(), value.to_owned()).is_some()
        {
            return None;
        }
    }
    is_name(name).then(|| Sample { name: name.to_owned(), labels: read, value })
}

#[test]
fn the_whole_page_of_metrics_is_read_by_a_strict_monitor() {
    let site = Site::new(Vec::new());
    let mut gate = site.start();
    let administration =
        gate.said("listening for administration")["listener.address"].as_str().unwrap().parse().unwrap();
    for host in ["crm.example", "push.example", "nobody.example"] {
        let asked = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        Client::new(gate.address).exchange(0, asked.as_bytes()).unwrap();
    }
    let page =
        Client::new(administration).exchange(0, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let page = String::from_utf8(page.body).unwrap();
    assert_eq!(problem(&page), None, "{page}");
    for name in ["countersign_request_seconds_count{api=\"crm\"} 1", "countersign_log_lines_dropped_total 0"]
    {
        assert!(page.contains(name), "{name} is not in\n{page}");
    }
}

#[test]
fn a_page_that_a_monitor_would_not_take_is_told() {
    let good = "# HELP a Some.\n# TYPE a histogram\na_bucket{le=\"0.5\"} 1\na_bucket{le=\"+Inf\"} 2\na_count 2\na_sum 3.5\n# EOF\n";
    assert_eq!(problem(good), None);
    for (from, to) in [
        ("+Inf", "1.7976931348623157e308"),
        ("+Inf", "0.4"),
        ("a_bucket{le=\"+Inf\"} 2\n", ""),
        ("\"} 1", "\"} 3"),
        ("a_count 2", "a_count 3"),
        ("a_count 2\n", ""),
        ("a_sum 3.5", "a_sum 3.5\na_sum 3.5"),
        ("a_sum", "a_total"),
        ("# EOF\n", ""),
        ("# TYPE a histogram\n", ""),
        ("le=\"0.5\"", "le=0.5"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(bad != good && problem(&bad).is_some(), "{bad}");
    }
}
