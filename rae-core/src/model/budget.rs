//! Limits on what may be spent, what has been spent, and the rule that compares them. Stores keep the numbers; the rule is here, once.

use super::{Timestamp, Usd};
use crate::{
    error::{Error, ErrorKind, Result},
    limits::CALL_TOKENS_MAX,
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

/// Whose budget: each call is held to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetLevel {
    /// The whole tenant's.
    Tenant,
    /// One project's, within the tenant's.
    Project,
}

impl BudgetLevel {
    /// Both, in the order in which stores lock their rows.
    pub const ALL: [Self; 2] = [Self::Tenant, Self::Project];

    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Project => "project",
        }
    }

    /// The limits that count where the budget of this level sets none: those given for the tenant, and none for a project.
    pub const fn defaults(self, of_tenant: &Limits) -> Limits {
        match self {
            Self::Tenant => *of_tenant,
            Self::Project => Limits::NONE,
        }
    }
}

/// A span of time that limits count in: a UTC day or a UTC month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// A day from midnight to midnight.
    Day,
    /// A calendar month.
    Month,
}

impl Window {
    /// Both, in the order in which stores lock their rows.
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// The number of the window that `at` lies in: 20240229 for a day, 202402 for a month. They never meet.
    pub fn period(self, at: Timestamp) -> i64 {
        let (year, month, day) = at.ymd();
        let month = i64::from(year) * 100 + i64::from(month);
        match self {
            Self::Day => month * 100 + i64::from(day),
            Self::Month => month,
        }
    }

    /// The instant when the next window begins.
    pub fn resets_at(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Day => at.next_day(),
            Self::Month => at.next_month(),
        }
    }
}

/// The four limits that a budget may have, in the order of the arrays of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Dollars a day.
    DailyUsd,
    /// Dollars a month.
    MonthlyUsd,
    /// Tokens a day, read and written together.
    DailyTokens,
    /// Tokens a month.
    MonthlyTokens,
}

impl LimitKind {
    /// All, in the order in which a call is held to them.
    pub const ALL: [Self; 4] = [Self::DailyUsd, Self::MonthlyUsd, Self::DailyTokens, Self::MonthlyTokens];

    /// The window that it counts in.
    pub const fn window(self) -> Window {
        match self {
            Self::DailyUsd | Self::DailyTokens => Window::Day,
            Self::MonthlyUsd | Self::MonthlyTokens => Window::Month,
        }
    }

    /// Whether it counts money (micro-dollars); else tokens.
    pub const fn is_usd(self) -> bool {
        matches!(self, Self::DailyUsd | Self::MonthlyUsd)
    }

    /// The name in requests and answers.
    pub const fn field(self) -> &'static str {
        match self {
            Self::DailyUsd => "daily_limit",
            Self::MonthlyUsd => "monthly_limit",
            Self::DailyTokens => "daily_token_limit",
            Self::MonthlyTokens => "monthly_token_limit",
        }
    }

    /// The code of the error when it would be passed.
    pub const fn code(self) -> &'static str {
        match self {
            Self::DailyUsd => "daily_usd_budget_exceeded",
            Self::MonthlyUsd => "monthly_usd_budget_exceeded",
            Self::DailyTokens => "daily_token_budget_exceeded",
            Self::MonthlyTokens => "monthly_token_budget_exceeded",
        }
    }

    /// What stands for `amount` in JSON: dollars, or a number of tokens.
    pub fn json(self, amount: i64) -> serde_json::Value {
        if self.is_usd() { Usd::from_micros(amount).dollars().into() } else { amount.into() }
    }
}

/// A share of a limit in millionths, 0 to 1,000,000. In JSON a number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// The default of `warning_threshold`: 0.8.
    pub const WARNING: Self = Self(800_000);

    /// From a number from 0 to 1, rounded to millionths; InvalidInput otherwise.
    pub fn new(share: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid("warning_threshold is a number from 0 to 1").with_code("invalid_threshold"));
        }
        Ok(Self((share * 1e6).round() as u32))
    }

    /// From millionths; more than a whole is a whole.
    pub fn from_millionths(millionths: u32) -> Self {
        Self(millionths.min(1_000_000))
    }

    /// Millionths.
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// A number from 0 to 1.
    pub fn value(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.value().serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
        } else {
            u32::deserialize(deserializer).map(Self::from_millionths)
        }
    }
}

/// One stored limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setting {
    /// Never set: the default counts.
    #[default]
    Unset,
    /// Lifted: no limit, whatever the default.
    Lifted,
    /// At most so many micro-dollars or tokens.
    AtMost(i64),
}

impl Setting {
    /// As stored: `None` unset, -1 lifted, else the limit.
    pub const fn stored(self) -> Option<i64> {
        match self {
            Self::Unset => None,
            Self::Lifted => Some(-1),
            Self::AtMost(amount) => Some(amount),
        }
    }

    /// From what was stored.
    pub const fn from_stored(stored: Option<i64>) -> Self {
        match stored {
            None => Self::Unset,
            Some(amount) if amount < 0 => Self::Lifted,
            Some(amount) => Self::AtMost(amount),
        }
    }

    const fn or(self, default: Option<i64>) -> Option<i64> {
        match self {
            Self::Unset => default,
            Self::Lifted => None,
            Self::AtMost(amount) => Some(amount),
        }
    }
}

/// A budget as stored: what was set, not what follows from defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// In [`LimitKind::ALL`] order.
    pub limits: [Setting; 4],
    /// Share of a limit from which on callers are warned; `None` is the default.
    pub warning_threshold: Option<Share>,
}

impl Budget {
    /// The limits that count.
    pub fn resolve(&self, defaults: &Limits) -> Limits {
        let mut amounts = [None; 4];
        for ((amount, set), default) in amounts.iter_mut().zip(self.limits).zip(defaults.amounts) {
            *amount = set.or(default);
        }
        Limits { amounts, warning_threshold: self.warning_threshold.unwrap_or(defaults.warning_threshold) }
    }

    /// Takes in what `change` says; the rest stays.
    pub fn change(&mut self, change: &BudgetChange) {
        for (limit, change) in self.limits.iter_mut().zip(change.limits) {
            match change {
                None => {}
                Some(None) => *limit = Setting::Lifted,
                Some(Some(amount)) => *limit = Setting::AtMost(amount),
            }
        }
        match change.warning_threshold {
            None => {}
            Some(threshold) => self.warning_threshold = threshold,
        }
    }
}

/// A partial change of a budget: `None` leaves a field, `Some(None)` lifts the limit (or takes the default threshold again).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetChange {
    /// In [`LimitKind::ALL`] order; micro-dollars or tokens, never negative.
    pub limits: [Option<Option<i64>>; 4],
    /// The share from which on callers are warned.
    pub warning_threshold: Option<Option<Share>>,
}

impl BudgetChange {
    /// InvalidInput where a limit is negative.
    pub fn check(&self) -> Result<()> {
        if self.limits.iter().flatten().flatten().any(|limit| *limit < 0) {
            return Err(Error::invalid("a limit is never negative; null lifts it").with_code("invalid_amount"));
        }
        Ok(())
    }
}

/// Limits that count: micro-dollars or tokens in [`LimitKind::ALL`] order, `None` without a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// In [`LimitKind::ALL`] order.
    pub amounts: [Option<i64>; 4],
    /// Share of a limit from which on callers are warned.
    pub warning_threshold: Share,
}

impl Limits {
    /// None at all: the default of a store in a program.
    pub const NONE: Self = Self { amounts: [None; 4], warning_threshold: Share::WARNING };
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

/// Money and tokens together. Sums stay at the largest number rather than wrap: that refuses, and never lets through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Money.
    pub usd: Usd,
    /// Tokens, read and written together.
    pub tokens: u64,
}

impl Amount {
    /// What `kind` counts of it.
    pub fn of(self, kind: LimitKind) -> i64 {
        if kind.is_usd() { self.usd.micros() } else { i64::try_from(self.tokens).unwrap_or(i64::MAX) }
    }

    /// InvalidInput for what no call can cost: negative, past [`Usd::MAX`] or past `limits::CALL_TOKENS_MAX`.
    pub fn check(self) -> Result<()> {
        if !(Usd::ZERO..=Usd::MAX).contains(&self.usd) || self.tokens > CALL_TOKENS_MAX {
            let message = format!(
                "a call costs from 0 to {} US dollars and at most {CALL_TOKENS_MAX} tokens of each kind",
                Usd::MAX.micros() / 1_000_000
            );
            return Err(Error::invalid(message).with_code("invalid_amount"));
        }
        Ok(())
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        Self {
            usd: Usd::from_micros(self.usd.micros().saturating_add(other.usd.micros())),
            tokens: self.tokens.saturating_add(other.tokens),
        }
    }

    /// The difference, never below nothing.
    pub fn minus(self, other: Self) -> Self {
        Self {
            usd: Usd::from_micros(self.usd.micros().saturating_sub(other.usd.micros()).max(0)),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// What one window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Booked.
    pub used: Amount,
    /// Held for calls under way.
    pub reserved: Amount,
}

impl Spent {
    /// Holds `amount`.
    pub fn hold(&mut self, amount: Amount) {
        self.reserved = self.reserved.plus(amount);
    }

    /// Gives back what was held.
    pub fn give_back(&mut self, held: Amount) {
        self.reserved = self.reserved.minus(held);
    }

    /// Books `amount`.
    pub fn book(&mut self, amount: Amount) {
        self.used = self.used.plus(amount);
    }
}

/// Limits and spending of one level at one instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelFunds {
    /// The limits that count.
    pub limits: Limits,
    /// This day's spending.
    pub day: Spent,
    /// This month's spending.
    pub month: Spent,
}

impl LevelFunds {
    /// The window that `kind` counts in.
    pub const fn spent(&self, kind: LimitKind) -> &Spent {
        match kind.window() {
            Window::Day => &self.day,
            Window::Month => &self.month,
        }
    }

    /// What is left under a limit, reservations counted as spent; `None` without a limit, and never below 0.
    pub fn remaining(&self, kind: LimitKind) -> Option<i64> {
        let spent = self.spent(kind);
        let [limit] = [self.limits.amounts[kind as usize]];
        limit.map(|limit| limit.saturating_sub(spent.used.plus(spent.reserved).of(kind)).max(0))
    }

    /// Whether spending, reservations counted, has reached the warning threshold of this limit.
    pub fn is_warned(&self, kind: LimitKind) -> bool {
        let spent = self.spent(kind);
        self.limits.amounts[kind as usize].is_some_and(|limit| {
            let share = i128::from(limit) * i128::from(self.limits.warning_threshold.millionths());
            i128::from(spent.used.plus(spent.reserved).of(kind)) * 1_000_000 >= share
        })
    }
}

/// Limits and spending that a call of one scope is held to, by the clock of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funds {
    /// The store's time: which day and month it is.
    pub at: Timestamp,
    /// The whole tenant's.
    pub tenant: LevelFunds,
    /// The project's.
    pub project: LevelFunds,
}

impl Funds {
    /// One level's.
    pub const fn level(&self, level: BudgetLevel) -> &LevelFunds {
        match level {
            BudgetLevel::Tenant => &self.tenant,
            BudgetLevel::Project => &self.project,
        }
    }

    /// Whether `amount` more may be held: BudgetExceeded, with the first limit that it would pass, where it may not. What is
    /// held already counts, so callers that run at once cannot pass a limit together.
    pub fn check(&self, amount: Amount) -> Result<()> {
        for level in BudgetLevel::ALL {
            let funds = self.level(level);
            for kind in LimitKind::ALL {
                let (requested, remaining) = (amount.of(kind), funds.remaining(kind));
                if remaining.is_some_and(|remaining| requested > remaining) {
                    return Err(self.exceeded(level, kind, requested));
                }
            }
        }
        Ok(())
    }

    /// The limits whose warning threshold is reached.
    pub fn warnings(&self) -> Vec<(BudgetLevel, LimitKind)> {
        let all = BudgetLevel::ALL.into_iter().flat_map(|level| LimitKind::ALL.map(|kind| (level, kind)));
        all.filter(|(level, kind)| self.level(*level).is_warned(*kind)).collect()
    }

    fn exceeded(&self, level: BudgetLevel, kind: LimitKind, requested: i64) -> Error {
        let (funds, spent) = (self.level(level), self.level(level).spent(kind));
        let limit = funds.limits.amounts[kind as usize].unwrap_or_default();
        let available = funds.remaining(kind).unwrap_or_default();
        let resets_at = kind.window().resets_at(self.at);
        let show = |n: i64| if kind.is_usd() { Usd::from_micros(n).to_string() } else { format!("{n} tokens") };
        let message = format!(
            "the {} of the {} would be passed: this call may need {}, and {} of {} are left until {resets_at}; raise the limit \
             with PUT /v1/budgets or set_budget, or ask for fewer output tokens",
            kind.field(),
            level.as_str(),
            show(requested),
            show(available),
            show(limit),
        );
        Error::new(ErrorKind::BudgetExceeded, message).with_code(kind.code()).with_details(serde_json::json!({
            "scope": level,
            "limit": kind.json(limit),
            "used": kind.json(spent.used.of(kind)),
            "reserved": kind.json(spent.reserved.of(kind)),
            "requested": kind.json(requested),
            "available": kind.json(available),
            "resets_at": resets_at,
        }))
    }
}

impl Limits {
    /// The limits by their names, and the threshold: what `PUT /v1/budgets` answers.
    pub fn named(&self) -> impl Serialize + '_ {
        NamedLimits(self)
    }
}

struct NamedLimits<'a>(&'a Limits);

impl Serialize for NamedLimits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(5))?;
        for kind in LimitKind::ALL {
            map.serialize_entry(kind.field(), &self.0.amounts[kind as usize].map(|n| kind.json(n)))?;
        }
        map.serialize_entry("warning_threshold", &self.0.warning_threshold)?;
        map.end()
    }
}

#[cfg(test)]
mod tests;
