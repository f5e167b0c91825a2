use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn usd(dollars: i64) -> Amount {
    Amount { usd: Usd::from_micros(dollars * 1_000_000), tokens: 0 }
}

#[test]
fn days_and_months_are_those_of_utc_and_leap_days_are_days() {
    for (now, day, month, next_day, next_month) in [
        ("2024-02-28T23:59:59.999999Z", 20_240_228, 202_402, "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("2024-02-29T00:00:00Z", 20_240_229, 202_402, "2024-03-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("2023-02-28T12:00:00Z", 20_230_228, 202_302, "2023-03-01T00:00:00Z", "2023-03-01T00:00:00Z"),
        ("2026-12-31T23:59:59Z", 20_261_231, 202_612, "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        // Still the day before in UTC.
        ("2026-05-01T01:30:00+02:00", 20_260_430, 202_604, "2026-05-01T00:00:00Z", "2026-05-01T00:00:00Z"),
    ] {
        let now = at(now);
        assert_eq!((Window::Day.period(now), Window::Month.period(now)), (day, month), "{now}");
        assert_eq!(Window::Day.resets_at(now), at(next_day), "{now}");
        assert_eq!(Window::Month.resets_at(now), at(next_month), "{now}");
    }
}

#[test]
fn a_change_leaves_what_it_does_not_name_and_null_lifts() {
    let mut budget = Budget::default();
    let defaults = Limits { amounts: [Some(10), Some(100), None, None], warning_threshold: Share::WARNING };
    assert_eq!(budget.resolve(&defaults), defaults);
    budget.change(&BudgetChange { limits: [Some(Some(20)), None, None, Some(Some(5))], warning_threshold: None });
    assert_eq!(budget.resolve(&defaults).amounts, [Some(20), Some(100), None, Some(5)]);
    let half = Share::new(0.5).unwrap();
    budget.change(&BudgetChange { limits: [Some(None), Some(None), None, None], warning_threshold: Some(Some(half)) });
    assert_eq!(budget.resolve(&defaults), Limits { amounts: [None, None, None, Some(5)], warning_threshold: half });
    budget.change(&BudgetChange { warning_threshold: Some(None), ..BudgetChange::default() });
    assert_eq!(budget.resolve(&defaults).warning_threshold, Share::WARNING);
    for setting in budget.limits {
        assert_eq!(Setting::from_stored(setting.stored()), setting);
    }
}

#[test]
fn what_is_held_counts_and_the_last_cent_may_be_spent() {
    let spent = Spent { used: usd(6), reserved: usd(3) };
    let mut funds =
        Funds { at: at("2026-11-28T10:00:00Z"), tenant: LevelFunds::default(), project: LevelFunds::default() };
    funds.check(usd(1_000_000)).unwrap();
    funds.tenant = LevelFunds {
        limits: Limits { amounts: [Some(10_000_000), None, None, None], ..Limits::NONE },
        day: spent,
        month: spent,
    };
    funds.check(usd(1)).unwrap();
    let error = funds.check(usd(2)).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::BudgetExceeded, "daily_usd_budget_exceeded"));
    assert_eq!(
        error.details().unwrap(),
        &serde_json::json!({
            "scope": "tenant", "limit": 10.0, "used": 6.0, "reserved": 3.0, "requested": 2.0, "available": 1.0,
            "resets_at": "2026-11-29T00:00:00Z",
        })
    );
    // A limit that was lowered below what is spent already leaves nothing, and not less.
    funds.tenant.limits.amounts[0] = Some(1);
    assert_eq!(funds.tenant.remaining(LimitKind::DailyUsd), Some(0));
    assert_eq!(funds.check(usd(1)).unwrap_err().details().unwrap()["available"], 0.0);
    // Nothing may always be spent.
    funds.check(Amount::default()).unwrap();
}

#[test]
fn each_limit_of_each_level_has_its_own_code_and_the_first_is_named() {
    for (n, kind) in LimitKind::ALL.into_iter().enumerate() {
        for level in BudgetLevel::ALL {
            let mut funds =
                Funds { at: at("2026-11-28T10:00:00Z"), tenant: LevelFunds::default(), project: LevelFunds::default() };
            let limited = match level {
                BudgetLevel::Tenant => &mut funds.tenant,
                BudgetLevel::Project => &mut funds.project,
            };
            limited.limits.amounts[n] = Some(10);
            let error = funds.check(Amount { usd: Usd::from_micros(11), tokens: 11 }).unwrap_err();
            assert_eq!(error.code(), kind.code());
            assert_eq!(error.details().unwrap()["scope"], level.as_str());
            funds.check(Amount { usd: Usd::from_micros(10), tokens: 10 }).unwrap();
        }
    }
}

#[test]
fn a_warning_comes_at_the_threshold_and_not_before() {
    let mut level = LevelFunds {
        limits: Limits { amounts: [Some(100), None, None, None], ..Limits::NONE },
        ..LevelFunds::default()
    };
    for (used, warned) in [(79, false), (80, true), (100, true)] {
        level.day.used.usd = Usd::from_micros(used);
        assert_eq!(level.is_warned(LimitKind::DailyUsd), warned, "{used}");
    }
    assert!(!level.is_warned(LimitKind::MonthlyUsd));
    level.limits.amounts[1] = Some(i64::MAX);
    level.month.used.usd = Usd::from_micros(i64::MAX);
    assert!(level.is_warned(LimitKind::MonthlyUsd));
}

#[test]
fn amounts_neither_wrap_nor_go_below_nothing() {
    let most = Amount { usd: Usd::from_micros(i64::MAX), tokens: u64::MAX };
    assert_eq!(most.plus(usd(1)), most);
    assert_eq!(usd(1).minus(most), Amount::default());
    assert_eq!(most.of(LimitKind::DailyTokens), i64::MAX);
}
