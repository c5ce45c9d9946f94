//! The databases that keep tickets, incidents, the outbox and the audit trail.

mod encode;
mod lock;
pub mod sqlite;

#[cfg(test)]
mod contract;
