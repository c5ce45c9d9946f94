//! The embedded database: one writer that takes its work from a queue, several readers, one daemon per file.
//!
//! Everything that writes runs on the writer's own task inside `BEGIN IMMEDIATE`, so a caller that stops waiting
//! never leaves a transaction half done, and reading before writing never fails for having read.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection as _, Row as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use crate::delivery::store::StoreError;
use crate::edge::store::OpenError;
use crate::edge::store::lock::Lock;
use crate::edge::store::sql::{self, Columns, Connection, Migrations, Result, Row, Transaction, Value, Work};

/// How long a statement waits for another process (the command line) to finish writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes that may wait for the writer; beyond it, callers wait.
const QUEUE: usize = 64;

const READERS: u32 = 4;

type Job =
    Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Pin<Box<dyn Future<Output = ()> + Send + 'c>> + Send>;

enum Message {
    Work(Job),
    /// Nothing more is taken on.
    Stop,
}

/// A SQLite database file.
#[derive(Clone, Debug)]
pub struct SqliteFile {
    jobs: mpsc::Sender<Message>,
    /// Closed when the writer has ended and the lock is released.
    writer: watch::Receiver<()>,
    readers: SqlitePool,
}

/// Nobody else claims meanwhile.
const CLAIM: &str = "
    UPDATE notices SET state = 'sending', attempts = attempts + 1, lease_until = $3, handed_at = NULL,
                       claimed_by = $4
    WHERE seq IN (
        SELECT n.seq FROM notices n WHERE n.state = 'pending' AND n.next_at <= $1
           AND (n.stage NOT IN ('recovered', 'corrected')
                OR EXISTS (SELECT 1 FROM notices o WHERE o.incident = n.incident AND o.account = n.account
                           AND o.stage = 'opened' AND o.state IN ('sent', 'unknown')))
        ORDER BY n.next_at, n.seq LIMIT $2)
    RETURNING seq, id, incident, account, stage, rule, subject, template, recipient, via, locale, facts,
              decided_at, attempts";

const MIGRATIONS: Migrations = &[
    ("tickets", include_str!("../../../migrations/sqlite/0001_tickets.sql")),
    ("proposals", include_str!("../../../migrations/sqlite/0002_proposals.sql")),
    ("shards", include_str!("../../../migrations/sqlite/0003_shards.sql")),
];

impl SqliteFile {
    /// Opens the file for the daemon: makes it if need be, brings it to this version, and keeps others out.
    pub async fn open(path: &Path) -> std::result::Result<Self, OpenError> {
        let lock = Lock::take(path)?;
        let database = path.display().to_string();
        let mut writer = match connect_options(path).create_if_missing(true).connect().await {
            Ok(writer) => writer,
            Err(error) => return Err(OpenError::Failed { database, error }),
        };
        let migrated = Migrator::with_migrations(sql::migrations(MIGRATIONS)).run(&mut writer).await;
        migrated.map_err(|error| OpenError::Migration { database, error })?;
        Ok(Self::start(path, writer, Some(lock)))
    }

    /// Opens the file beside a running daemon, for the command line.
    pub async fn attach(path: &Path) -> std::result::Result<Self, OpenError> {
        if !path.exists() {
            return Err(OpenError::Missing(path.to_owned()));
        }
        let failed = |error| OpenError::Failed { database: path.display().to_string(), error };
        let mut writer = connect_options(path).connect().await.map_err(failed)?;
        let needed = sql::newest(MIGRATIONS);
        let found = match sql::schema_version(&mut writer).await {
            Ok(found) => found.unwrap_or(0),
            Err(sqlx::Error::Database(_)) => 0,
            Err(error) => return Err(failed(error)),
        };
        if found != needed {
            return Err(OpenError::OtherVersion { database: path.display().to_string(), found, needed });
        }
        Ok(Self::start(path, writer, None))
    }

    fn start(path: &Path, writer: SqliteConnection, lock: Option<Lock>) -> Self {
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
        Self { jobs, writer: ended, readers }
    }

    /// Waits until everything handed in is written, then lets the file go, whoever else still holds this store.
    pub async fn finish(mut self) {
        self.readers.close().await;
        if self.jobs.send(Message::Stop).await.is_ok() {
            // The error is what we wait for: the other end is gone.
            drop(self.writer.changed().await);
        }
    }

    /// Reads beside the writer.
    pub async fn read<T>(&self, work: impl Transaction<T>) -> std::result::Result<T, StoreError> {
        let mut reader = self.readers.acquire().await.map_err(classify)?;
        work(&mut *reader).await.map_err(classify)
    }

    /// Runs `work` in one transaction on the writer's task and waits for its outcome. It runs alone.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl Transaction<T>,
    ) -> std::result::Result<T, StoreError> {
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

async fn in_transaction<T>(connection: &mut SqliteConnection, work: impl Transaction<T>) -> Result<T> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    match work(&mut *transaction).await {
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

impl Connection for SqliteConnection {
    fn execute<'c>(&'c mut self, sql: &'static str, values: &'c [Value<'c>]) -> Work<'c, u64> {
        Box::pin(async move { Ok(query(sql, values).execute(self).await?.rows_affected()) })
    }

    fn fetch<'c>(&'c mut self, sql: &'static str, values: &'c [Value<'c>]) -> Work<'c, Vec<Row>> {
        Box::pin(async move {
            let rows = query(sql, values).fetch_all(self).await?;
            Ok(rows.into_iter().map(Row::new).collect())
        })
    }

    fn claim_statement(&self) -> &'static str {
        CLAIM
    }

    fn clock_statement(&self) -> &'static str {
        "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS now"
    }
}

fn query(sql: &'static str, values: &[Value<'_>]) -> Query<'static, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Int(value) => query.bind(value),
        Value::Real(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(str::to_owned)),
        Value::Flag(value) => query.bind(value),
    })
}

impl Columns for SqliteRow {
    fn int(&self, column: &str) -> Result<Option<i64>> {
        self.try_get(column)
    }

    fn real(&self, column: &str) -> Result<Option<f64>> {
        self.try_get(column)
    }

    fn text(&self, column: &str) -> Result<Option<String>> {
        self.try_get(column)
    }

    fn flag(&self, column: &str) -> Result<Option<bool>> {
        self.try_get(column)
    }
}

#[cfg(test)]
pub mod memory;
#[cfg(test)]
mod tests;
