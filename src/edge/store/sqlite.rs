//! The embedded database: one writer that takes its work from a queue, several readers, one daemon per file.
//!
//! Everything that writes runs on the writer's own task inside `BEGIN IMMEDIATE`, so a caller that stops waiting
//! never leaves a transaction half done, and reading before writing never fails for having read.

mod apply;
mod known;
mod life;
mod outbox;
mod proposals;
mod rows;
mod shadow;
mod tickets;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqlSafeStr, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use crate::core::effect::IncidentId;
use crate::core::time::Time;
use crate::delivery::notice::NoticeId;
use crate::delivery::store::{
    ActionResult, Applied, Attempt, HandOver, KnownNotice, OutboxStore, Outgoing, Planned, ShadowRow, Store,
    StoreError, StoreFigures, StoredIncident, TicketDetail, TicketFilter, TicketRow,
};
use crate::edge::store::lock::{Lock, LockError};

/// How long a statement waits for another process (the command line) to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes that may wait for the writer; beyond it, callers wait.
const QUEUE: usize = 64;

const READERS: u32 = 4;

type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;
type Job =
    Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Pin<Box<dyn Future<Output = ()> + Send + 'c>> + Send>;

enum Message {
    Work(Job),
    /// Nothing more is taken on.
    Stop,
}

/// A SQLite database file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    jobs: mpsc::Sender<Message>,
    /// Closed when the writer has ended and the lock is released.
    writer: watch::Receiver<()>,
    readers: SqlitePool,
    options: SqliteOptions,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct SqliteOptions {
    /// A message that was handed over without an answer is sent again (at least once) instead of being kept as
    /// `unknown` (at most once).
    pub resend_unconfirmed: bool,
}

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Locked(#[from] LockError),
    #[error("there is no database {} (store.url): the daemon makes it when it first runs", .0.display())]
    Missing(PathBuf),
    #[error("cannot open the database {}: {error}", path.display())]
    Failed { path: PathBuf, error: sqlx::Error },
    #[error("cannot bring the database {} to this version: {error}", path.display())]
    Migration { path: PathBuf, error: sqlx::migrate::MigrateError },
    #[error(
        "the database {} has schema {found}, this forewarn needs {needed}: use the version that the daemon runs",
        path.display()
    )]
    OtherVersion { path: PathBuf, found: i64, needed: i64 },
}

fn migrations() -> Vec<Migration> {
    let texts = [
        ("tickets", include_str!("../../../migrations/sqlite/0001_tickets.sql")),
        ("proposals", include_str!("../../../migrations/sqlite/0002_proposals.sql")),
    ];
    let migration = |(version, (name, text)): (i64, (&'static str, &'static str))| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    (1..).zip(texts).map(migration).collect()
}

impl SqliteStore {
    /// Opens the database for the daemon: makes it if need be, brings it to this version, and keeps others out.
    pub async fn open(path: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let lock = Lock::take(path)?;
        let failed = |error| OpenError::Failed { path: path.to_owned(), error };
        let mut writer = connect_options(path).create_if_missing(true).connect().await.map_err(failed)?;
        let migrated = Migrator::with_migrations(migrations()).run(&mut writer).await;
        migrated.map_err(|error| OpenError::Migration { path: path.to_owned(), error })?;
        let store = Self::start(path, writer, Some(lock), options);
        store.recover().await.map_err(|error| failed(sqlx::Error::Protocol(error.to_string())))?;
        Ok(store)
    }

    /// Opens the database beside a running daemon, for the command line.
    pub async fn attach(path: &Path) -> Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let failed = |error| OpenError::Failed { path: path.to_owned(), error };
        let mut writer = connect_options(path).connect().await.map_err(failed)?;
        let needed = migrations().iter().map(|migration| migration.version).max().unwrap_or(0);
        let version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
        let found: i64 = match version.fetch_one(&mut writer).await {
            Ok(found) => found,
            Err(sqlx::Error::Database(_)) => 0,
            Err(error) => return Err(failed(error)),
        };
        if found != needed {
            return Err(OpenError::OtherVersion { path: path.to_owned(), found, needed });
        }
        Ok(Self::start(path, writer, None, SqliteOptions::default()))
    }

    fn start(path: &Path, writer: SqliteConnection, lock: Option<Lock>, options: SqliteOptions) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (running, ended) = watch::channel(());
        tokio::spawn(async move {
            write(writer, queue, lock).await;
            drop(running);
        });
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_lazy_with(connect_options(path).pragma("query_only", "ON"));
        Self { jobs, writer: ended, readers, options }
    }

    /// Waits until everything handed in is written, then lets the file go, whoever else still holds this store.
    pub async fn finish(mut self) {
        self.readers.close().await;
        if self.jobs.send(Message::Stop).await.is_ok() {
            // The error is what we wait for: the other end is gone.
            drop(self.writer.changed().await);
        }
    }

    /// Runs `work` in one transaction on the writer's task and waits for its outcome.
    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            Box::pin(async move {
                let result = in_transaction(connection, work).await;
                // Whoever asked may have stopped waiting; the work is done all the same.
                drop(reply.send(result));
            })
        });
        let stopped = || StoreError::GiveUp("its writer has stopped".to_owned());
        self.jobs.send(Message::Work(job)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?.map_err(classify)
    }
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // The last commits before a power cut must be there after it.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
}

/// The writer's task: one piece of work after the other, until it is stopped or nobody can hand in more.
async fn write(mut connection: SqliteConnection, mut queue: mpsc::Receiver<Message>, lock: Option<Lock>) {
    while let Some(Message::Work(job)) = queue.recv().await {
        job(&mut connection).await;
    }
    // The log goes back into the file, so that a copy of it is whole; if it can't, the next start does it.
    drop(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await);
    drop(connection.close().await);
    drop(lock);
}

async fn in_transaction<T, F>(connection: &mut SqliteConnection, work: F) -> Result<T, sqlx::Error>
where
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> Work<'c, T>,
{
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    match work(&mut transaction).await {
        Ok(value) => transaction.commit().await.map(|()| value),
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

/// Whether waiting can help: another process holds the database, or the disk is full for now.
fn classify(error: sqlx::Error) -> StoreError {
    const WAITING_HELPS: [i64; 3] = [5, 6, 13];
    let text = error.to_string();
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or(0);
            if WAITING_HELPS.contains(&(code & 0xff)) {
                StoreError::TryAgain(text)
            } else {
                StoreError::GiveUp(text)
            }
        }
        sqlx::Error::PoolTimedOut => StoreError::TryAgain(text),
        _ => StoreError::GiveUp(text),
    }
}

impl OutboxStore for SqliteStore {
    async fn claim_due(&self, now: Time, limit: u32, lease: Duration) -> Result<Vec<Outgoing>, StoreError> {
        if !outbox::any_due(&self.readers, now).await.map_err(classify)? {
            return Ok(Vec::new());
        }
        let resend = self.options.resend_unconfirmed;
        let lease_until =
            now.as_millis().saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        self.write(move |connection| {
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
        self.write(move |connection| Box::pin(outbox::complete(connection, id, attempt, result))).await
    }
}

impl Store for SqliteStore {
    async fn apply(&self, batch: &[Planned]) -> Result<Applied, StoreError> {
        let rows = rows::encode(batch);
        self.write(move |connection| Box::pin(apply::batch(connection, rows))).await
    }

    async fn known_incidents(&self, ended_after: Time) -> Result<Vec<StoredIncident>, StoreError> {
        known::incidents(&self.readers, ended_after).await.map_err(classify)
    }

    async fn end_without_rule(&self, incidents: &[IncidentId], at: Time) -> Result<u64, StoreError> {
        let incidents = incidents.to_vec();
        self.write(move |connection| {
            Box::pin(async move { tickets::end_without_rule(connection, &incidents, at).await })
        })
        .await
    }

    async fn known_notices(&self, ended_after: Time) -> Result<Vec<KnownNotice>, StoreError> {
        known::notices(&self.readers, ended_after).await.map_err(classify)
    }

    async fn release_held(
        &self,
        incident: Option<IncidentId>,
        actor: &str,
        at: Time,
    ) -> Result<u64, StoreError> {
        let actor = actor.to_owned();
        self.write(move |connection| {
            Box::pin(async move { outbox::release_held(connection, incident, &actor, at).await })
        })
        .await
    }

    async fn tickets(&self, filter: &TicketFilter) -> Result<Vec<TicketRow>, StoreError> {
        tickets::list(&self.readers, filter).await.map_err(classify)
    }

    async fn in_the_shadow(&self, since: Time) -> Result<Vec<ShadowRow>, StoreError> {
        shadow::since(&self.readers, since).await.map_err(classify)
    }

    async fn ticket(&self, id: &str) -> Result<Vec<TicketDetail>, StoreError> {
        tickets::show(&self.readers, id).await.map_err(classify)
    }

    async fn acknowledge(&self, id: IncidentId, actor: &str, at: Time) -> Result<ActionResult, StoreError> {
        let actor = actor.to_owned();
        self.write(move |connection| {
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
        let (actor, note) = (actor.to_owned(), note.map(str::to_owned));
        self.write(move |connection| {
            Box::pin(async move { tickets::close(connection, id, &actor, at, note.as_deref()).await })
        })
        .await
    }

    async fn figures(&self) -> Result<StoreFigures, StoreError> {
        outbox::figures(&self.readers).await.map_err(classify)
    }
}

impl SqliteStore {
    /// Takes back what a daemon that died had claimed: the lock says that it is gone.
    async fn recover(&self) -> Result<(), StoreError> {
        let resend = self.options.resend_unconfirmed;
        self.write(move |connection| Box::pin(async move { outbox::recover(connection, None, resend).await }))
            .await
    }
}

#[cfg(test)]
mod tests;
