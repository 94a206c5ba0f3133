//! Moments as dialects write and read them, always in UTC.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;

use crate::time::Time;

/// How a date is written: `http`, `rfc3339`, `unix`, `unix_ms`, or a strftime pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateFormat(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Rfc3339,
    Unix,
    UnixMs,
    Pattern(String),
}

/// Why a format is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DateFormatError {
    /// A conversion that is not known, or one that needs more than a moment in UTC.
    #[error("`{0}` is neither http, rfc3339, unix, unix_ms nor a strftime pattern")]
    Unknown(String),
    /// What is written with it cannot be read again as the same day.
    #[error("`{0}` does not tell year, month and day, so that a date cannot be read back")]
    Lossy(String),
}

/// No date of any format is longer; what is longer is not looked at.
const DATE_BYTES_MAX: usize = 64;
/// RFC 9110 section 5.6.7.
const IMF_FIXDATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
/// To the second, which every RFC 3339 reader takes.
const RFC3339: &str = "%Y-%m-%dT%H:%M:%SZ";
/// 2031-08-09 17:05:06: no two of its parts are alike.
const SAMPLE: Time = Time::from_unix_secs(1_944_061_506);

impl DateFormat {
    /// IMF-fixdate of HTTP headers: `Sat, 09 Aug 2031 17:05:06 GMT`.
    pub const HTTP: Self = Self(Kind::Http);
    /// `2031-08-09T17:05:06Z`.
    pub const RFC3339: Self = Self(Kind::Rfc3339);
    /// Seconds since the epoch.
    pub const UNIX: Self = Self(Kind::Unix);
    /// Milliseconds since the epoch.
    pub const UNIX_MS: Self = Self(Kind::UnixMs);

    /// Reads the name of a format, or a strftime pattern such as `%m/%d/%Y %H:%M:%S`.
    ///
    /// # Errors
    /// See [`DateFormatError`]; a pattern that is accepted can be written and read back.
    pub fn parse_format(text: &str) -> Result<Self, DateFormatError> {
        let format = match text {
            "http" => return Ok(Self::HTTP),
            "rfc3339" => return Ok(Self::RFC3339),
            "unix" => return Ok(Self::UNIX),
            "unix_ms" => return Ok(Self::UNIX_MS),
            pattern if pattern.contains('%') && pattern.len() <= DATE_BYTES_MAX => {
                Self(Kind::Pattern(text.to_owned()))
            }
            _ => return Err(DateFormatError::Unknown(text.to_owned())),
        };
        if write(text, SAMPLE).is_none() {
            return Err(DateFormatError::Unknown(text.to_owned()));
        }
        let day = |time: Time| time.unix_secs().div_euclid(86_400);
        if format.read(&format.format(SAMPLE)).map(day) != Some(day(SAMPLE)) {
            return Err(DateFormatError::Lossy(text.to_owned()));
        }
        Ok(format)
    }

    /// Writes a moment; one before the year -9999 or after 9999 as the last that can be written.
    pub fn format(&self, time: Time) -> String {
        let written = match &self.0 {
            Kind::Http => write(IMF_FIXDATE, time),
            Kind::Rfc3339 => write(RFC3339, time),
            Kind::Unix => Some(time.unix_secs().to_string()),
            Kind::UnixMs => Some(time.unix_ms().to_string()),
            Kind::Pattern(pattern) => write(pattern, time),
        };
        // A pattern that cannot be written was refused when it was read.
        written.unwrap_or_default()
    }

    /// Reads a moment; what names no time of day is midnight, what names no offset is UTC.
    ///
    /// `None` if the text is not of this format, or no moment: the 30th of February, the year 10000.
    pub fn read(&self, text: &str) -> Option<Time> {
        if text.len() > DATE_BYTES_MAX {
            return None;
        }
        match &self.0 {
            Kind::Http => read(IMF_FIXDATE, text),
            Kind::Rfc3339 => {
                let plain = !text.contains(['[', ' ']);
                plain.then(|| text.parse().ok()).flatten().map(time)
            }
            Kind::Unix => Timestamp::from_second(integer(text)?).ok().map(time),
            Kind::UnixMs => Timestamp::from_millisecond(integer(text)?).ok().map(time),
            Kind::Pattern(pattern) => read(pattern, text),
        }
    }
}

impl fmt::Display for DateFormat {
    /// The name or pattern that [`DateFormat::parse_format`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Http => "http",
            Kind::Rfc3339 => "rfc3339",
            Kind::Unix => "unix",
            Kind::UnixMs => "unix_ms",
            Kind::Pattern(pattern) => pattern,
        })
    }
}

fn write(pattern: &str, time: Time) -> Option<String> {
    let end = if time.unix_ms() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let moment = Timestamp::from_millisecond(time.unix_ms()).unwrap_or(end).to_zoned(TimeZone::UTC);
    strtime::format(pattern, &moment).ok()
}

fn read(pattern: &str, text: &str) -> Option<Time> {
    let parts = BrokenDownTime::parse(pattern, text).ok()?;
    let moment = match parts.to_timestamp() {
        Ok(moment) => moment,
        // Without an offset in the pattern.
        Err(_) if parts.offset().is_none() => {
            parts.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
        Err(_) => return None,
    };
    Some(time(moment))
}

fn time(moment: Timestamp) -> Time {
    Time::from_unix_ms(moment.as_millisecond())
}

/// Digits after at most one minus; `+5` and blanks are none.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::{any, proptest};

    use super::{DateFormat, SAMPLE};
    use crate::time::Time;

    #[test]
    fn written_and_read_back() {
        let check = |format: &str, expected: &str| {
            let parsed = DateFormat::parse_format(format).unwrap();
            assert_eq!(parsed.to_string(), format);
            assert_eq!(parsed.format(SAMPLE), expected, "{format}");
            assert_eq!(parsed.read(expected), Some(SAMPLE), "{format}");
        };
        check("http", "Sat, 09 Aug 2031 17:05:06 GMT");
        check("rfc3339", "2031-08-09T17:05:06Z");
        check("unix", "1944061506");
        check("unix_ms", "1944061506000");
        check("%m/%d/%Y %H:%M:%S", "08/09/2031 17:05:06");
        check("%d.%m.%Y %I:%M:%S %p", "09.08.2031 05:05:06 PM");
        check("%Y-%m-%dT%H:%M:%S%z", "2031-08-09T17:05:06+0000");
        check("%s%%", "1944061506%");
    }

    #[test]
    fn formats_that_are_none() {
        let check = |format: &str, expected: &str| {
            assert_eq!(DateFormat::parse_format(format).unwrap_err().to_string(), expected);
        };
        check("iso", "`iso` is neither http, rfc3339, unix, unix_ms nor a strftime pattern");
        check("%J", "`%J` is neither http, rfc3339, unix, unix_ms nor a strftime pattern");
        check("%Y %", "`%Y %` is neither http, rfc3339, unix, unix_ms nor a strftime pattern");
        check("%H:%M", "`%H:%M` does not tell year, month and day, so that a date cannot be read back");
        check("%Y-%m", "`%Y-%m` does not tell year, month and day, so that a date cannot be read back");
        assert!(DateFormat::parse_format(&"%Y".repeat(40)).is_err());
    }

    #[test]
    fn texts_that_are_read_or_not() {
        let check = |format: &str, text: &str, expected: Option<i64>| {
            let format = DateFormat::parse_format(format).unwrap();
            assert_eq!(format.read(text).map(Time::unix_ms), expected, "{format} {text}");
        };
        check("rfc3339", "2031-08-09T19:05:06.5+02:00", Some(1_944_061_506_500));
        check("rfc3339", "2031-08-09T17:05:06", None);
        check("rfc3339", "2031-08-09", None);
        check("rfc3339", "2031-08-09T17:05:06Z[Europe/Oslo]", None);
        check("rfc3339", "2031-02-30T17:05:06Z", None);
        check("http", "Sun, 09 Aug 2031 17:05:06 GMT", None);
        check("http", "Sat, 09 Aug 2031 17:05:06 CET", None);
        check("unix", "-1", Some(-1000));
        check("unix", "+1", None);
        check("unix", "", None);
        check("unix", "-", None);
        check("unix", "1e9", None);
        check("unix", &"0".repeat(65), None);
        check("unix", "1944061506000000", None);
        check("unix_ms", "9223372036854775807", None);
        check("%m/%d/%Y", "08/09/2031", Some(1_944_000_000_000));
        check("%m/%d/%Y", "02/30/2031", None);
        check("%m/%d/%Y", "08/09/2031 x", None);
        check("%m/%d/%Y %H:%M:%S", "08/09/2031", None);
        check("%Y-%m-%dT%H:%M:%S%z", "2031-08-09T19:05:06+0200", Some(1_944_061_506_000));
    }

    #[test]
    fn moments_beyond_the_calendar_are_still_written() {
        assert_eq!(DateFormat::RFC3339.format(Time::from_unix_ms(i64::MAX)), "9999-12-30T22:00:00Z");
        assert!(!DateFormat::HTTP.format(Time::from_unix_ms(i64::MIN)).is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), pattern in "(%[a-zA-Z0-9:.-]{1,3}|[ a/]){0,6}") {
            for format in [DateFormat::HTTP, DateFormat::RFC3339, DateFormat::UNIX, DateFormat::UNIX_MS] {
                let _ = format.read(&text);
            }
            if let Ok(format) = DateFormat::parse_format(&pattern) {
                let _ = format.read(&text);
                let _ = format.format(Time::from_unix_ms(0));
            }
        }

        #[test]
        fn moments_come_back(secs in -60_000_000_000_i64..250_000_000_000) {
            let time = Time::from_unix_secs(secs);
            let patterned = DateFormat::parse_format("%m/%d/%Y %H:%M:%S").unwrap();
            for format in [DateFormat::HTTP, DateFormat::RFC3339, DateFormat::UNIX, DateFormat::UNIX_MS, patterned] {
                assert_eq!(format.read(&format.format(time)), Some(time), "{format}");
            }
        }
    }
}
