//! The edges: one module per neighbour (Kafka, the database, mail, …). They don't know each other; `daemon` joins them.

pub mod clock;
pub mod customers;
pub mod geo;
pub mod http;
pub mod kafka;
pub mod log;
pub mod mail;
pub mod metrics;
pub mod snapshot;
pub mod store;
pub mod templates;
