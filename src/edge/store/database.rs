//! The store on a database: which statements make up each call, whatever the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::core::effect::IncidentId;
use crate::core::time::Time;
use crate::delivery::notice::NoticeId;
use crate::delivery::ownership::{Ownership, Taken};
use crate::delivery::store::{
    ActionResult, Applied, Attempt, HandOver, KnownNotice, OutboxStore, Outgoing, Planned, ShadowRow, Store,
    StoreError, StoreFigures, StoredIncident, TicketDetail, TicketFilter, TicketRow,
};
use crate::edge::store::OpenError;
use crate::edge::store::postgres::PostgresServer;
use crate::edge::store::sql::outbox::Lapsed;
use crate::edge::store::sql::{Kind, Transaction, apply, known, outbox, rows, shadow, shards, tickets};
use crate::edge::store::sqlite::SqliteFile;
use crate::settings::StoreSettings;

/// Tickets, the outbox and the audit trail in a database.
#[derive(Clone, Debug)]
pub struct Database {
    backend: Backend,
    options: Options,
    /// The run that has taken over with this store; 0 before.
    run: Arc<AtomicI64>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A message that was handed over without an answer is sent again (at least once) instead of being kept as
    /// `unknown` (at most once).
    pub resend_unconfirmed: bool,
}

#[derive(Clone, Debug)]
enum Backend {
    Sqlite(SqliteFile),
    Postgres(PostgresServer),
    #[cfg(test)]
    Memory(crate::edge::store::SqliteMemory),
}

impl Database {
    /// Opens the database for the daemon: makes its tables if need be, and brings them to this version. A file is kept
    /// from other daemons; a server has several of them.
    pub async fn open(settings: &StoreSettings, options: Options) -> Result<Self, OpenError> {
        match settings {
            StoreSettings::Sqlite(path) => {
                let store = Self {
                    backend: Backend::Sqlite(SqliteFile::open(path).await?),
                    options,
                    run: Arc::default(),
                };
                // Nobody else can be alive, whatever the leases say.
                store.recover().await.map_err(OpenError::NotRead)?;
                Ok(store)
            }
            StoreSettings::Postgres(settings) => Ok(Self {
                backend: Backend::Postgres(PostgresServer::open(settings).await?),
                options,
                run: Arc::default(),
            }),
        }
    }

    /// Opens the database beside a running daemon, for the command line.
    pub async fn attach(settings: &StoreSettings) -> Result<Self, OpenError> {
        let backend = match settings {
            StoreSettings::Sqlite(path) => Backend::Sqlite(SqliteFile::attach(path).await?),
            StoreSettings::Postgres(settings) => Backend::Postgres(PostgresServer::attach(settings).await?),
        };
        Ok(Self { backend, options: Options::default(), run: Arc::default() })
    }

    /// A database in memory. Whoever takes its shards over gets them, as if the leases of all others had run out.
    #[cfg(test)]
    pub fn in_memory(memory: &crate::edge::store::SqliteMemory) -> Self {
        Self { backend: Backend::Memory(memory.clone()), options: Options::default(), run: Arc::default() }
    }

    /// Waits until everything handed in is written, then lets the database go, whoever else still holds this store.
    pub async fn finish(self) {
        match self.backend {
            Backend::Sqlite(file) => file.finish().await,
            Backend::Postgres(server) => server.finish().await,
            #[cfg(test)]
            Backend::Memory(_) => {}
        }
    }

    async fn write<T: Send + 'static>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Sqlite(file) => file.write(work).await,
            Backend::Postgres(server) => server.run(Kind::Write, work).await,
            #[cfg(test)]
            Backend::Memory(memory) => memory.run(work),
        }
    }

    /// For what may run beside other transactions. A file has one writer anyway.
    async fn write_rows<T: Send + 'static>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Sqlite(file) => file.write(work).await,
            Backend::Postgres(server) => server.run(Kind::WriteRows, work).await,
            #[cfg(test)]
            Backend::Memory(memory) => memory.run(work),
        }
    }

    async fn read<T: Send + 'static>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Sqlite(file) => file.read(work).await,
            Backend::Postgres(server) => server.run(Kind::Read, work).await,
            #[cfg(test)]
            Backend::Memory(memory) => memory.run(work),
        }
    }

    /// Takes back what a daemon that died had claimed.
    async fn recover(&self) -> Result<(), StoreError> {
        let resend = self.options.resend_unconfirmed;
        self.write(move |connection| Box::pin(outbox::recover(connection, Lapsed::All, resend))).await
    }
}

impl OutboxStore for Database {
    async fn claim_due(&self, now: Time, limit: u32, lease: Duration) -> Result<Vec<Outgoing>, StoreError> {
        if !self.read(move |connection| Box::pin(outbox::any_due(connection, now))).await? {
            return Ok(Vec::new());
        }
        let resend = self.options.resend_unconfirmed;
        let lease_until =
            now.as_millis().saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        let run = Some(self.run.load(Ordering::Acquire)).filter(|run| *run > 0);
        self.write_rows(move |connection| {
            Box::pin(async move {
                outbox::recover(connection, Lapsed::At(now), resend).await?;
                outbox::claim(connection, now, limit, lease_until, run).await
            })
        })
        .await
    }

    async fn hand_over(&self, id: NoticeId, attempt: u32, now: Time) -> Result<HandOver, StoreError> {
        self.write(move |connection| Box::pin(outbox::hand_over(connection, id, attempt, now))).await
    }

    async fn complete(&self, id: NoticeId, attempt: u32, result: Attempt) -> Result<bool, StoreError> {
        let end = Arc::new(outbox::End::of(result));
        self.write(move |connection| {
            let end = Arc::clone(&end);
            Box::pin(async move { outbox::complete(connection, id, attempt, &end).await })
        })
        .await
    }
}

impl Store for Database {
    async fn take_over(
        &self,
        shards: &[u32],
        holder: &str,
        lease: Duration,
        ended: Option<i64>,
    ) -> Result<Taken, StoreError> {
        let asked: Arc<(Vec<u32>, String)> = Arc::new((shards.to_vec(), holder.to_owned()));
        // The file is locked by this process.
        let alone = !matches!(self.backend, Backend::Postgres(_));
        let resend = self.options.resend_unconfirmed;
        let taken = self
            .write(move |connection| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    let (shards, holder) = &*asked;
                    let taken = shards::take_over(connection, shards, holder, lease, ended, alone).await?;
                    if matches!(taken, Taken::Mine(_)) {
                        outbox::recover(connection, Lapsed::OfTheDead, resend).await?;
                    }
                    Ok(taken)
                })
            })
            .await?;
        if let Taken::Mine(ownership) = &taken {
            self.run.store(ownership.run, Ordering::Release);
        }
        Ok(taken)
    }

    async fn keep(&self, ownership: &Ownership, lease: Duration) -> Result<(), StoreError> {
        let ownership = Arc::new(ownership.clone());
        let lost = self
            .write(move |connection| {
                let ownership = Arc::clone(&ownership);
                Box::pin(async move { shards::keep(connection, &ownership, lease).await })
            })
            .await?;
        if lost.is_empty() { Ok(()) } else { Err(StoreError::TakenOver(lost)) }
    }

    async fn let_go(&self, ownership: &Ownership) -> Result<(), StoreError> {
        let run = ownership.run;
        self.write(move |connection| Box::pin(shards::let_go(connection, run))).await
    }

    async fn apply(&self, ownership: &Ownership, batch: &[Planned]) -> Result<Applied, StoreError> {
        let rows: Arc<[rows::Row]> = rows::encode(batch).into();
        let ownership = Arc::new(ownership.clone());
        let written = self
            .write(move |connection| {
                let (ownership, rows) = (Arc::clone(&ownership), Arc::clone(&rows));
                Box::pin(async move {
                    // Nothing was written yet, so that committing is as good as rolling back.
                    match shards::lost(connection, &ownership).await? {
                        lost if lost.is_empty() => Ok(Ok(apply::batch(connection, &rows).await?)),
                        lost => Ok(Err(lost)),
                    }
                })
            })
            .await?;
        written.map_err(StoreError::TakenOver)
    }

    async fn known_incidents(&self, ended_after: Time) -> Result<Vec<StoredIncident>, StoreError> {
        self.read(move |connection| Box::pin(known::incidents(connection, ended_after))).await
    }

    async fn end_without_rule(&self, incidents: &[IncidentId], at: Time) -> Result<u64, StoreError> {
        let incidents: Arc<[IncidentId]> = incidents.into();
        self.write(move |connection| {
            let incidents = Arc::clone(&incidents);
            Box::pin(async move { tickets::end_without_rule(connection, &incidents, at).await })
        })
        .await
    }

    async fn known_notices(&self, ended_after: Time) -> Result<Vec<KnownNotice>, StoreError> {
        self.read(move |connection| Box::pin(known::notices(connection, ended_after))).await
    }

    async fn release_held(
        &self,
        incident: Option<IncidentId>,
        actor: &str,
        at: Time,
    ) -> Result<u64, StoreError> {
        let actor: Arc<str> = actor.into();
        self.write(move |connection| {
            let actor = Arc::clone(&actor);
            Box::pin(async move { outbox::release_held(connection, incident, &actor, at).await })
        })
        .await
    }

    async fn tickets(&self, filter: &TicketFilter) -> Result<Vec<TicketRow>, StoreError> {
        let filter = Arc::new(filter.clone());
        self.read(move |connection| {
            let filter = Arc::clone(&filter);
            Box::pin(async move { tickets::list(connection, &filter).await })
        })
        .await
    }

    async fn in_the_shadow(&self, since: Time) -> Result<Vec<ShadowRow>, StoreError> {
        self.read(move |connection| Box::pin(shadow::since(connection, since))).await
    }

    async fn ticket(&self, id: &str) -> Result<Vec<TicketDetail>, StoreError> {
        let id: Arc<str> = id.into();
        self.read(move |connection| {
            let id = Arc::clone(&id);
            Box::pin(async move { tickets::show(connection, &id).await })
        })
        .await
    }

    async fn acknowledge(&self, id: IncidentId, actor: &str, at: Time) -> Result<ActionResult, StoreError> {
        let actor: Arc<str> = actor.into();
        self.write(move |connection| {
            let actor = Arc::clone(&actor);
            Box::pin(async move { tickets::acknowledge(connection, id, &actor, at).await })
        })
        .await
    }

    async fn close(
        &self,
        id: IncidentId,
        actor: &str,
        at: Time,
        note: Option<&str>,
    ) -> Result<ActionResult, StoreError> {
        let words: Arc<(String, Option<String>)> = Arc::new((actor.to_owned(), note.map(str::to_owned)));
        self.write(move |connection| {
            let words = Arc::clone(&words);
            Box::pin(async move {
                let (actor, note) = &*words;
                tickets::close(connection, id, actor, at, note.as_deref()).await
            })
        })
        .await
    }

    async fn figures(&self) -> Result<StoreFigures, StoreError> {
        self.read(|connection| Box::pin(outbox::figures(connection))).await
    }
}
