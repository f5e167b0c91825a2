//! UTC instants.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The names of the months, in small letters.
pub(crate) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// A UTC instant in microseconds since 1970. Years -9999 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970; InvalidInput outside the years -9999 to 9999.
    pub fn from_micros(micros: i64) -> Result<Self> {
        jiff::Timestamp::from_microsecond(micros)
            .map(|_| Self(micros))
            .map_err(|_| Error::invalid("a time must lie between the years -9999 and 9999"))
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 (`2023-05-08T13:56:00Z`, any offset), or a date alone (midnight UTC), or a date and time without an
    /// offset (taken as UTC).
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let bad =
            || Error::invalid("a time must be RFC 3339, like 2023-05-08T13:56:00Z, between the years -9999 and 9999");
        if text.len() > 64 {
            return Err(bad());
        }
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Self::from_micros(t.as_microsecond()).map_err(|_| bad());
        }
        let civil: jiff::civil::DateTime = text.parse().map_err(|_| bad())?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
        Self::from_micros(zoned.timestamp().as_microsecond()).map_err(|_| bad())
    }

    /// Itself, or InvalidInput outside the years 1 to 9999: what RFC 3339 can write and the dates of every language can hold.
    /// Surfaces whose callers give and take text ask for it.
    pub fn in_calendar(self) -> Result<Self> {
        match self.ymd().0 {
            1..=9999 => Ok(self),
            _ => Err(Error::invalid("a time must lie between the years 1 and 9999")),
        }
    }

    /// The instant `duration` later, held inside the range.
    pub fn saturating_add(self, duration: std::time::Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let last = jiff::Timestamp::MAX.as_second().saturating_mul(1_000_000);
        Self(self.0.saturating_add(micros).min(last.max(self.0)))
    }

    /// The instant `seconds` later (earlier when negative), held inside the range.
    pub fn saturating_add_seconds(self, seconds: i64) -> Self {
        let micros = self.0.saturating_add(seconds.saturating_mul(1_000_000));
        // Whole seconds: jiff's last second has no microseconds but the first.
        let [min, max] = [jiff::Timestamp::MIN, jiff::Timestamp::MAX].map(|t| t.as_second().saturating_mul(1_000_000));
        Self(micros.clamp(min, max))
    }

    /// The first instant of the UTC day after this one's, held inside the range.
    pub fn next_day(self) -> Self {
        self.midnight(|date| date.tomorrow())
    }

    /// The first instant of the UTC month after this one's, held inside the range.
    pub fn next_month(self) -> Self {
        self.midnight(|date| date.last_of_month().tomorrow())
    }

    fn midnight(self, next: impl Fn(jiff::civil::Date) -> std::result::Result<jiff::civil::Date, jiff::Error>) -> Self {
        let at = next(self.civil().date()).and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC));
        at.ok().and_then(|at| Self::from_micros(at.timestamp().as_microsecond()).ok()).unwrap_or(self)
    }

    /// Days from `earlier` to `self`; negative when `self` is the earlier one.
    pub fn days_since(self, earlier: Self) -> f64 {
        (self.0 as f64 - earlier.0 as f64) / 86_400e6
    }

    fn civil(self) -> jiff::civil::DateTime {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => t.to_zoned(jiff::tz::TimeZone::UTC).datetime(),
            // Out of range cannot be built; the epoch is a harmless answer.
            Err(_) => jiff::civil::DateTime::default(),
        }
    }

    /// Year, month (1 to 12) and day of the month in UTC.
    pub fn ymd(self) -> (i16, i8, i8) {
        let d = self.civil().date();
        (d.year(), d.month(), d.day())
    }

    /// The date in words, as it goes into the indexed text: `8 May, 2023`.
    pub fn in_words(self) -> String {
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let (year, month, day) = self.ymd();
        let name = usize::try_from(month - 1).ok().and_then(|m| MONTHS.get(m)).copied().unwrap_or_default();
        format!("{day} {name}, {year}")
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many decimals as needed, for example `2023-05-08T13:56:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl TryFrom<String> for Timestamp {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Timestamp> for String {
    fn from(t: Timestamp) -> Self {
        t.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_what_it_prints() {
        for text in
            ["2023-05-08T13:56:00Z", "1969-12-31T23:59:59.5Z", "-009999-06-01T00:00:00Z", "9999-06-30T22:00:00Z"]
        {
            let t = Timestamp::parse(text).unwrap();
            assert_eq!(Timestamp::parse(&t.to_string()).unwrap(), t);
        }
        assert_eq!(Timestamp::parse("2023-05-08T15:56:00+02:00").unwrap().to_string(), "2023-05-08T13:56:00Z");
        assert_eq!(Timestamp::parse("2023-05-08").unwrap().to_string(), "2023-05-08T00:00:00Z");
    }

    #[test]
    fn nonsense_and_years_out_of_range_are_invalid_input() {
        for text in ["", "yesterday", "2023-02-30", "10000-01-01T00:00:00Z", "2023-13-01", "1700000000"] {
            assert_eq!(Timestamp::parse(text).unwrap_err().kind(), crate::ErrorKind::InvalidInput, "{text}");
        }
        assert!(Timestamp::from_micros(i64::MAX).is_err());
    }

    #[test]
    fn a_lease_of_any_length_ends_inside_the_range_of_times() {
        use std::time::Duration;
        let now = Timestamp::parse("2026-01-01").unwrap();
        assert_eq!(now.saturating_add(Duration::from_millis(1_500)).micros(), now.micros() + 1_500_000);
        assert_eq!(now.saturating_add(Duration::MAX), now.saturating_add_seconds(i64::MAX));
    }

    #[test]
    fn the_first_and_the_last_instant_read_back_and_nothing_beyond_is_taken() {
        let now = Timestamp::parse("2026-01-01").unwrap();
        for end in [now.saturating_add_seconds(i64::MIN), now.saturating_add_seconds(i64::MAX)] {
            assert_eq!(Timestamp::from_micros(end.micros()).unwrap(), end);
            assert_eq!(Timestamp::parse(&end.to_string()).unwrap(), end);
        }
        // Parsed by jiff, but no instant of its that is made from microseconds: it was stored and could never be read again.
        let last = "9999-12-30T22:00:00.999999Z";
        assert!(Timestamp::parse(last).is_err_and(|e| e.kind() == crate::ErrorKind::InvalidInput));
        assert!(Timestamp::parse(last.trim_end_matches('Z')).is_err());
    }

    #[test]
    fn the_date_in_words_is_day_month_year() {
        assert_eq!(Timestamp::parse("2023-05-08T23:59:59Z").unwrap().in_words(), "8 May, 2023");
    }
}
