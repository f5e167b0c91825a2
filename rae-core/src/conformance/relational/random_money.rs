//! Money in the random batches, and what must agree and hold after each.

use super::{
    costs::costs_by,
    ledger::{amount, label, settlement},
};
use crate::{
    conformance::fixtures::Rig,
    limits::PAGE_MAX,
    model::{
        Booking, BudgetChange, BudgetLevel, CallLabel, CallStatus, CostGroup, IdGenerator, LedgerScan, LevelFunds,
        LimitKind, Limits, NewReservation, Op, Outcome, Settlement, Share, Timestamp, Usd,
    },
};
use fastrand::Rng;
use std::time::Duration;
use uuid::Uuid;

/// What the reservations of a run default to.
const DEFAULTS: Limits = Limits { amounts: [None, Some(30_000), None, None], warning_threshold: Share::WARNING };

/// Makes ops about reservations that it remembers. Its numbers are its own, so that what else a seed does stays the same.
pub(super) struct MoneyMaker {
    rng: Rng,
    known: Vec<Uuid>,
}

impl MoneyMaker {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(!seed), known: Vec::new() }
    }

    fn pick(&mut self) -> Uuid {
        // Rather a recent one, so that most are still under way.
        let reach = self.known.len().min(8);
        self.known.iter().rev().nth(self.rng.usize(..reach.max(1))).copied().unwrap_or_default()
    }

    /// Ops for every other batch.
    pub fn ops(&mut self, ids: &IdGenerator, now: Timestamp) -> Vec<Op> {
        let count = if self.rng.bool() { self.rng.usize(1..4) } else { 0 };
        (0..count).map(|_| self.op(ids, now)).collect()
    }

    fn settlement(&mut self) -> Settlement {
        let rng = &mut self.rng;
        let status = CallStatus::ALL[rng.usize(..6)];
        let saved = Usd::from_micros(rng.i64(0..9));
        Settlement { status, saved, estimated: rng.bool(), ..settlement(amount(rng.i64(0..1_500), rng.u64(..60))) }
    }

    fn op(&mut self, ids: &IdGenerator, now: Timestamp) -> Op {
        match self.rng.u32(..20) {
            0 => {
                let rng = &mut self.rng;
                let limit = |rng: &mut Rng| match rng.u32(..4) {
                    0 => Some(None),
                    1 => Some(Some(rng.i64(100..2_000))),
                    _ => None,
                };
                let limits = std::array::from_fn(|_| limit(rng));
                let warning_threshold = rng.bool().then(|| rng.bool().then(|| Share::from_millionths(rng.u32(..))));
                let level = BudgetLevel::ALL[rng.usize(..2)];
                Op::SetBudget { level, change: BudgetChange { limits, warning_threshold } }
            }
            1..=8 => {
                let id = if self.rng.u32(..40) == 0 { self.pick() } else { ids.next_uuid(now) };
                self.known.push(id);
                let rng = &mut self.rng;
                let reservation = NewReservation {
                    id,
                    amount: amount(rng.i64(1..1_000), rng.u64(1..100)),
                    hold: Duration::from_secs(rng.u64(..90)),
                    defaults: DEFAULTS,
                    label: label(["s", "S", "s%"][rng.usize(..3)]),
                    attempt: rng.u32(1..4),
                };
                Op::Reserve { reservation: Box::new(reservation) }
            }
            9..=11 => Op::MarkSent { id: self.pick() },
            12..=15 => {
                let settlement = Box::new(self.settlement());
                Op::Settle { id: self.pick(), settlement, defaults: DEFAULTS }
            }
            16 => {
                let settlement = self.rng.bool().then(|| Box::new(self.settlement()));
                let CallLabel { provider, model, .. } = label("s");
                Op::SettleCall { id: self.pick(), provider, model, settlement, defaults: DEFAULTS }
            }
            17 => Op::Release { id: self.pick() },
            18 => {
                let (id, label, settlement) = (ids.next_uuid(now), label("s"), self.settlement());
                Op::Book { booking: Box::new(Booking { id, label, settlement }) }
            }
            _ => Op::ExpireReservations,
        }
    }
}

/// A reserve that was let through leaves every limit at most full.
pub(super) fn assert_within_limits(ops: &[Op], outcomes: &[Outcome]) {
    for (op, outcome) in ops.iter().zip(outcomes) {
        if let (Op::Reserve { .. }, Outcome::Funds(funds)) = (op, outcome) {
            let within = |level: &LevelFunds, kind: LimitKind| {
                let spent = level.spent(kind);
                level.limits.amounts[kind as usize]
                    .is_none_or(|limit| spent.used.plus(spent.reserved).of(kind) <= limit)
            };
            let all = LimitKind::ALL.iter().all(|kind| within(&funds.tenant, *kind) && within(&funds.project, *kind));
            assert!(all, "a limit was passed: {funds:?}");
        }
    }
}

/// Both stores say the same about the money of a scope.
pub(super) async fn assert_same_money(ours: &Rig<'_>, reference: &Rig<'_>) {
    let mut told = Vec::new();
    for rig in [ours, reference] {
        let (store, ctx) = (rig.store, &rig.ctx);
        let mut rows = Vec::new();
        let mut costs = Vec::new();
        let mut budgets = Vec::new();
        for level in BudgetLevel::ALL {
            let scan = LedgerScan { level, since: None, until: None, before: None, limit: PAGE_MAX };
            let mut page = store.ledger(ctx, &scan).await.unwrap();
            // Numbers are each store's own.
            page.iter_mut().for_each(|row| row.no = 0);
            rows.push(page);
            costs.push(costs_by(rig, level, &[CostGroup::Day, CostGroup::Project, CostGroup::User]).await);
            budgets.push(store.budget(ctx, level).await.unwrap());
        }
        let funds = store.funds(ctx, &DEFAULTS).await.unwrap();
        told.push((rows, costs, budgets, funds, store.top_funds(&DEFAULTS, PAGE_MAX).await.unwrap()));
    }
    assert_eq!(told[0], told[1], "money of {:?}", ours.ctx);
}
