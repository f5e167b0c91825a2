//! Work behind the verbs: keeping the derived indexes up to date, embedding what is owed, housekeeping.

pub(crate) mod background;
pub(crate) mod embed_debt;
pub(crate) mod extract;
pub(crate) mod feeder;
pub(crate) mod graph_sync;
pub(crate) mod index_sync;
pub(crate) mod runner;
pub(crate) mod vector_sync;
