//! How those are whom the gate asks, for operators: lines of `/ready` and of `/metrics`.

use std::fmt::Write as _;

use countersign_identity::directory::{HealthReport, Standing};
use countersign_identity::service::Service;

use super::called::Called;

/// What is not well, a line each. None of it keeps the gate from being ready: accounts of its own get in.
pub(super) fn remarks(service: &Service) -> Vec<String> {
    let down = |report: HealthReport| match report.standing {
        Standing::Down(why) => Some(format!("directory {} is down: {why}", report.name)),
        Standing::Up | Standing::Unasked => None,
    };
    service.directory_health().into_iter().filter_map(down).collect()
}

/// The text of OpenMetrics with what is counted here, before its end.
pub(super) fn with_metrics(
    mut text: String,
    service: &Service,
    called: &Called,
    lines_dropped: u64,
) -> String {
    const END: &str = "# EOF\n";
    let ended = text.ends_with(END);
    text.truncate(text.len() - if ended { END.len() } else { 0 });
    text.push_str("# HELP countersign_log_lines_dropped Log lines that nobody took in time, or that could not be written.\n");
    text.push_str("# TYPE countersign_log_lines_dropped counter\n");
    let _ = writeln!(text, "countersign_log_lines_dropped_total {lines_dropped}");
    called.append(&mut text);
    let reports = service.directory_health();
    if !reports.is_empty() {
        directories(&mut text, &reports);
    }
    text.push_str(END);
    text
}

fn directories(text: &mut String, reports: &[HealthReport]) {
    text.push_str("# HELP countersign_directory_up Whether a directory answered when it was last asked.\n");
    text.push_str("# TYPE countersign_directory_up gauge\n");
    for report in reports {
        let up = u8::from(report.standing == Standing::Up);
        let _ = writeln!(text, "countersign_directory_up{{directory=\"{}\"}} {up}", report.name);
    }
    text.push_str("# HELP countersign_directory_checks Passwords that directories were asked about.\n");
    text.push_str("# TYPE countersign_directory_checks counter\n");
    for report in reports {
        let HealthReport { name, right, wrong, busy, failed, .. } = report;
        for (outcome, count) in [("right", right), ("wrong", wrong), ("busy", busy), ("failed", failed)] {
            let labels = format!("directory=\"{name}\",outcome=\"{outcome}\"");
            let _ = writeln!(text, "countersign_directory_checks_total{{{labels}}} {count}");
        }
    }
}
