//! The databases that keep tickets, incidents, the outbox and the audit trail.

mod database;
mod encode;
mod lock;
mod postgres;
mod sql;
mod sqlite;

use std::path::PathBuf;

pub use database::{Database, Options};
use lock::LockError;
#[cfg(test)]
pub use sqlite::memory::SqliteMemory;

use crate::delivery::store::StoreError;

/// Why a database can't be used. `database` is how people call it, without a password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error("there is no database {} (store.url): the daemon makes it when it first runs", .0.display())]
    Missing(PathBuf),
    #[error(
        "there are no tables of forewarn in the database {database}: the daemon makes them when it first runs"
    )]
    Empty { database: String },
    #[error("cannot use the database {database}: {problem}")]
    Unusable { database: String, problem: String },
    #[error("cannot open the database {database}: {error}")]
    Failed { database: String, error: sqlx::Error },
    #[error("cannot bring the database {database} to this version: {error}")]
    Migration { database: String, error: sqlx::migrate::MigrateError },
    #[error(
        "the database {database} has schema {found}, this forewarn needs {needed}: use the version that the daemon runs"
    )]
    OtherVersion { database: String, found: i64, needed: i64 },
    #[error("cannot read the database: {0}")]
    NotRead(StoreError),
}

#[cfg(test)]
mod contract;
