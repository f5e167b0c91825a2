//! Reading the ledger, its sums, and what erasure and housekeeping leave of it.

use super::{
    ledger::{amount, funds, label, limit, reservation, reserve, settle, settle_op, settlement},
    scopes::LOOKALIKES,
};
use crate::{
    conformance::fixtures::{DAY, Rig},
    error::ErrorKind,
    limits::{PAGE_MAX, SPEND_DAYS_KEPT},
    model::{
        Amount, Booking, Budget, BudgetLevel, CallLabel, CallStatus, CostGroup, CostQuery, CostRow, DropTarget,
        LedgerRow, LedgerScan, Limits, NewReservation, Op, Outcome, Settlement, Spent, Timestamp, TokenUsage, Usd,
    },
    ports::{ManualClock, RelationalStore},
};
use std::collections::BTreeMap;

/// The whole ledger of a level, newest first, without the numbers, which are each store's own.
pub(crate) async fn ledger_of(rig: &Rig<'_>, level: BudgetLevel) -> Vec<LedgerRow> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let scan = LedgerScan { level, since: None, until: None, before, limit: 3 };
        let page = rig.store.ledger(&rig.ctx, &scan).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 3 && page.is_sorted_by(|a, b| a.no > b.no), "the number of a row falls from row to row");
        assert!(before.is_none_or(|before| page[0].no < before));
        before = Some(last.no);
        all.extend(page);
    }
    all.iter_mut().for_each(|row| row.no = 0);
    all
}

/// What rows of the ledger cost together.
pub(crate) fn sum_of(rows: &[LedgerRow]) -> Amount {
    rows.iter().fold(Amount::default(), |sum, row| sum.plus(Amount { usd: row.cost_usd, tokens: row.usage.total() }))
}

/// All sums by `group_by`.
pub(crate) async fn costs_by(rig: &Rig<'_>, level: BudgetLevel, group_by: &[CostGroup]) -> Vec<CostRow> {
    let query = CostQuery { level, group_by: group_by.to_vec(), since: None, until: None, limit: PAGE_MAX };
    rig.store.costs(&rig.ctx, &query).await.unwrap()
}

/// Books an attempt without a reservation; gives the id.
async fn book(rig: &Rig<'_>, label: CallLabel, settlement: Settlement) -> uuid::Uuid {
    let id = rig.uuid();
    assert_eq!(rig.run(Op::Book { booking: Box::new(Booking { id, label, settlement }) }).await, Outcome::Done);
    id
}

/// Attempts of every kind on three days, in two projects, by three users and nobody.
async fn fill(rig: &Rig<'_>, clock: &ManualClock) {
    let projects = [rig.at(rig.ctx.scope().tenant(), "a"), rig.at(rig.ctx.scope().tenant(), "B")];
    for n in 0..24_usize {
        let there = &projects[n / 2 % 2];
        let label = CallLabel {
            provider: ["openai", "anthropic"][n % 2].into(),
            model: ["small", "Small", "caf\u{e9}"][n % 3].into(),
            operation: ["chat", "embed"][n / 3 % 2].into(),
            user_id: [None, Some("u"), Some("U"), Some("u ")][n % 4].map(str::to_owned),
            request_id: None,
        };
        let micros = i64::try_from(n).unwrap();
        let status = CallStatus::ALL[n % 6];
        let usage = TokenUsage {
            input_tokens: n as u64 * 10,
            cached_input_tokens: n as u64,
            output_tokens: 5,
            reasoning_tokens: 2,
        };
        let failed = (status == CallStatus::Failed).then(|| "rate_limited".to_owned());
        let (cost, saved) = (Usd::from_micros(micros * 100), Usd::from_micros(micros));
        let settlement = Settlement { status, usage, estimated: n % 5 == 0, cost, saved, error: failed };
        if n % 3 == 0 {
            book(there, label, settlement).await;
        } else {
            let new = NewReservation { label, attempt: 2, ..reservation(there, amount(2_500, 500)) };
            let id = new.id;
            there.run(Op::Reserve { reservation: Box::new(new) }).await;
            clock.advance_seconds(1);
            there.run(Op::Settle { id, settlement: Box::new(settlement), defaults: Limits::NONE }).await;
        }
        clock.advance_seconds(DAY / 8);
    }
}

/// The sums that `rows` must give.
fn summed(rows: &[LedgerRow], group_by: &[CostGroup]) -> Vec<CostRow> {
    let mut sums = BTreeMap::<Vec<String>, CostRow>::new();
    for row in rows {
        let key = |group: &CostGroup| match group {
            CostGroup::Day => row.at.to_string()[..10].to_owned(),
            CostGroup::Model => row.label.model.clone(),
            CostGroup::Provider => row.label.provider.clone(),
            CostGroup::Project => row.project.clone(),
            CostGroup::Operation => row.label.operation.clone(),
            CostGroup::User => row.label.user_id.clone().unwrap_or_default(),
        };
        let keys: Vec<_> = group_by.iter().map(key).collect();
        let sum = sums.entry(keys.clone()).or_insert_with(|| CostRow { keys, ..CostRow::default() });
        let plus = |a: Usd, b: Usd| Usd::from_micros(a.micros() + b.micros());
        sum.calls += 1;
        sum.failed += u64::from(!matches!(row.status, CallStatus::Ok | CallStatus::Cached));
        sum.usage.input_tokens += row.usage.input_tokens;
        sum.usage.cached_input_tokens += row.usage.cached_input_tokens;
        sum.usage.output_tokens += row.usage.output_tokens;
        sum.usage.reasoning_tokens += row.usage.reasoning_tokens;
        sum.cost_usd = plus(sum.cost_usd, row.cost_usd);
        sum.saved_usd = plus(sum.saved_usd, row.saved_usd);
        if row.status == CallStatus::Unconfirmed {
            sum.unconfirmed_usd = plus(sum.unconfirmed_usd, row.cost_usd);
        }
    }
    sums.into_values().collect()
}

/// Whatever sums are grouped by, they come in the order of their keys and are the sums of the rows.
pub async fn costs_are_the_sums_of_the_ledger(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("tenant", "a");
    fill(&rig, clock).await;
    for level in BudgetLevel::ALL {
        let rows = ledger_of(&rig, level).await;
        assert_eq!(rows.len(), if level == BudgetLevel::Tenant { 24 } else { 12 });
        let alone = CostGroup::ALL.iter().map(std::slice::from_ref);
        let some: [&[CostGroup]; 3] =
            [&[], &[CostGroup::Day, CostGroup::Model], &[CostGroup::Provider, CostGroup::User]];
        for group_by in alone.chain(some).chain([&CostGroup::ALL[..]]) {
            assert_eq!(costs_by(&rig, level, group_by).await, summed(&rows, group_by), "{level:?} by {group_by:?}");
        }
    }
    let days = costs_by(&rig, BudgetLevel::Tenant, &[CostGroup::Day]).await;
    assert_eq!(
        days.iter().map(|row| row.keys[0].as_str()).collect::<Vec<_>>(),
        ["2026-01-01", "2026-01-02", "2026-01-03"]
    );
    let used = funds(&rig).await.tenant.month.used;
    assert_eq!(used, sum_of(&ledger_of(&rig, BudgetLevel::Tenant).await), "limits count what the ledger holds");
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
}

/// `since` is inside, `until` is not, and both look at when a row was reserved.
pub async fn costs_and_rows_keep_to_the_time_asked_for(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("tenant", "a");
    fill(&rig, clock).await;
    let all = ledger_of(&rig, BudgetLevel::Tenant).await;
    let (since, until) = (all[15].at, all[4].at);
    let inside: Vec<_> = all.iter().filter(|row| row.at >= since && row.at < until).cloned().collect();
    assert_eq!(inside.len(), 11);
    for (since, until, wanted) in [
        (Some(since), Some(until), &inside[..]),
        (Some(since), None, &all[..16]),
        (None, Some(until), &all[5..]),
        (Some(until), Some(since), &[]),
    ] {
        let scan = LedgerScan { level: BudgetLevel::Tenant, since, until, before: None, limit: PAGE_MAX };
        let mut rows = store.ledger(&rig.ctx, &scan).await.unwrap();
        rows.iter_mut().for_each(|row| row.no = 0);
        assert_eq!(rows, wanted);
        let group_by = vec![CostGroup::Model];
        let query = CostQuery { level: BudgetLevel::Tenant, since, until, group_by: group_by.clone(), limit: PAGE_MAX };
        assert_eq!(store.costs(&rig.ctx, &query).await.unwrap(), summed(wanted, &group_by));
    }
}

/// Without groups there is one sum, also where nothing was spent; with groups there is none then.
pub async fn nothing_spent_sums_to_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for level in BudgetLevel::ALL {
        assert_eq!(costs_by(&rig, level, &[]).await, [CostRow::default()]);
        assert_eq!(costs_by(&rig, level, &CostGroup::ALL).await, []);
        assert_eq!(ledger_of(&rig, level).await, []);
    }
    assert_eq!(store.top_funds(&Limits::NONE, 10).await.unwrap(), []);
}

/// Answers have at most the rows asked for, the first of their order; none is InvalidInput.
pub async fn costs_and_rows_keep_their_limits(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("tenant", "a");
    fill(&rig, clock).await;
    let all = costs_by(&rig, BudgetLevel::Tenant, &CostGroup::ALL).await;
    let mut query =
        CostQuery { level: BudgetLevel::Tenant, group_by: CostGroup::ALL.to_vec(), since: None, until: None, limit: 2 };
    assert_eq!(store.costs(&rig.ctx, &query).await.unwrap(), all[..2]);
    query.limit = usize::MAX;
    assert_eq!(store.costs(&rig.ctx, &query).await.unwrap(), all);
    query.limit = 0;
    let mut scan = LedgerScan { level: BudgetLevel::Tenant, since: None, until: None, before: None, limit: 0 };
    let errors = [
        store.costs(&rig.ctx, &query).await.unwrap_err(),
        store.ledger(&rig.ctx, &scan).await.unwrap_err(),
        store.top_funds(&Limits::NONE, 0).await.unwrap_err(),
    ];
    assert_eq!(errors.map(|error| error.kind()), [ErrorKind::InvalidInput; 3]);
    scan.limit = usize::MAX;
    assert_eq!(store.ledger(&rig.ctx, &scan).await.unwrap().len(), 24);
}

/// Every field of a row comes back as it was given.
pub async fn a_row_of_the_ledger_reads_back_exactly(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("t\u{e9}nant \u{202e}", "p%_'");
    let mut wanted = Vec::new();
    for (n, status) in CallStatus::ALL.into_iter().enumerate() {
        let text = |text: &str| Some(format!("{text} \u{1f4b0} {n}")).filter(|_| n % 2 == 0);
        let label = CallLabel {
            provider: String::new(),
            model: "m/\u{e9}:free".into(),
            operation: "my own word".into(),
            user_id: text("user"),
            request_id: text("request").or(Some(String::new())),
        };
        let usage = TokenUsage { input_tokens: 1 << 33, cached_input_tokens: 3, output_tokens: 2, reasoning_tokens: 1 };
        let (cost, saved) = (Usd::from_micros(1), Usd::MAX);
        let settlement = Settlement { status, usage, estimated: n % 2 == 0, cost, saved, error: text("error") };
        let new = NewReservation { label: label.clone(), attempt: 7, ..reservation(&rig, amount(1, 1)) };
        let (id, at) = (new.id, rig.now());
        rig.run(Op::Reserve { reservation: Box::new(new) }).await;
        clock.set(at.saturating_add(std::time::Duration::from_micros(1)));
        rig.run(Op::Settle { id, settlement: Box::new(settlement.clone()), defaults: Limits::NONE }).await;
        wanted.push(LedgerRow {
            no: 0,
            id,
            at,
            settled_at: rig.now(),
            project: "p%_'".into(),
            label,
            attempt: 7,
            status,
            usage,
            estimated: settlement.estimated,
            cost_usd: cost,
            saved_usd: saved,
            error: settlement.error,
        });
    }
    wanted.reverse();
    assert_eq!(ledger_of(&rig, BudgetLevel::Project).await, wanted);
}

/// What needed no reservation is dated by the store's clock, whatever the batch says, and counts as the rest does.
pub async fn a_booking_is_dated_by_the_store(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let saved = Usd::from_micros(1_500);
    let cached = Settlement { status: CallStatus::Cached, saved, ..settlement(Amount::default()) };
    let (id, label) = (rig.uuid(), label("u"));
    let booking = |settlement| Op::Book { booking: Box::new(Booking { id, label: label.clone(), settlement }) };
    let mut batch = rig.batch(vec![booking(cached.clone())]);
    batch.now = Timestamp::parse("2001-01-01").unwrap();
    assert_eq!(store.apply(&rig.ctx, batch).await.unwrap().outcomes, [Outcome::Done]);
    let rows = ledger_of(&rig, BudgetLevel::Tenant).await;
    assert_eq!((rows[0].at, rows[0].settled_at, rows[0].attempt), (rig.now(), rig.now(), 1));
    assert_eq!((rows[0].status, rows[0].cost_usd, rows[0].saved_usd), (CallStatus::Cached, Usd::ZERO, saved));
    assert_eq!(funds(&rig).await.tenant.month, Spent::default());
    let error = rig.try_apply(vec![], vec![booking(cached)]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "exists"));
    let wrong = Settlement { cost: Usd::from_micros(-1), ..settlement(Amount::default()) };
    assert_eq!(rig.try_apply(vec![], vec![booking(wrong)]).await.unwrap_err().code(), "invalid_amount");
    let held = reserve(&rig, amount(1, 1)).await;
    let taken = Op::Book {
        booking: Box::new(Booking { id: held, label: label.clone(), settlement: settlement(amount(3, 4)) }),
    };
    assert_eq!(rig.try_apply(vec![], vec![taken]).await.unwrap_err().code(), "exists");
    book(&rig, label.clone(), settlement(amount(3, 4))).await;
    let spent = Spent { used: amount(3, 4), reserved: amount(1, 1) };
    assert_eq!((funds(&rig).await.tenant.day, funds(&rig).await.project.month), (spent, spent));
}

/// Names that a wildcard, a collation, a trim or a joined key would mix up share no budget, no sum and no row.
pub async fn money_of_similar_names_stays_apart(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut tenants = BTreeMap::<&str, Amount>::new();
    for (n, (tenant, project)) in LOOKALIKES.into_iter().enumerate() {
        let (there, cost) = (rig.at(tenant, project), amount(1 << n, 1 << n));
        limit(&there, BudgetLevel::Project, [Some(1 << n), None, None, None]).await;
        let id = reserve(&there, cost).await;
        settle(&there, id, cost).await;
        reserve(&there, Amount::default()).await;
        let sum = tenants.entry(tenant).or_default();
        *sum = sum.plus(cost);
    }
    for (n, (tenant, project)) in LOOKALIKES.into_iter().enumerate() {
        let (there, cost) = (rig.at(tenant, project), amount(1 << n, 1 << n));
        let seen = funds(&there).await;
        assert_eq!((seen.project.day.used, seen.tenant.day.used), (cost, tenants[tenant]));
        assert_eq!(seen.project.limits.amounts, [Some(1 << n), None, None, None]);
        assert_eq!(seen.tenant.limits, Limits::NONE);
        assert_eq!(sum_of(&ledger_of(&there, BudgetLevel::Project).await), cost);
        assert_eq!(sum_of(&ledger_of(&there, BudgetLevel::Tenant).await), tenants[tenant]);
        let sums =
            [BudgetLevel::Project, BudgetLevel::Tenant].map(|level| costs_by(&there, level, &[CostGroup::Project]));
        let [own, all] = futures::future::join_all(sums).await.try_into().unwrap();
        assert_eq!((own.len(), own[0].keys[0].as_str(), own[0].cost_usd), (1, project, cost.usd));
        assert!(all.is_sorted_by(|a, b| a.keys < b.keys));
        assert_eq!(store.verify(&there.ctx).await.unwrap(), Vec::<String>::new());
    }
    // No one sees another one's budget either, nor the tenant's budget in a project's.
    limit(&rig.at("a", "b"), BudgetLevel::Tenant, [Some(9), None, None, None]).await;
    for (tenant, project) in LOOKALIKES {
        let budget = store.budget(&rig.at(tenant, project).ctx, BudgetLevel::Tenant).await.unwrap();
        assert_eq!(budget == Budget::default(), tenant != "a", "{tenant} {project}");
    }
}

/// The tenants that spent the most this month come first, those that spent the same by name; last month counts for nothing.
pub async fn tenants_that_spent_the_most_come_first(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let old = rig.at("old", "p");
    let id = reserve(&old, amount(1_000_000, 1)).await;
    settle(&old, id, amount(1_000_000, 1)).await;
    clock.advance_seconds(40 * DAY);
    for (tenant, project, cost) in [("b", "p", 5), ("a", "p", 3), ("c", "p", 4), ("a", "q", 2), ("B", "p", 5)] {
        let there = rig.at(tenant, project);
        let id = reserve(&there, amount(cost, 1)).await;
        settle(&there, id, amount(cost, 1)).await;
    }
    reserve(&rig.at("held", "p"), amount(9, 1)).await;
    let nothing = rig.at("nothing", "p");
    let id = reserve(&nothing, amount(9, 1)).await;
    nothing.run(Op::Release { id }).await;
    limit(&rig.at("a", "p"), BudgetLevel::Tenant, [None, Some(100), None, None]).await;
    let defaults = Limits { amounts: [Some(50); 4], ..Limits::NONE };
    let top = store.top_funds(&defaults, 10).await.unwrap();
    assert_eq!(top.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["B", "a", "b", "c", "held"]);
    for (name, level) in &top {
        let seen = store.funds(&rig.at(name, "any").ctx, &defaults).await.unwrap();
        assert_eq!(*level, seen.tenant, "{name}");
    }
    assert_eq!(top[1].1.limits.amounts, [Some(50), Some(100), Some(50), Some(50)]);
    assert_eq!(store.top_funds(&defaults, 2).await.unwrap(), top[..2]);
}

/// Of a user go the name and the requests, in that project alone; of a project its budget too. Amounts stay, sessions are no
/// matter here, and what is under way may end.
pub async fn erasing_takes_names_and_leaves_amounts(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (there, other) = (rig.at("a", "b"), rig.at("a", "bc"));
    let mut open = Vec::new();
    for (n, (place, user)) in [(&there, "u"), (&there, "U"), (&other, "u"), (&there, "u")].into_iter().enumerate() {
        let new = NewReservation { label: label(user), ..reservation(place, amount(100, 10)) };
        open.push((place, new.id));
        place.run(Op::Reserve { reservation: Box::new(new) }).await;
        if n < 3 {
            settle(place, open[n].1, amount(50, 5)).await;
        }
    }
    for place in [&there, &other] {
        limit(place, BudgetLevel::Project, [Some(1_000), None, None, None]).await;
    }
    limit(&there, BudgetLevel::Tenant, [Some(2_000), None, None, None]).await;
    let names = async |rig: &Rig<'_>| {
        let rows = ledger_of(rig, BudgetLevel::Project).await;
        rows.into_iter().map(|row| (row.label.user_id, row.label.request_id)).collect::<Vec<_>>()
    };
    let named = |user: &str| (Some(user.to_owned()), Some(format!("request of {user}")));
    let before = funds(&there).await;
    there.erase(DropTarget::Session("u".into())).await;
    assert_eq!(names(&there).await, [named("U"), named("u")]);
    there.erase(DropTarget::User("u".into())).await;
    assert_eq!(names(&there).await, [named("U"), (None, None)]);
    assert_eq!((names(&other).await, funds(&there).await), (vec![named("u")], before));
    settle(open[3].0, open[3].1, amount(50, 5)).await;
    assert_eq!(names(&there).await, [(None, None), named("U"), (None, None)], "what was under way forgot the name too");
    // Any project of the tenant may be named.
    for project in ["", "B", "b"] {
        other.erase(DropTarget::Project(project.into())).await;
    }
    assert_eq!(names(&there).await, vec![(None, None); 3]);
    assert_eq!(names(&other).await, [named("u")]);
    let after = funds(&there).await;
    assert_eq!((after.tenant.month.used, after.project.month.used), (amount(200, 20), amount(150, 15)));
    assert_eq!((after.project.limits, after.tenant.limits), (Limits::NONE, before.tenant.limits));
    assert_eq!(funds(&other).await.project.limits.amounts[0], Some(1_000));
    assert_eq!(store.verify(&there.ctx).await.unwrap(), Vec::<String>::new());
}

/// Of a tenant goes everything, what is under way too, and of no other one anything.
pub async fn erasing_a_tenant_takes_its_money(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut open = BTreeMap::new();
    for (tenant, project) in LOOKALIKES {
        let there = rig.at(tenant, project);
        let id = reserve(&there, amount(10, 1)).await;
        settle(&there, id, amount(10, 1)).await;
        limit(&there, BudgetLevel::Tenant, [Some(1_000), None, None, None]).await;
        limit(&there, BudgetLevel::Project, [Some(1_000), None, None, None]).await;
        open.insert((tenant, project), reserve(&there, amount(20, 2)).await);
    }
    rig.at("a", "any").erase(DropTarget::Tenant).await;
    for ((tenant, project), id) in open {
        let there = rig.at(tenant, project);
        let seen = funds(&there).await;
        if tenant == "a" {
            assert_eq!((seen.tenant, seen.project), Default::default());
            assert_eq!(ledger_of(&there, BudgetLevel::Tenant).await, []);
            assert_eq!(costs_by(&there, BudgetLevel::Tenant, &[]).await, [CostRow::default()]);
            assert_eq!(there.run(settle_op(id, amount(1, 1))).await, Outcome::Skipped);
        } else {
            assert_eq!(seen.project.day, Spent { used: amount(10, 1), reserved: amount(20, 2) });
            assert_eq!(seen.project.limits.amounts[0], Some(1_000));
            settle(&there, id, amount(20, 2)).await;
        }
        assert_eq!(store.verify(&there.ctx).await.unwrap(), Vec::<String>::new());
    }
}

/// Sums of days and months long past may go; the ledger stays, and what is still held is counted when it ends.
pub async fn housekeeping_leaves_the_ledger(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = reserve(&rig, amount(10, 1)).await;
    settle(&rig, id, amount(10, 1)).await;
    let held = reserve(&rig, amount(20, 2)).await;
    let begun = rig.now();
    clock.advance_seconds((SPEND_DAYS_KEPT + 40) * DAY);
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    settle(&rig, held, amount(15, 1)).await;
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    let rows = ledger_of(&rig, BudgetLevel::Tenant).await;
    assert_eq!((rows.len(), sum_of(&rows)), (2, amount(25, 2)));
    assert!(rows.iter().all(|row| row.at == begun));
    assert_eq!(costs_by(&rig, BudgetLevel::Project, &[]).await[0].cost_usd, amount(25, 2).usd);
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
    // What a limit may still be compared with stays.
    let id = reserve(&rig, amount(3, 1)).await;
    settle(&rig, id, amount(3, 1)).await;
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    assert_eq!(funds(&rig).await.tenant.month.used, amount(3, 1));
}
