//! Dates in words, resolved against the time of the statement. UTC: nobody says in which zone a text was written.

use super::clause::Word;
use crate::model::Timestamp;
use jiff::{Span, ToSpan, civil::Date, civil::Weekday, tz::TimeZone};

/// Largest number of days, weeks, months or years that a phrase may count.
const COUNT_MAX: i64 = 999;

/// Where a date without a year, or a day of the week, lies when seen from the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Toward {
    /// What happened.
    Past,
    /// What is arranged.
    Future,
}

/// A date found in a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When {
    /// First day.
    pub from: Date,
    /// The day after the last.
    pub until: Date,
    /// Place of its first word.
    pub first: usize,
    /// How many words it has.
    pub len: usize,
    /// Whether the year was said or follows from what was said.
    pub has_year: bool,
}

impl When {
    /// The first instant.
    pub fn start(&self) -> Option<Timestamp> {
        instant(self.from)
    }

    /// The instant after the last.
    pub fn end(&self) -> Option<Timestamp> {
        instant(self.until)
    }

    /// Whether it is one day.
    pub fn is_day(&self) -> bool {
        self.from.tomorrow().is_ok_and(|next| next == self.until)
    }

    /// The date as a value: `2026-05-03`, `05-03` without a year, `2026-05` for a month, `2026` for a year.
    pub fn value(&self) -> String {
        let (year, month, day) = (self.from.year(), self.from.month(), self.from.day());
        if self.is_day() {
            return if self.has_year {
                format!("{year:04}-{month:02}-{day:02}")
            } else {
                format!("{month:02}-{day:02}")
            };
        }
        if self.from.last_of_month().tomorrow().is_ok_and(|next| next == self.until) {
            return format!("{year:04}-{month:02}");
        }
        if month == 1 && day == 1 && self.until.year() == year.saturating_add(1) {
            return format!("{year:04}");
        }
        format!("{year:04}-{month:02}-{day:02}")
    }
}

fn instant(date: Date) -> Option<Timestamp> {
    let at = date.to_zoned(TimeZone::UTC).ok()?;
    Timestamp::from_micros(at.timestamp().as_microsecond()).ok()
}

fn day_of(at: Timestamp) -> Option<Date> {
    Some(jiff::Timestamp::from_microsecond(at.micros()).ok()?.to_zoned(TimeZone::UTC).date())
}

/// The first date in `words`.
pub(super) fn find(words: &[Word], said: Timestamp, toward: Toward) -> Option<When> {
    let today = day_of(said)?;
    let low: Vec<&str> = words.iter().map(|w| w.low.as_str()).collect();
    (0..low.len()).find_map(|first| {
        let (from, until, len, has_year) = at_words(low.get(first..)?, today, toward)?;
        Some(When { from, until, first, len, has_year })
    })
}

type Found = Option<(Date, Date, usize, bool)>;

fn at_words(words: &[&str], today: Date, toward: Toward) -> Found {
    let day = |date: Option<Date>, len: usize| {
        let date = date?;
        Some((date, date.tomorrow().ok()?, len, true))
    };
    match words {
        ["the", "day", "before", "yesterday", ..] => day(plus(today, (-2).days()), 4),
        ["yesterday", "morning" | "afternoon" | "evening" | "night", ..] => day(plus(today, (-1).days()), 2),
        ["yesterday", ..] => day(plus(today, (-1).days()), 1),
        ["today" | "tonight", ..] => day(Some(today), 1),
        ["this", "morning" | "afternoon" | "evening", ..] => day(Some(today), 2),
        ["tomorrow", ..] => day(plus(today, 1.days()), 1),
        ["last", "night", ..] => day(plus(today, (-1).days()), 2),
        ["last" | "past", unit, ..] => relative(unit, today, -1).map(|(from, until)| (from, until, 2, true)),
        ["next", unit, ..] => relative(unit, today, 1).map(|(from, until)| (from, until, 2, true)),
        ["this", "year", ..] => relative("year", today, 0).map(|(from, until)| (from, until, 2, true)),
        ["since" | "in", year, ..] if year_of(year).is_some() => {
            let year = year_of(year)?;
            Some((Date::new(year, 1, 1).ok()?, Date::new(year.checked_add(1)?, 1, 1).ok()?, 2, true))
        }
        ["since" | "in", month, rest @ ..] if month_of(month).is_some() => in_month(month, rest, today, toward),
        ["on", weekday, ..] if weekday_of(weekday).is_some() => day(weekday_near(weekday, today, toward), 2),
        ["on", rest @ ..] => written(rest, today, toward).map(|(from, until, len, year)| (from, until, len + 1, year)),
        [count, unit, "ago", ..] => ago(count, unit, today).map(|(from, until)| (from, until, 3, true)),
        _ => written(words, today, toward),
    }
}

fn plus(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

/// The span of the unit or weekday before (-1) or after (1) today's.
fn relative(unit: &str, today: Date, by: i64) -> Option<(Date, Date)> {
    match unit {
        "week" => {
            let monday = plus(today, (-i64::from(today.weekday().to_monday_zero_offset())).days())?;
            let from = plus(monday, (by * 7).days())?;
            Some((from, plus(from, 7.days())?))
        }
        "weekend" => {
            let monday = plus(today, (-i64::from(today.weekday().to_monday_zero_offset())).days())?;
            let saturday = plus(monday, (by * 7 + 5).days())?;
            Some((saturday, plus(saturday, 2.days())?))
        }
        "month" => {
            let from = plus(today.first_of_month(), by.months())?;
            Some((from, plus(from, 1.months())?))
        }
        "year" => {
            let from = plus(today.first_of_year(), by.years())?;
            Some((from, plus(from, 1.years())?))
        }
        _ if weekday_of(unit).is_some() => {
            let weekday = weekday_of(unit)?;
            let from = if by < 0 { before(today, weekday, false)? } else { after(today, weekday)? };
            Some((from, from.tomorrow().ok()?))
        }
        _ => {
            let month = month_of(unit).filter(|_| by < 0)?;
            let year = if month < today.month() { today.year() } else { today.year().checked_sub(1)? };
            let from = Date::new(year, month, 1).ok()?;
            Some((from, plus(from, 1.months())?))
        }
    }
}

fn before(today: Date, weekday: Weekday, or_today: bool) -> Option<Date> {
    let back = i64::from(today.weekday().since(weekday));
    plus(today, (-(if back == 0 && !or_today { 7 } else { back })).days())
}

fn after(today: Date, weekday: Weekday) -> Option<Date> {
    let ahead = i64::from(weekday.since(today.weekday()));
    plus(today, (if ahead == 0 { 7 } else { ahead }).days())
}

fn weekday_near(name: &str, today: Date, toward: Toward) -> Option<Date> {
    let weekday = weekday_of(name)?;
    match toward {
        Toward::Past => before(today, weekday, true),
        Toward::Future => after(today, weekday),
    }
}

fn ago(count: &str, unit: &str, today: Date) -> Option<(Date, Date)> {
    let count = number_of(count).filter(|n| (1..=COUNT_MAX).contains(n))?;
    let unit = unit.strip_suffix('s').unwrap_or(unit);
    match unit {
        "day" | "week" => {
            let from = plus(today, (-count * if unit == "week" { 7 } else { 1 }).days())?;
            Some((from, from.tomorrow().ok()?))
        }
        "month" => {
            let from = plus(today.first_of_month(), (-count).months())?;
            Some((from, plus(from, 1.months())?))
        }
        "year" => {
            let from = plus(today.first_of_year(), (-count).years())?;
            Some((from, plus(from, 1.years())?))
        }
        _ => None,
    }
}

/// "in March", "since May 2019".
fn in_month(month: &str, rest: &[&str], today: Date, toward: Toward) -> Found {
    // "in May 3" is none.
    let month = month_of(month)?;
    if let Some(year) = rest.first().and_then(|word| year_of(word)) {
        let from = Date::new(year, month, 1).ok()?;
        return Some((from, plus(from, 1.months())?, 3, true));
    }
    let ahead = month > today.month() || (month == today.month() && toward == Toward::Future);
    let year = match (toward, ahead) {
        (Toward::Past, true) => today.year().checked_sub(1)?,
        (Toward::Future, false) => today.year().checked_add(1)?,
        _ => today.year(),
    };
    let from = Date::new(year, month, 1).ok()?;
    Some((from, plus(from, 1.months())?, 2, true))
}

/// "3 May", "May 3rd, 2024", "the 3rd of May", "2024-05-03".
fn written(words: &[&str], today: Date, toward: Toward) -> Found {
    let (day, month, len) = match words {
        [iso, ..] if iso.len() == 10 && iso.bytes().filter(|b| *b == b'-').count() == 2 => {
            let date: Date = iso.parse().ok()?;
            return Some((date, date.tomorrow().ok()?, 1, true));
        }
        ["the", day, "of", month, ..] => (day_number(day)?, month_of(month)?, 4),
        [day, "of", month, ..] => (day_number(day)?, month_of(month)?, 3),
        ["the", day, month, ..] => (day_number(day)?, month_of(month)?, 3),
        [month, "the", day, ..] => (day_number(day)?, month_of(month)?, 3),
        [a, b, ..] => match (day_number(a), month_of(b), month_of(a), day_number(b)) {
            (Some(day), Some(month), _, _) | (_, _, Some(month), Some(day)) => (day, month, 2),
            _ => return None,
        },
        _ => return None,
    };
    if let Some(year) = words.get(len).and_then(|word| year_of(word)) {
        let date = Date::new(year, month, day).ok()?;
        return Some((date, date.tomorrow().ok()?, len + 1, true));
    }
    // The 29th of February: the nearest year that has it.
    let years = (0..8).filter_map(|back| match toward {
        Toward::Past => today.year().checked_sub(back),
        Toward::Future => today.year().checked_add(back),
    });
    let fits = |date: &Date| if toward == Toward::Past { *date <= today } else { *date >= today };
    let date = years.filter_map(|year| Date::new(year, month, day).ok()).find(fits)?;
    Some((date, date.tomorrow().ok()?, len, false))
}

fn day_number(word: &str) -> Option<i8> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() <= 2;
    digits.parse().ok().filter(|n| plain && (1..=31).contains(n))
}

pub(super) fn year_of(word: &str) -> Option<i16> {
    let is_plain = word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|n| is_plain && (1900..=2100).contains(n))
}

/// A number in digits or, up to twelve, in words.
pub(super) fn number_of(word: &str) -> Option<i64> {
    const WORDS: [&str; 13] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    if word == "a" || word == "an" {
        return Some(1);
    }
    let spelled = WORDS.iter().position(|w| *w == word).and_then(|n| i64::try_from(n).ok());
    spelled.or_else(|| word.parse().ok().filter(|_| word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit())))
}

pub(super) fn month_of(word: &str) -> Option<i8> {
    let short =
        |full: &str| word.len() >= 3 && (full.get(..3) == Some(word) || (word == "sept" && full == "september"));
    let found = crate::model::MONTHS.iter().position(|month| *month == word || short(month))?;
    i8::try_from(found + 1).ok()
}

pub(super) fn weekday_of(word: &str) -> Option<Weekday> {
    match word {
        "monday" | "mon" => Some(Weekday::Monday),
        "tuesday" | "tue" | "tues" => Some(Weekday::Tuesday),
        "wednesday" | "wed" => Some(Weekday::Wednesday),
        "thursday" | "thu" | "thurs" => Some(Weekday::Thursday),
        "friday" | "fri" => Some(Weekday::Friday),
        "saturday" | "sat" => Some(Weekday::Saturday),
        "sunday" | "sun" => Some(Weekday::Sunday),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::clause;

    fn dates(text: &str, toward: Toward) -> Option<(String, String)> {
        // A Wednesday.
        let said = Timestamp::parse("2023-05-10T13:56:00Z").unwrap();
        let found = find(&clause::read(text), said, toward)?;
        Some((found.from.to_string(), found.until.to_string()))
    }

    #[test]
    fn words_for_days_are_seen_from_the_statement() {
        for (text, from, until) in [
            ("I moved yesterday", "2023-05-09", "2023-05-10"),
            ("last Friday we met", "2023-05-05", "2023-05-06"),
            ("last Tues", "2023-05-09", "2023-05-10"),
            ("last Wednesday", "2023-05-03", "2023-05-04"),
            ("it was on Wednesday", "2023-05-10", "2023-05-11"),
            ("two weeks ago", "2023-04-26", "2023-04-27"),
            ("a month ago", "2023-04-01", "2023-05-01"),
            ("3 years ago", "2020-01-01", "2021-01-01"),
            ("last month", "2023-04-01", "2023-05-01"),
            ("last week", "2023-05-01", "2023-05-08"),
            ("last year", "2022-01-01", "2023-01-01"),
            ("on 3 May", "2023-05-03", "2023-05-04"),
            ("on May 12th", "2022-05-12", "2022-05-13"),
            ("on the 3rd of May 2019", "2019-05-03", "2019-05-04"),
            ("since 2019", "2019-01-01", "2020-01-01"),
            ("in March", "2023-03-01", "2023-04-01"),
            ("in December", "2022-12-01", "2023-01-01"),
            ("on 2021-02-03", "2021-02-03", "2021-02-04"),
            ("on 29 February", "2020-02-29", "2020-03-01"),
        ] {
            assert_eq!(dates(text, Toward::Past), Some((from.to_owned(), until.to_owned())), "{text}");
        }
        for (text, from) in [
            ("next month", "2023-06-01"),
            ("next Friday", "2023-05-12"),
            ("on 3 May", "2024-05-03"),
            ("on May 12th", "2023-05-12"),
            ("on Friday", "2023-05-12"),
            ("tomorrow", "2023-05-11"),
        ] {
            assert_eq!(dates(text, Toward::Future).unwrap().0, from, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["I may go", "march on", "on 31 February", "a few weeks ago", "99999 days ago", "last chance", ""] {
            assert_eq!(dates(text, Toward::Past), None, "{text}");
        }
    }
}
