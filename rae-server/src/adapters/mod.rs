//! Adapters of the engine's ports for servers: what a hosted RAE keeps its memories and its cache in.

pub mod postgres;
pub mod qdrant;
pub mod redis;
