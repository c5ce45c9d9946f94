//! A run's hold on its shards: taken over before anything is read, kept alive, given up when another run has them.

use std::time::Duration;

use anyhow::Context as _;

use super::service;
use crate::delivery::ownership::{Ownership, Taken};
use crate::delivery::store::{Store, StoreError};

/// So long after its last sign of life a daemon counts as gone.
const LEASE: Duration = Duration::from_secs(15);
const KEEP_EVERY: Duration = Duration::from_secs(3);
/// How often a daemon that stands by looks whether it is needed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes the shards over; stands by as long as another daemon has them. `previous`: a run that has surely ended.
pub async fn take_over<S: Store>(store: &S, shards: u32, previous: Option<i64>) -> anyhow::Result<Ownership> {
    let shards: Vec<u32> = (0..shards).collect();
    let name = name();
    let mut stands_by = false;
    loop {
        match store.take_over(&shards, &name, LEASE, previous).await {
            Ok(Taken::Mine(ownership)) => {
                tracing::info!(run = ownership.run, shards = shards.len(), "the shards are taken over");
                return Ok(ownership);
            }
            Ok(Taken::Held(holder)) if !stands_by => {
                tracing::warn!(
                    holder = holder.name,
                    "another daemon works on this database; standing by until it ends or gives no sign of life for {} s",
                    LEASE.as_secs()
                );
                service::standing_by(&holder.name);
                stands_by = true;
            }
            Ok(Taken::Held(_)) => {}
            Err(error @ StoreError::TryAgain(_)) if stands_by => {
                tracing::warn!(%error, "cannot look whether the other daemon is alive");
            }
            Err(error) => return Err(error).context("cannot take over the shards"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Keeps the shards as long as they are ours; returns when another run has taken them.
pub async fn keep<S: Store>(store: &S, ownership: &Ownership) -> StoreError {
    loop {
        tokio::time::sleep(KEEP_EVERY).await;
        match store.keep(ownership, LEASE).await {
            Ok(()) => {}
            Err(error @ StoreError::TakenOver(_)) => return error,
            // Whoever needs the database for more than this says so.
            Err(error) => tracing::debug!(%error, "no sign of life could be given"),
        }
    }
}

/// What people call this run.
fn name() -> String {
    let host = hostname::get().map(|host| host.to_string_lossy().into_owned());
    format!("{}, process {}", host.unwrap_or_else(|_| "unknown host".to_owned()), std::process::id())
}
