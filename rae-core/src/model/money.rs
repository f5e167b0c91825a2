//! Money: whole micro-dollars, never a float.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of US dollars in whole micro-dollars. In JSON a number of dollars, `12.5`; in stores and sums the integer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(i64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount that is taken from outside: a billion dollars, which a JSON number holds to the micro-dollar.
    pub const MAX: Self = Self(1_000_000_000_000_000);

    /// From micro-dollars.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Micro-dollars.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Dollars, for showing and for JSON; never for sums.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// From a JSON number of dollars: 0 to a billion, at most six decimals. InvalidInput otherwise.
    pub fn from_dollars(dollars: f64) -> Result<Self> {
        let micros = (dollars * 1e6).round();
        let exact = (micros / 1e6 - dollars).abs() <= dollars.abs() * 1e-12;
        if !(0.0..=Self::MAX.0 as f64).contains(&micros) || !exact {
            return Err(Error::invalid(
                "an amount is a number of US dollars from 0 to 1000000000 with at most 6 decimals",
            )
            .with_code("invalid_amount"));
        }
        Ok(Self(micros as i64))
    }

    /// From text such as `20`, `20.00` or `0.000001`: what environment variables and flags hold. InvalidInput otherwise.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid("an amount is US dollars from 0 to 1000000000 with at most 6 decimals, for example 20.00")
                .with_code("invalid_amount")
        };
        let (whole, decimals) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() + decimals.len() == 0 || decimals.len() > 6 {
            return Err(wrong());
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let decimals: i64 = format!("{decimals:0<6}").parse().map_err(|_| wrong())?;
        let micros = whole.checked_mul(1_000_000).and_then(|n| n.checked_add(decimals)).map(Self);
        micros.filter(|amount| *amount <= Self::MAX).ok_or_else(wrong)
    }
}

impl fmt::Display for Usd {
    /// Dollars with two to six decimals, for example `$0.000150` or `$20.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, micros) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        if micros % 10_000 == 0 {
            write!(f, "{sign}${whole}.{:02}", micros / 10_000)
        } else {
            write!(f, "{sign}${whole}.{micros:06}")
        }
    }
}

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        // Formats for people get dollars; the binary one of stored answers keeps the integer.
        if serializer.is_human_readable() { self.dollars().serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Self::from_dollars(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_give_whole_micro_dollars_or_an_error() {
        for (text, micros) in [("20.00", 20_000_000), ("0", 0), (".5", 500_000), ("7.", 7_000_000), (" 0.000001 ", 1)] {
            assert_eq!(Usd::parse(text).unwrap().micros(), micros, "{text}");
        }
        for text in ["", ".", "-1", "1e3", "0.0000001", "1,5", "nan", "1000000000.000001", "99999999999999999999"] {
            assert_eq!(Usd::parse(text).unwrap_err().code(), "invalid_amount", "{text}");
        }
        for (dollars, micros) in
            [(500.0, 500_000_000), (0.1, 100_000), (1e-6, 1), (999_999_999.999_999, 999_999_999_999_999)]
        {
            assert_eq!(Usd::from_dollars(dollars).unwrap().micros(), micros, "{dollars}");
        }
        for dollars in [-0.01, 1e-7, 0.123_456_7, 1.1e9, f64::NAN, f64::INFINITY] {
            assert_eq!(Usd::from_dollars(dollars).unwrap_err().code(), "invalid_amount", "{dollars}");
        }
    }

    #[test]
    fn amounts_survive_json_and_the_stored_form() {
        for micros in [0, 1, 150, 20_000_000, Usd::MAX.micros()] {
            let amount = Usd::from_micros(micros);
            let json = serde_json::to_string(&amount).unwrap();
            assert_eq!(serde_json::from_str::<Usd>(&json).unwrap(), amount, "{json}");
            let stored = postcard::to_allocvec(&amount).unwrap();
            assert_eq!(postcard::from_bytes::<Usd>(&stored).unwrap(), amount);
        }
        assert_eq!([Usd(150), Usd(20_000_000), Usd(-1)].map(|u| u.to_string()), ["$0.000150", "$20.00", "-$0.000001"]);
    }
}
