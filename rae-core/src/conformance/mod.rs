//! The public conformance suite: run it on an adapter of your own.
