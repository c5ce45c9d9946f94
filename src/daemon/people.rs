//! Who can be told, as the configuration says, and kept up to date while the daemon runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::overview::Overview;
use crate::delivery::customers::{Customers, Nobody};
use crate::edge::customers::{CustomerFile, CustomerTable};
use crate::edge::kafka::{Cluster, Follower, Table};
use crate::settings::CustomerSettings;

/// How often a file is looked at for a new version.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The customers for work without Kafka; without any configured nobody can be told, and tickets still open.
pub fn customers(settings: Option<&CustomerSettings>) -> anyhow::Result<Arc<dyn Customers>> {
    match settings {
        None => Ok(Arc::new(Nobody)),
        Some(CustomerSettings::File(path)) => Ok(Arc::new(CustomerFile::open(path)?)),
        Some(CustomerSettings::Topic(topic)) => bail!(
            "the configuration takes customers from the topic {topic}, which only the daemon reads; name a file of \
             them (--customers)"
        ),
    }
}

/// The customers of a running daemon.
pub enum People {
    Nobody,
    File(Arc<CustomerFile>),
    Topic { table: Arc<CustomerTable>, _follower: Follower },
}

impl People {
    /// Reads all customers that there are now.
    pub fn open(settings: Option<&CustomerSettings>, cluster: &Cluster) -> anyhow::Result<Self> {
        match settings {
            None => Ok(Self::Nobody),
            Some(CustomerSettings::File(path)) => Ok(Self::File(Arc::new(CustomerFile::open(path)?))),
            Some(CustomerSettings::Topic(topic)) => {
                let mut rows = Table::open(cluster, topic, "customers.topic")?;
                let (table, wrong) = (Arc::new(CustomerTable::default()), Arc::new(AtomicU64::new(0)));
                let filled = Arc::clone(&table);
                let mut take = move |key: &[u8], value: Option<&[u8]>| {
                    if let Err(problem) = filled.set(key, value) {
                        let rows = wrong.fetch_add(1, Ordering::Relaxed) + 1;
                        tracing::warn!(problem, rows, "a row of the customers can't be used");
                    }
                };
                rows.read_whole(&mut take)?;
                tracing::info!(customers = table.len(), "customers are read");
                let follower = rows.follow(take).context("cannot start a thread")?;
                Ok(Self::Topic { table, _follower: follower })
            }
        }
    }

    pub fn customers(&self) -> Arc<dyn Customers> {
        match self {
            Self::Nobody => Arc::new(Nobody),
            Self::File(file) => Arc::<CustomerFile>::clone(file),
            Self::Topic { table, .. } => Arc::<CustomerTable>::clone(table),
        }
    }

    /// Looks now and then whether a file has been replaced. Never ends; a topic is followed by a thread of its own.
    pub async fn keep_up(&self, overview: &Overview) {
        let Self::File(file) = self else { return std::future::pending().await };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let file = Arc::clone(file);
            match tokio::task::spawn_blocking(move || file.refresh()).await {
                Ok(Ok(true)) => {
                    tracing::info!("the new file of customers is in use");
                    overview.note_customers(true);
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "the file of customers can't be used; the one before stays in use");
                    overview.note_customers(false);
                }
                Err(error) => tracing::error!(%error, "the file of customers could not be looked at"),
            }
        }
    }
}
