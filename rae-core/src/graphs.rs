//! The graphs of relations in memory: one a scope, the least recently used go. Only the container; `jobs::graph_sync` fills it.

use crate::{
    graph::Graph,
    limits::{GRAPH_SCOPES_MAX, GRAPH_TOLD_MAX},
    model::{Scope, Timestamp},
};
use parking_lot::{Mutex, RwLock};
use std::{collections::HashMap, sync::Arc};

/// The graph of one scope.
#[derive(Debug, Default)]
pub(crate) struct GraphState {
    pub followed: RwLock<Followed>,
    /// Held while the graph catches up, so that two readers do not do the same work.
    pub catching_up: futures::lock::Mutex<()>,
    /// The graph of the snapshot that was asked about last.
    pub then: Mutex<Option<Then>>,
}

/// A graph, and up to which change of its scope it is.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    pub graph: Graph,
    pub applied: u64,
}

/// The graph as it was known at an instant, made when the scope stood at change `seq`.
#[derive(Debug, Clone)]
pub(crate) struct Then {
    pub at: Timestamp,
    pub seq: u64,
    pub graph: Arc<Graph>,
}

#[derive(Debug, Default)]
pub(crate) struct Graphs {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts look-ups: the clock of "least recently used".
    tick: u64,
    scopes: HashMap<Scope, (u64, Arc<GraphState>)>,
    /// Up to which change the summaries of communities are what they should be, and until when that stays so by itself.
    told: HashMap<Scope, (u64, Option<Timestamp>)>,
}

impl Graphs {
    /// The scope's graph, empty when it was not there.
    pub fn get_or_create(&self, scope: &Scope) -> Arc<GraphState> {
        let mut inner = self.inner.lock();
        inner.tick += 1;
        let tick = inner.tick;
        if let Some((used, state)) = inner.scopes.get_mut(scope) {
            *used = tick;
            return Arc::clone(state);
        }
        if inner.scopes.len() >= GRAPH_SCOPES_MAX {
            let oldest = inner.scopes.iter().min_by_key(|(_, (used, _))| *used).map(|(scope, _)| scope.clone());
            oldest.and_then(|scope| inner.scopes.remove(&scope));
        }
        let state = Arc::new(GraphState::default());
        inner.scopes.insert(scope.clone(), (tick, Arc::clone(&state)));
        state
    }

    /// Whether the scope's graph is in memory.
    pub fn holds(&self, scope: &Scope) -> bool {
        self.inner.lock().scopes.contains_key(scope)
    }

    /// Notes that the summaries of a scope's communities are right as of change `seq`, until a relation begins or ends at `until`.
    pub fn told(&self, scope: &Scope, seq: u64, until: Option<Timestamp>) {
        let told = &mut self.inner.lock().told;
        if told.len() >= GRAPH_TOLD_MAX {
            told.clear();
        }
        told.insert(scope.clone(), (seq, until));
    }

    /// Whether they are still right at change `seq` and at `now`.
    pub fn is_told(&self, scope: &Scope, seq: u64, now: Timestamp) -> bool {
        let told = self.inner.lock().told.get(scope).copied();
        told.is_some_and(|(known, until)| known == seq && until.is_none_or(|until| now < until))
    }

    /// Forgets a scope.
    pub fn remove(&self, scope: &Scope) {
        let mut inner = self.inner.lock();
        inner.scopes.remove(scope);
        inner.told.remove(scope);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut inner = self.inner.lock();
        inner.scopes.clear();
        inner.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_graph_goes() {
        let graphs = Graphs::default();
        let scope = |n: usize| Scope::new("t", format!("p{n}")).unwrap();
        (0..GRAPH_SCOPES_MAX).for_each(|n| drop(graphs.get_or_create(&scope(n))));
        graphs.get_or_create(&scope(0));
        graphs.get_or_create(&scope(GRAPH_SCOPES_MAX));
        assert!(graphs.holds(&scope(0)) && !graphs.holds(&scope(1)));
        assert_eq!(graphs.inner.lock().scopes.len(), GRAPH_SCOPES_MAX);
    }
}
