//! Budgets, reservations and their ends.

use super::{
    concurrency::on_threads,
    costs::{ledger_of, sum_of},
};
use crate::{
    conformance::{
        block_on,
        fixtures::{Rig, kind_of},
    },
    error::ErrorKind,
    limits::{CALL_TOKENS_MAX, EXPIRE_PAGE},
    model::{
        Amount, Budget, BudgetChange, BudgetLevel, CallLabel, CallStatus, EndedCall, Funds, LedgerRow, LimitKind,
        Limits, NewReservation, Op, Outcome, Setting, Settlement, Share, Spent, Timestamp, TokenUsage, Usd,
    },
    ports::{Clock, ManualClock, RelationalStore},
};
use futures::future::join_all;
use std::time::Duration;
use uuid::Uuid;

/// How long reservations of the cases hold.
const MINUTE: Duration = Duration::from_secs(60);

/// So many micro-dollars and tokens.
pub(crate) fn amount(usd: i64, tokens: u64) -> Amount {
    Amount { usd: Usd::from_micros(usd), tokens }
}

/// A call of a user.
pub(crate) fn label(user: &str) -> CallLabel {
    let text = str::to_owned;
    let (user_id, request_id) = (Some(text(user)), Some(format!("request of {user}")));
    CallLabel { provider: text("openai"), model: text("small"), operation: text("chat"), user_id, request_id }
}

/// A reservation of a minute.
pub(crate) fn reservation(rig: &Rig<'_>, amount: Amount) -> NewReservation {
    NewReservation { id: rig.uuid(), amount, hold: MINUTE, defaults: Limits::NONE, label: label("u"), attempt: 1 }
}

/// Holds an amount; gives the id.
pub(crate) async fn reserve(rig: &Rig<'_>, amount: Amount) -> Uuid {
    let new = reservation(rig, amount);
    let id = new.id;
    assert!(matches!(rig.run(Op::Reserve { reservation: Box::new(new) }).await, Outcome::Funds(_)));
    id
}

async fn try_reserve(rig: &Rig<'_>, amount: Amount) -> crate::Result<crate::model::Applied> {
    rig.try_apply(Vec::new(), vec![Op::Reserve { reservation: Box::new(reservation(rig, amount)) }]).await
}

/// An answer that cost so much; the tokens are half read, half written.
pub(crate) fn settlement(cost: Amount) -> Settlement {
    let usage = TokenUsage {
        input_tokens: cost.tokens - cost.tokens / 2,
        output_tokens: cost.tokens / 2,
        ..TokenUsage::default()
    };
    Settlement { status: CallStatus::Ok, usage, estimated: false, cost: cost.usd, saved: Usd::ZERO, error: None }
}

/// The op that ends a reservation with an answer that cost so much.
pub(crate) fn settle_op(id: Uuid, cost: Amount) -> Op {
    Op::Settle { id, settlement: Box::new(settlement(cost)), defaults: Limits::NONE }
}

/// Ends a reservation that must be there.
pub(crate) async fn settle(rig: &Rig<'_>, id: Uuid, cost: Amount) -> Funds {
    match rig.run(settle_op(id, cost)).await {
        Outcome::Funds(funds) => *funds,
        other => panic!("a settlement must give Outcome::Funds: {other:?}"),
    }
}

/// Funds without defaults.
pub(crate) async fn funds(rig: &Rig<'_>) -> Funds {
    rig.store.funds(&rig.ctx, &Limits::NONE).await.unwrap()
}

/// Sets limits in [`LimitKind::ALL`] order; `None` leaves one.
pub(crate) async fn limit(rig: &Rig<'_>, level: BudgetLevel, limits: [Option<i64>; 4]) -> Budget {
    let change = BudgetChange { limits: limits.map(|limit| limit.map(Some)), ..BudgetChange::default() };
    set(rig, level, change).await
}

async fn set(rig: &Rig<'_>, level: BudgetLevel, change: BudgetChange) -> Budget {
    let Outcome::Budget(budget) = rig.run(Op::SetBudget { level, change }).await else {
        panic!("a change of a budget must give Outcome::Budget")
    };
    assert_eq!(rig.store.budget(&rig.ctx, level).await.unwrap(), budget, "what is answered is what is stored");
    budget
}

/// All four windows hold the same.
fn assert_spent(funds: &Funds, used: Amount, reserved: Amount) {
    let spent = Spent { used, reserved };
    let windows = [funds.tenant.day, funds.tenant.month, funds.project.day, funds.project.month];
    assert_eq!(windows, [spent; 4], "tenant's day and month, project's day and month");
}

async fn assert_sound(rig: &Rig<'_>) {
    assert_eq!(rig.store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
}

/// What is not named stays, `None` lifts, and a threshold may be taken back.
pub async fn a_budget_changes_in_the_parts_named(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for level in BudgetLevel::ALL {
        assert_eq!(store.budget(&rig.ctx, level).await.unwrap(), Budget::default(), "nothing is set at first");
        let limits = [Setting::AtMost(20_000_000), Setting::Unset, Setting::AtMost(0), Setting::AtMost(i64::MAX)];
        let set_limits = limit(&rig, level, [Some(20_000_000), None, Some(0), Some(i64::MAX)]).await;
        assert_eq!(set_limits, Budget { limits, warning_threshold: None });
        let half = Some(Share::new(0.5).unwrap());
        let change = BudgetChange { limits: [Some(None), Some(Some(7)), None, None], warning_threshold: Some(half) };
        let limits = [Setting::Lifted, Setting::AtMost(7), Setting::AtMost(0), Setting::AtMost(i64::MAX)];
        assert_eq!(set(&rig, level, change).await, Budget { limits, warning_threshold: half });
        assert_eq!(set(&rig, level, BudgetChange::default()).await, Budget { limits, warning_threshold: half });
        let back = BudgetChange { warning_threshold: Some(None), ..BudgetChange::default() };
        assert_eq!(set(&rig, level, back).await, Budget { limits, warning_threshold: None });
    }
    let negative = BudgetChange { limits: [None, None, None, Some(Some(-1))], ..BudgetChange::default() };
    let refused = rig.try_apply(vec![], vec![Op::SetBudget { level: BudgetLevel::Tenant, change: negative }]).await;
    assert_eq!(refused.unwrap_err().code(), "invalid_amount");
    assert_eq!(store.budget(&rig.at("default", "other").ctx, BudgetLevel::Project).await.unwrap(), Budget::default());
}

/// The defaults are the tenant's where it set nothing; a lifted limit stays lifted, and a project has none.
pub async fn defaults_count_for_a_tenant_that_set_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let defaults =
        Limits { amounts: [Some(10), Some(20), Some(30), None], warning_threshold: Share::new(0.1).unwrap() };
    let at_first = store.funds(&rig.ctx, &defaults).await.unwrap();
    assert_eq!((at_first.tenant.limits, at_first.project.limits, at_first.at), (defaults, Limits::NONE, rig.now()));
    let change = BudgetChange { limits: [Some(None), Some(Some(5)), None, None], ..BudgetChange::default() };
    set(&rig, BudgetLevel::Tenant, change).await;
    limit(&rig, BudgetLevel::Project, [None, None, None, Some(4)]).await;
    let funds = store.funds(&rig.ctx, &defaults).await.unwrap();
    assert_eq!(funds.tenant.limits, Limits { amounts: [None, Some(5), Some(30), None], ..defaults });
    assert_eq!(funds.project.limits, Limits { amounts: [None, None, None, Some(4)], ..Limits::NONE });
    // They count when a call is held to them, and are what the answer says.
    let new = NewReservation { defaults, ..reservation(&rig, amount(6, 1)) };
    let refused = rig.try_apply(vec![], vec![Op::Reserve { reservation: Box::new(new.clone()) }]).await.unwrap_err();
    assert_eq!(refused.code(), "monthly_usd_budget_exceeded");
    let new = NewReservation { amount: amount(1, 31), ..new };
    let refused = rig.try_apply(vec![], vec![Op::Reserve { reservation: Box::new(new.clone()) }]).await.unwrap_err();
    assert_eq!(refused.code(), "daily_token_budget_exceeded");
    let new = NewReservation { amount: amount(5, 4), ..new };
    let Outcome::Funds(held) = rig.run(Op::Reserve { reservation: Box::new(new.clone()) }).await else { panic!() };
    assert_eq!(*held, store.funds(&rig.ctx, &defaults).await.unwrap());
    let settled = rig.run(Op::Settle { id: new.id, settlement: Box::new(settlement(amount(5, 4))), defaults }).await;
    assert_eq!(settled, Outcome::Funds(Box::new(store.funds(&rig.ctx, &defaults).await.unwrap())));
}

/// A call is held to the tenant's and to the project's limits, by day and by month; its end moves the same four sums.
pub async fn a_reservation_holds_at_both_levels_and_in_both_windows(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("default", "other");
    let id = reserve(&rig, amount(300, 30)).await;
    assert_spent(&funds(&rig).await, Amount::default(), amount(300, 30));
    reserve(&other, amount(50, 5)).await;
    let seen = funds(&rig).await;
    assert_eq!((seen.tenant.day.reserved, seen.project.day.reserved), (amount(350, 35), amount(300, 30)));
    let after = settle(&rig, id, amount(200, 21)).await;
    assert_eq!(after, funds(&rig).await, "the answer is what is read");
    for (level, reserved) in [(after.tenant, amount(50, 5)), (after.project, Amount::default())] {
        assert_eq!([level.day, level.month], [Spent { used: amount(200, 21), reserved }; 2]);
    }
    assert_eq!(funds(&other).await.project.month, Spent { used: Amount::default(), reserved: amount(50, 5) });
    assert_sound(&rig).await;
}

/// Each of the eight limits lets a call through that fills it exactly and refuses one micro-dollar or token more; then nothing is
/// held, at no level.
pub async fn a_limit_is_filled_exactly_and_never_passed(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for level in BudgetLevel::ALL {
        for kind in LimitKind::ALL {
            let there = rig.at(&format!("{level:?} {kind:?}"), "p");
            let mut limits = [None; 4];
            limits[kind as usize] = Some(1_000);
            limit(&there, level, limits).await;
            let only = |n: i64| if kind.is_usd() { amount(n, 7) } else { amount(7, n.unsigned_abs()) };
            let id = reserve(&there, only(400)).await;
            settle(&there, id, only(300)).await;
            reserve(&there, only(100)).await;
            let before = funds(&there).await;
            let error = try_reserve(&there, only(601)).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::BudgetExceeded, kind.code()));
            let details = error.details().cloned().unwrap_or_default();
            let wanted = serde_json::json!({
                "scope": level.as_str(), "limit": kind.json(1_000), "used": kind.json(300), "reserved": kind.json(100),
                "requested": kind.json(601), "available": kind.json(600),
                "resets_at": kind.window().resets_at(rig.now()),
            });
            assert_eq!(details, wanted, "{level:?} {kind:?}");
            assert_eq!(funds(&there).await, before, "what was refused holds nothing");
            reserve(&there, only(600)).await;
            assert_eq!(kind_of(try_reserve(&there, only(1)).await), ErrorKind::BudgetExceeded);
            assert_sound(&there).await;
        }
    }
}

/// A limit of another project, and one of another tenant, is none of this call's.
pub async fn a_full_project_leaves_the_others_room(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    limit(&rig, BudgetLevel::Project, [Some(10), None, None, None]).await;
    reserve(&rig, amount(10, 1)).await;
    assert_eq!(kind_of(try_reserve(&rig, amount(1, 1)).await), ErrorKind::BudgetExceeded);
    reserve(&rig.at("default", "other"), amount(1_000, 1)).await;
    reserve(&rig.at("Default", "default"), amount(1_000, 1)).await;
    limit(&rig, BudgetLevel::Tenant, [Some(1_010), None, None, None]).await;
    assert_eq!(kind_of(try_reserve(&rig.at("default", "third"), amount(1, 1)).await), ErrorKind::BudgetExceeded);
    reserve(&rig.at("Default", "default"), amount(1, 1)).await;
}

/// Of 200 callers at once exactly as many get through as there is room for, and the sum is that of those.
pub async fn callers_at_once_never_pass_a_limit_together(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    limit(&rig, BudgetLevel::Tenant, [None, Some(5_000), None, None]).await;
    let projects = [rig.at("default", "a"), rig.at("default", "b")];
    let answers = on_threads(|thread| {
        block_on(join_all((0..25).map(|n| {
            let rig = &projects[(thread + n) % 2];
            async move {
                let new = reservation(rig, amount(100, 10));
                let id = new.id;
                let applied = rig.try_apply(vec![], vec![Op::Reserve { reservation: Box::new(new) }]).await;
                applied.map(|_| (id, (thread + n) % 2)).map_err(|error| error.kind())
            }
        })))
    });
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    let held: Vec<_> = answers.iter().filter_map(|answer| answer.ok()).collect();
    assert_eq!((answers.len(), held.len()), (200, 50));
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(ErrorKind::BudgetExceeded))), "{answers:?}");
    assert_eq!(funds(&rig).await.tenant.month.reserved, amount(5_000, 500));
    // Ends and new beginnings at once: what is given back may be taken, and no more than that.
    let again = on_threads(|thread| {
        let own = held.iter().skip(thread).step_by(8);
        let mut ends = 0;
        for (id, project) in own {
            block_on(settle(&projects[*project], *id, amount(60, 1)));
            ends += 1;
        }
        (ends, (0..25).filter(|_| block_on(try_reserve(&rig, amount(100, 10))).is_ok()).count() as u64)
    });
    let (ends, more) = again.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!((ends, more), (50, 20), "50 calls used 60 of 5000, so 20 more fit");
    let spent = funds(&rig).await.tenant.month;
    assert_eq!(spent, Spent { used: amount(3_000, 50), reserved: amount(2_000, 200) });
    assert_eq!(sum_of(&ledger_of(&rig, BudgetLevel::Tenant).await), amount(3_000, 50));
    assert_sound(&rig).await;
}

/// More than was held is booked in full, past the limit too; then nothing goes until there is room.
pub async fn what_cost_more_than_was_held_is_booked_in_full(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    limit(&rig, BudgetLevel::Tenant, [Some(100), None, None, None]).await;
    let id = reserve(&rig, amount(100, 1)).await;
    let after = settle(&rig, id, amount(250, 9)).await;
    assert_spent(&after, amount(250, 9), Amount::default());
    assert_eq!(after.tenant.remaining(LimitKind::DailyUsd), Some(0));
    let error = try_reserve(&rig, amount(1, 1)).await.unwrap_err();
    let details = error.details().cloned().unwrap_or_default();
    assert_eq!((details["used"].as_f64(), details["available"].as_f64()), (Some(0.00025), Some(0.0)));
    limit(&rig, BudgetLevel::Tenant, [Some(251), None, None, None]).await;
    reserve(&rig, amount(1, 1)).await;
}

/// Whatever ends a reservation ends it once: the second end changes nothing and says so.
pub async fn an_end_counts_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let [settled, released, sent] =
        [reserve(&rig, amount(10, 1)).await, reserve(&rig, amount(20, 2)).await, reserve(&rig, amount(40, 4)).await];
    assert_eq!(rig.run(Op::MarkSent { id: sent }).await, Outcome::Done);
    assert_eq!(rig.run(Op::MarkSent { id: sent }).await, Outcome::Done, "it is sent, whoever says so again");
    assert_eq!(rig.run(Op::Release { id: sent }).await, Outcome::Skipped, "what was sent is not given back");
    assert_spent(&funds(&rig).await, Amount::default(), amount(70, 7));
    settle(&rig, settled, amount(9, 1)).await;
    assert_eq!(rig.run(Op::Release { id: released }).await, Outcome::Done);
    settle(&rig, sent, amount(30, 3)).await;
    let (before, rows) = (funds(&rig).await, ledger_of(&rig, BudgetLevel::Tenant).await);
    assert_spent(&before, amount(39, 4), Amount::default());
    for id in [settled, released, sent, rig.uuid()] {
        assert_eq!(rig.run(settle_op(id, amount(1, 1))).await, Outcome::Skipped);
        assert_eq!(rig.run(Op::Release { id }).await, Outcome::Skipped);
        assert_eq!(rig.run(Op::MarkSent { id }).await, Outcome::Skipped);
    }
    assert_eq!((funds(&rig).await, ledger_of(&rig, BudgetLevel::Tenant).await), (before, rows.clone()));
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), [sent, settled], "no row for what was released");
}

/// A reservation belongs to the project that made it.
pub async fn a_reservation_is_ended_from_its_own_project_only(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("a", "b");
    let id = reserve(&rig, amount(10, 1)).await;
    for (tenant, project) in [("a", "B"), ("A", "b"), ("a", "bc")] {
        let there = rig.at(tenant, project);
        for op in [settle_op(id, amount(1, 1)), Op::Release { id }, Op::MarkSent { id }] {
            assert_eq!(there.run(op).await, Outcome::Skipped);
        }
    }
    assert_spent(&funds(&rig).await, Amount::default(), amount(10, 1));
    settle(&rig, id, amount(10, 1)).await;
}

/// The op of a caller that has the id alone; without a cost nobody knows how the call ended.
fn settle_call(id: Uuid, provider: &str, model: &str, cost: Option<Amount>) -> Op {
    let settlement = cost.map(|cost| Box::new(settlement(cost)));
    Op::SettleCall { id, provider: provider.into(), model: model.into(), settlement, defaults: Limits::NONE }
}

/// Whoever ends a reservation by its id names its provider and model, byte for byte: a Conflict books and frees nothing. What nobody
/// knows is booked at what is held, and the answer says which call it was. The row keeps the names of the reserve.
pub async fn an_end_by_id_is_of_the_call_that_was_reserved(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let [known, unknown] = [reserve(&rig, amount(50, 5)).await, reserve(&rig, amount(70, 7)).await];
    for id in [known, unknown] {
        rig.run(Op::MarkSent { id }).await;
        for (provider, model) in
            [("openai", "smaller"), ("openai", "Small"), ("OpenAI", "small"), ("anthropic", "small")]
        {
            for cost in [Some(amount(1, 1)), None] {
                let refused = rig.try_apply(vec![], vec![settle_call(id, provider, model, cost)]).await.unwrap_err();
                assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "other_call"), "{provider} {model}");
            }
        }
        let elsewhere = rig.at("default", "other");
        assert_eq!(elsewhere.run(settle_call(id, "openai", "small", None)).await, Outcome::Skipped);
    }
    assert_spent(&funds(&rig).await, Amount::default(), amount(120, 12));
    for (id, cost, held, used) in
        [(known, Some(amount(60, 6)), amount(50, 5), amount(60, 6)), (unknown, None, amount(70, 7), amount(130, 13))]
    {
        let ended = rig.run(settle_call(id, "openai", "small", cost)).await;
        let (call, now) = (EndedCall::new("default", &label("u"), held), funds(&rig).await);
        assert_eq!(now.tenant.day.used, used);
        assert_eq!(ended, Outcome::Settled { funds: Box::new(now), call });
        assert_eq!(rig.run(settle_call(id, "openai", "small", cost)).await, Outcome::Skipped, "it has ended");
    }
    let rows = ledger_of(&rig, BudgetLevel::Tenant).await;
    assert!(rows.iter().all(|row| row.label == label("u")), "{rows:?}");
    let (unconfirmed, ok) = (&rows[0], &rows[1]);
    assert_eq!((ok.id, ok.status, ok.cost_usd), (known, CallStatus::Ok, Usd::from_micros(60)));
    let wanted = Settlement::unconfirmed(amount(70, 7));
    assert_eq!((unconfirmed.id, unconfirmed.status, unconfirmed.cost_usd), (unknown, wanted.status, wanted.cost));
    assert_eq!((unconfirmed.usage, &unconfirmed.error), (wanted.usage, &wanted.error));
    assert_sound(&rig).await;
}

async fn expire(rig: &Rig<'_>) -> (u64, u64) {
    match rig.run(Op::ExpireReservations).await {
        Outcome::Expired { released, booked } => (released, booked),
        other => panic!("an expiry must give Outcome::Expired: {other:?}"),
    }
}

/// What ran out is given back where nothing was sent, and booked at what it held where something was; not a moment before, and in
/// all projects of the tenant.
pub async fn what_ran_out_is_released_or_booked(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("default", "other");
    let foreign = rig.at("Default", "default");
    let reserved_at = rig.now();
    reserve(&rig, amount(10, 1)).await;
    let sent = reserve(&other, amount(20, 2)).await;
    other.run(Op::MarkSent { id: sent }).await;
    reserve(&foreign, amount(40, 4)).await;
    clock.advance_seconds(59);
    assert_eq!(expire(&rig).await, (0, 0));
    clock.advance_seconds(1);
    assert_eq!(funds(&rig).await.tenant.day.reserved, amount(30, 3), "it counts until somebody ends it");
    let expired = rig.apply(vec![Op::ExpireReservations]).await;
    assert_eq!(expired.outcomes, [Outcome::Expired { released: 1, booked: 1 }]);
    assert_eq!(
        expired.ran_out,
        [EndedCall::new("other", &label("u"), amount(20, 2))],
        "what was booked, without names"
    );
    assert_eq!(expire(&rig).await, (0, 0));
    assert_spent(&funds(&other).await, amount(20, 2), Amount::default());
    let row = LedgerRow {
        no: 0,
        id: sent,
        at: reserved_at,
        settled_at: rig.now(),
        project: "other".into(),
        label: label("u"),
        attempt: 1,
        status: CallStatus::Unconfirmed,
        usage: TokenUsage { input_tokens: 2, ..TokenUsage::default() },
        estimated: true,
        cost_usd: Usd::from_micros(20),
        saved_usd: Usd::ZERO,
        error: Some("unconfirmed".into()),
    };
    assert_eq!(ledger_of(&rig, BudgetLevel::Tenant).await, [row]);
    assert_eq!(other.run(settle_op(sent, amount(1, 1))).await, Outcome::Skipped, "it was booked already");
    assert_spent(&funds(&foreign).await, Amount::default(), amount(40, 4));
    assert_sound(&rig).await;
}

/// A call that finds the money held by what ran out gets it.
pub async fn a_reserve_ends_what_ran_out_first(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    limit(&rig, BudgetLevel::Tenant, [Some(100), None, None, None]).await;
    reserve(&rig, amount(60, 1)).await;
    let sent = reserve(&rig, amount(40, 1)).await;
    rig.run(Op::MarkSent { id: sent }).await;
    clock.advance_seconds(60);
    let there = rig.at("default", "other");
    assert_eq!(kind_of(try_reserve(&there, amount(61, 1)).await), ErrorKind::BudgetExceeded);
    assert_eq!(funds(&rig).await.tenant.day.reserved, amount(100, 2), "a refused batch writes nothing at all");
    let new = Op::Reserve { reservation: Box::new(reservation(&there, amount(60, 1))) };
    let applied = there.apply(vec![new]).await;
    assert_eq!(applied.ran_out, [EndedCall::new("default", &label("u"), amount(40, 1))]);
    assert_eq!(funds(&rig).await.tenant.day, Spent { used: amount(40, 1), reserved: amount(60, 1) });
    // A reservation that ran out and that nobody ended yet may still be settled.
    let late = reserve(&rig, Amount::default()).await;
    clock.advance_seconds(600);
    settle(&rig, late, amount(5, 5)).await;
    assert_sound(&rig).await;
}

/// The oldest first, a page at a time.
pub async fn reservations_run_out_in_pages(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let page = EXPIRE_PAGE as u64;
    let mut oldest = Vec::new();
    for _ in 0..EXPIRE_PAGE + 1 {
        let new = reservation(&rig, amount(1, 1));
        oldest.push(new.id);
        rig.apply(vec![Op::Reserve { reservation: Box::new(new.clone()) }, Op::MarkSent { id: new.id }]).await;
        clock.set(clock.now().saturating_add(Duration::from_millis(1)));
    }
    clock.advance_seconds(60);
    assert_eq!(expire(&rig).await, (0, page));
    assert_eq!(funds(&rig).await.tenant.day, Spent { used: amount(100, 100), reserved: amount(1, 1) });
    assert_eq!(expire(&rig).await, (0, 1));
    let rows = ledger_of(&rig, BudgetLevel::Tenant).await;
    oldest.reverse();
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), oldest);
}

/// Midnight, the end of a month and a leap day between a reserve and its end: the end is booked where the reserve was, and the new
/// day begins empty.
pub async fn an_end_is_booked_to_the_day_and_month_of_its_reserve(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let crossings = [
        // Just before, just after, and whether the month is another one.
        ("2026-05-08T23:59:59.999999Z", "2026-05-09T00:00:00Z", false),
        ("2026-06-30T23:59:59Z", "2026-07-01T00:00:01Z", true),
        ("2027-02-28T23:59:30Z", "2027-03-01T00:00:00Z", true),
        ("2027-12-31T23:59:30Z", "2028-01-01T00:00:00Z", true),
        ("2028-02-28T23:59:30Z", "2028-02-29T00:00:00Z", false),
        ("2028-02-29T23:59:30Z", "2028-03-01T00:00:00Z", true),
    ];
    for (n, (before, after, new_month)) in crossings.into_iter().enumerate() {
        let rig = rig.at(&format!("tenant {n}"), "p");
        let [before, after] = [before, after].map(|text| Timestamp::parse(text).unwrap());
        clock.set(before);
        let ids = [reserve(&rig, amount(100, 10)).await, reserve(&rig, amount(100, 10)).await];
        let [out, sent] = [reserve(&rig, amount(3, 3)).await, reserve(&rig, amount(5, 5)).await];
        rig.run(Op::MarkSent { id: sent }).await;
        clock.set(after);
        let seen = settle(&rig, ids[0], amount(70, 7)).await;
        for level in BudgetLevel::ALL {
            assert_eq!(seen.level(level).day, Spent::default(), "{before}: the new day is empty");
        }
        assert_eq!(rig.run(Op::Release { id: ids[1] }).await, Outcome::Done);
        clock.set(after.saturating_add_seconds(60));
        assert_eq!(expire(&rig).await, (1, 1), "{out} is given back");
        let today = reserve(&rig, amount(1, 1)).await;
        settle(&rig, today, amount(1, 1)).await;
        let seen = funds(&rig).await;
        assert_eq!(seen.project.day.used, amount(1, 1));
        assert_eq!(seen.project.month.used, if new_month { amount(1, 1) } else { amount(76, 13) });
        assert_eq!(seen.tenant.month.reserved, Amount::default());
        // And seen from the day before, what was booked there.
        clock.set(before);
        let seen = funds(&rig).await;
        assert_spent_in(&seen, amount(75, 12), if new_month { amount(75, 12) } else { amount(76, 13) });
        let at: Vec<_> = ledger_of(&rig, BudgetLevel::Project).await.iter().map(|row| row.at).collect();
        assert_eq!(at, [after.saturating_add_seconds(60), before, before]);
        assert_sound(&rig).await;
    }
}

fn assert_spent_in(funds: &Funds, day: Amount, month: Amount) {
    for level in BudgetLevel::ALL {
        let level = funds.level(level);
        assert_eq!((level.day.used, level.month.used), (day, month));
        assert_eq!((level.day.reserved, level.month.reserved), (Amount::default(), Amount::default()));
    }
}

/// An id stands for one attempt, also when that has ended.
pub async fn a_reservation_id_is_used_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let new = reservation(&rig, amount(10, 1));
    let op = || vec![Op::Reserve { reservation: Box::new(new.clone()) }];
    rig.apply(op()).await;
    let twice = async |rig: &Rig<'_>| {
        let error = rig.try_apply(vec![], op()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "exists"));
    };
    twice(&rig).await;
    twice(&rig.at("default", "other")).await;
    settle(&rig, new.id, amount(5, 1)).await;
    twice(&rig).await;
    assert_spent(&funds(&rig).await, amount(5, 1), Amount::default());
}

/// A batch whose answer was lost and that is applied again holds, ends and books once.
pub async fn a_batch_id_holds_and_settles_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let new = reservation(&rig, amount(10, 1));
    let twice = async |op: Op| {
        let batch = rig.batch(vec![op]);
        let first = store.apply(&rig.ctx, batch.clone()).await.unwrap();
        clock.advance_seconds(1);
        assert_eq!(store.apply(&rig.ctx, batch).await.unwrap(), first);
    };
    twice(Op::Reserve { reservation: Box::new(new.clone()) }).await;
    assert_spent(&funds(&rig).await, Amount::default(), amount(10, 1));
    twice(Op::MarkSent { id: new.id }).await;
    twice(settle_op(new.id, amount(7, 1))).await;
    assert_spent(&funds(&rig).await, amount(7, 1), Amount::default());
    assert_eq!(ledger_of(&rig, BudgetLevel::Tenant).await.len(), 1);
}

/// A batch with a reserve that is refused leaves everything as it was, its other ops too.
pub async fn a_batch_with_a_refused_reserve_changes_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    limit(&rig, BudgetLevel::Project, [Some(100), None, None, None]).await;
    let id = reserve(&rig, amount(60, 1)).await;
    let before = funds(&rig).await;
    let next = reservation(&rig, amount(51, 1));
    let raise = BudgetChange { limits: [None, None, None, Some(Some(9))], ..BudgetChange::default() };
    let ops = vec![
        Op::SetBudget { level: BudgetLevel::Project, change: raise },
        settle_op(id, amount(50, 1)),
        Op::Reserve { reservation: Box::new(next.clone()) },
    ];
    assert_eq!(kind_of(rig.try_apply(vec![], ops).await), ErrorKind::BudgetExceeded);
    assert_eq!((funds(&rig).await, ledger_of(&rig, BudgetLevel::Tenant).await), (before, vec![]));
    let ops = vec![
        settle_op(id, amount(50, 1)),
        Op::Reserve { reservation: Box::new(NewReservation { amount: amount(50, 1), ..next }) },
    ];
    rig.apply(ops).await;
    assert_spent(&funds(&rig).await, amount(50, 1), amount(50, 1));
}

/// What no call can cost is refused, and nothing is written.
pub async fn amounts_that_no_call_can_cost_are_refused(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let most = amount(Usd::MAX.micros(), CALL_TOKENS_MAX);
    let wrong = [amount(-1, 0), amount(Usd::MAX.micros() + 1, 0), amount(0, CALL_TOKENS_MAX + 1)];
    for amount in wrong {
        let error = try_reserve(&rig, amount).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "invalid_amount"), "{amount:?}");
    }
    let id = reserve(&rig, most).await;
    for cost in [amount(-1, 0), amount(Usd::MAX.micros() + 1, 0), amount(0, 2 * CALL_TOKENS_MAX + 2)] {
        let error = rig.try_apply(vec![], vec![settle_op(id, cost)]).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "invalid_amount"), "{cost:?}");
    }
    assert_spent(&funds(&rig).await, Amount::default(), most);
    settle(&rig, id, most).await;
    assert_spent(&funds(&rig).await, most, Amount::default());
}
