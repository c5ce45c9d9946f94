//! The store on a database: which statements make up each call, whatever the database.

use std::sync::Arc;
use std::time::Duration;

use crate::core::effect::IncidentId;
use crate::core::time::Time;
use crate::delivery::notice::NoticeId;
use crate::delivery::store::{
    ActionResult, Applied, Attempt, HandOver, KnownNotice, OutboxStore, Outgoing, Planned, ShadowRow, Store,
    StoreError, StoreFigures, StoredIncident, TicketDetail, TicketFilter, TicketRow,
};
use crate::edge::store::OpenError;
use crate::edge::store::postgres::PostgresServer;
use crate::edge::store::sql::{Kind, Transaction, apply, known, outbox, rows, shadow, tickets};
use crate::edge::store::sqlite::SqliteFile;
use crate::settings::StoreSettings;

/// Tickets, the outbox and the audit trail in a database.
#[derive(Clone, Debug)]
pub struct Database {
    backend: Backend,
    options: Options,
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
}

impl Database {
    /// Opens the database for the daemon: makes its tables if need be, and brings them to this version. A file is kept
    /// from other daemons; a server has several of them.
    pub async fn open(settings: &StoreSettings, options: Options) -> Result<Self, OpenError> {
        match settings {
            StoreSettings::Sqlite(path) => {
                let store = Self { backend: Backend::Sqlite(SqliteFile::open(path).await?), options };
                // Nobody else can be alive, whatever the leases say.
                store.recover().await.map_err(OpenError::NotRead)?;
                Ok(store)
            }
            StoreSettings::Postgres(settings) => {
                Ok(Self { backend: Backend::Postgres(PostgresServer::open(settings).await?), options })
            }
        }
    }

    /// Opens the database beside a running daemon, for the command line.
    pub async fn attach(settings: &StoreSettings) -> Result<Self, OpenError> {
        let backend = match settings {
            StoreSettings::Sqlite(path) => Backend::Sqlite(SqliteFile::attach(path).await?),
            StoreSettings::Postgres(settings) => Backend::Postgres(PostgresServer::attach(settings).await?),
        };
        Ok(Self { backend, options: Options::default() })
    }

    /// Waits until everything handed in is written, then lets the database go, whoever else still holds this store.
    pub async fn finish(self) {
        match self.backend {
            Backend::Sqlite(file) => file.finish().await,
            Backend::Postgres(server) => server.finish().await,
        }
    }

    async fn write<T: Send + 'static>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Sqlite(file) => file.write(work).await,
            Backend::Postgres(server) => server.run(Kind::Write, work).await,
        }
    }

    /// For what may run beside other transactions. A file has one writer anyway.
    async fn write_rows<T: Send + 'static>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Sqlite(file) => file.write(work).await,
            Backend::Postgres(server) => server.run(Kind::WriteRows, work).await,
        }
    }

    async fn read<T: Send + 'static>(&self, work: impl Transaction<T>) -> Result<T, StoreError> {
        match &self.backend {
            Backend::Sqlite(file) => file.read(work).await,
            Backend::Postgres(server) => server.run(Kind::Read, work).await,
        }
    }

    /// Takes back what a daemon that died had claimed.
    async fn recover(&self) -> Result<(), StoreError> {
        let resend = self.options.resend_unconfirmed;
        self.write(move |connection| Box::pin(outbox::recover(connection, None, resend))).await
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
        self.write_rows(move |connection| {
            Box::pin(async move {
                outbox::recover(connection, Some(now), resend).await?;
                outbox::claim(connection, now, limit, lease_until).await
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
    async fn apply(&self, batch: &[Planned]) -> Result<Applied, StoreError> {
        let rows: Arc<[rows::Row]> = rows::encode(batch).into();
        self.write(move |connection| {
            let rows = Arc::clone(&rows);
            Box::pin(async move { apply::batch(connection, &rows).await })
        })
        .await
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
