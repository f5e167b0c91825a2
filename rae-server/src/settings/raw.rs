//! Settings as text, and how each kind is read.

use super::{SETTINGS, SHOWN_SECRET, Secret};
use rae_core::LifecyclePolicy;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Values as text, and where each came from.
pub(super) struct Raw {
    pub values: BTreeMap<&'static str, String>,
    pub origin: BTreeMap<&'static str, String>,
}

impl Raw {
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |v| v.trim())
    }

    /// The value where there is one.
    pub fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.optional(name).map(Secret)
    }

    /// Whether the value is from elsewhere than the default.
    pub fn is_given(&self, name: &str) -> bool {
        self.origin.get(name).is_some_and(|from| from != name)
    }

    /// The values as they may be shown.
    pub fn masked(mut self) -> BTreeMap<&'static str, String> {
        for spec in SETTINGS.iter().filter(|spec| spec.is_secret()) {
            if let Some(value) = self.values.get_mut(spec.name).filter(|value| !value.is_empty()) {
                *value = SHOWN_SECRET.to_owned();
            }
        }
        self.values
    }

    /// Where the value came from.
    pub fn from(&self, name: &str) -> String {
        self.origin.get(name).map_or(name, String::as_str).to_owned()
    }

    pub fn wrong(&self, name: &str, wanted: &str) -> String {
        format!("{} must be {wanted}, not {:?}", self.from(name), self.text(name))
    }

    /// The same for what is not shown, as it may hold a password.
    pub fn unfit(&self, name: &str, wanted: &str) -> String {
        format!("{} must be {wanted}", self.from(name))
    }

    pub fn parse<T: std::str::FromStr>(&self, name: &str, wanted: &str) -> Result<T, String> {
        self.text(name).parse().map_err(|_| self.wrong(name, wanted))
    }

    pub fn count(&self, name: &str, least: usize, most: usize) -> Result<usize, String> {
        let number = self.text(name).parse().ok().filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| self.wrong(name, &format!("a whole number from {least} to {most}")))
    }

    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.optional(name).map(PathBuf::from)
    }

    /// An address without a name and password in it: settings are shown to the operator and addresses stand in errors.
    pub fn url(&self, name: &str) -> Result<Option<reqwest::Url>, String> {
        if self.text(name).is_empty() {
            return Ok(None);
        }
        let url = reqwest::Url::parse(self.text(name)).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        let wanted = "an address such as http://host:8001, without a password and without ?";
        url.map(Some).ok_or_else(|| self.unfit(name, wanted))
    }

    /// Names of files with SHA-256 in hexadecimal digits.
    pub fn checksums(&self, name: &str) -> Result<Vec<(String, String)>, String> {
        let given = self.text(name);
        let wrong = || self.wrong(name, "name=hex of each file, or the path of a file as sha256sum writes it");
        let pairs: Vec<(String, String)> = if given.contains('=') {
            let pair =
                |p: &str| p.trim().split_once('=').map(|(file, sum)| (file.trim().to_owned(), sum.trim().to_owned()));
            given.split(',').map(pair).collect::<Option<_>>().ok_or_else(wrong)?
        } else if given.is_empty() {
            Vec::new()
        } else {
            let text = std::fs::read_to_string(given).map_err(|e| format!("{}: {e}", wrong()))?;
            let line = |l: &str| {
                l.split_once(char::is_whitespace)
                    .map(|(sum, file)| (file.trim().trim_start_matches('*').to_owned(), sum.to_owned()))
            };
            text.lines().filter(|l| !l.trim().is_empty()).map(line).collect::<Option<_>>().ok_or_else(wrong)?
        };
        let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        let is_file = |file: &str| !file.is_empty() && file.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let fine = pairs.iter().all(|(file, sum)| is_file(file) && is_sum(sum));
        if fine {
            Ok(pairs.into_iter().map(|(file, sum)| (file, sum.to_ascii_lowercase())).collect())
        } else {
            Err(wrong())
        }
    }

    /// A policy, or the default where there is none.
    pub fn lifecycle(&self) -> Result<LifecyclePolicy, String> {
        match self.text("lifecycle") {
            "" => Ok(LifecyclePolicy::default()),
            text => {
                LifecyclePolicy::parse_text(text).map_err(|e| format!("{}: {}", self.from("lifecycle"), e.message()))
            }
        }
    }

    pub fn switch(&self, name: &str) -> Result<bool, String> {
        match self.text(name) {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err(self.wrong(name, "on or off")),
        }
    }

    /// A cosine, or 0 for none.
    pub fn nearness(&self, name: &str) -> Result<Option<f64>, String> {
        let number: Option<f64> = self.text(name).parse().ok().filter(|n| *n == 0.0 || (0.5..=1.0).contains(n));
        let number = number.ok_or_else(|| self.wrong(name, "0, or a number from 0.5 to 1"))?;
        Ok(Some(number).filter(|n| *n > 0.0))
    }

    pub fn seconds(&self, name: &str, least: f64) -> Result<Duration, String> {
        const MOST: f64 = 7.0 * 86_400.0;
        let number: Option<f64> = self.text(name).parse().ok();
        let number = number.filter(|n| (least..=MOST).contains(n)).map(Duration::from_secs_f64);
        number.ok_or_else(|| self.wrong(name, &format!("a number of seconds from {least} to {MOST}")))
    }
}
