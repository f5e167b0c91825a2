//! Adapters of the engine's ports for servers: what a hosted RAE keeps its memories and its cache in, and the model services.

pub mod ml;
pub mod postgres;
pub mod qdrant;
pub mod redis;
pub mod service;
