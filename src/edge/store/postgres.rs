//! A PostgreSQL server: a few connections, each in the hands of a task of its own that runs one transaction after the
//! other, so that a caller that stops waiting never leaves a transaction half done.
//!
//! Whoever reads before writing holds one lock of the database, so that such transactions follow each other as they do
//! in a SQLite file, whichever daemon they come from. Messages are claimed and handed over beside that, row by row.

mod trouble;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::delivery::store::StoreError;
use crate::edge::store::OpenError;
use crate::edge::store::sql::{
    self, Columns, Connection, Kind, Migrations, Result, Row, Transaction, Value, Work,
};
use crate::settings::{ExposeSecret as _, PostgresSettings};
use trouble::{Failure, Help};

/// Transactions that one daemon runs at the same time.
const CONNECTIONS: u32 = 6;

/// Transactions that may wait for a connection; beyond it, callers wait.
const QUEUE: usize = 64;

/// The oldest version whose SQL does.
const OLDEST: i64 = 13;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a transaction may take. After it the connection is given up, and the server ends what was going on.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a transaction is done again because others were in its way.
const CONFLICTS: u32 = 5;
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);

/// What the server is told when a connection begins. A daemon that stands still in a transaction must not hold up the
/// others; who waits for the lock waits longer than that.
const SESSION: &str = "SET statement_timeout = '120s'; SET idle_in_transaction_session_timeout = '15s'; \
                       SET lock_timeout = '20s'; SET client_min_messages = 'warning'";

/// Held by whoever reads before writing, until the end of the transaction. The number stands for nothing.
const ONE_WRITER: &str = "SELECT pg_advisory_xact_lock(7301594018232291)";

const MIGRATIONS: Migrations = &[
    ("tickets", include_str!("../../../migrations/postgres/0001_tickets.sql")),
    ("proposals", include_str!("../../../migrations/postgres/0002_proposals.sql")),
    ("shards", include_str!("../../../migrations/postgres/0003_shards.sql")),
];

/// Rows that another daemon is claiming are passed by. The subquery stands alone, so that it runs once: claimed is what
/// it has locked.
const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT n.seq FROM notices n WHERE n.state = 'pending' AND n.next_at <= $1
           AND (n.stage NOT IN ('recovered', 'corrected')
                OR EXISTS (SELECT 1 FROM notices o WHERE o.incident = n.incident AND o.account = n.account
                           AND o.stage = 'opened' AND o.state IN ('sent', 'unknown')))
        ORDER BY n.next_at, n.seq LIMIT $2 FOR UPDATE OF n SKIP LOCKED)
    UPDATE notices SET state = 'sending', attempts = attempts + 1, lease_until = $3, handed_at = NULL,
                       claimed_by = $4
    FROM due WHERE notices.seq = due.seq
    RETURNING notices.seq, id, incident, account, stage, rule, subject, template, recipient, via, locale, facts,
              decided_at, attempts";

type Job = Box<dyn for<'l> FnOnce(&'l mut Link) -> Pin<Box<dyn Future<Output = ()> + Send + 'l>> + Send>;

enum Message {
    Work(Job),
    /// Nothing more is taken on.
    Stop,
}

/// A database on a server.
#[derive(Clone, Debug)]
pub struct PostgresServer {
    jobs: mpsc::Sender<Message>,
    /// Closed when every task has ended.
    tasks: watch::Receiver<()>,
}

impl PostgresServer {
    /// Opens the database for a daemon: makes its tables if need be, and brings them to this version.
    pub async fn open(settings: &PostgresSettings) -> std::result::Result<Self, OpenError> {
        let server = Server::new(settings)?;
        let mut connection = server.connect_first().await?;
        let found = server.version(&mut connection).await?;
        if found.is_some_and(|found| found > sql::newest(MIGRATIONS)) {
            return Err(server.other_version(found));
        }
        let patient =
            sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0").execute(&mut connection);
        patient.await.map_err(|error| server.failed(error))?;
        // It holds a lock of the database meanwhile: daemons that start together follow each other.
        let migrated = Migrator::with_migrations(sql::migrations(MIGRATIONS)).run(&mut connection).await;
        migrated.map_err(|error| OpenError::Migration { database: server.name.clone(), error })?;
        Ok(Self::start(server))
    }

    /// Opens the database as it is, for the command line.
    pub async fn attach(settings: &PostgresSettings) -> std::result::Result<Self, OpenError> {
        let server = Server::new(settings)?;
        let mut connection = server.connect_first().await?;
        match server.version(&mut connection).await? {
            found if found == Some(sql::newest(MIGRATIONS)) => Ok(Self::start(server)),
            None => Err(server.empty(&mut connection).await?),
            found => Err(server.other_version(found)),
        }
    }

    /// The tasks make their connections as they need them.
    fn start(server: Server) -> Self {
        let server = Arc::new(server);
        let (jobs, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let (running, tasks) = watch::channel(());
        let running = Arc::new(running);
        for _ in 0..CONNECTIONS {
            let link = Link { server: Arc::clone(&server), connection: None };
            let (queue, running) = (Arc::clone(&queue), Arc::clone(&running));
            tokio::spawn(async move {
                serve(link, &queue).await;
                drop(running);
            });
        }
        Self { jobs, tasks }
    }

    /// Waits until everything handed in is done, then lets the connections go.
    pub async fn finish(mut self) {
        if self.jobs.send(Message::Stop).await.is_ok() {
            // The error is what we wait for: the other ends are gone.
            drop(self.tasks.changed().await);
        }
    }

    /// Runs `work` in one transaction on a task of its own and waits for its outcome.
    pub async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl Transaction<T>,
    ) -> std::result::Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |link| {
            Box::pin(async move {
                let result = link.run(kind, &work).await;
                // Whoever asked may have stopped waiting; the work is done all the same.
                drop(reply.send(result));
            })
        });
        let stopped = || StoreError::GiveUp("its connections are closed".to_owned());
        self.jobs.send(Message::Work(job)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// One task's work: one job after the other, until it is stopped or nobody can hand in more.
async fn serve(mut link: Link, queue: &Mutex<mpsc::Receiver<Message>>) {
    loop {
        let message = {
            let mut queue = queue.lock().await;
            let message = queue.recv().await;
            if matches!(message, Some(Message::Stop)) {
                queue.close();
            }
            message
        };
        match message {
            Some(Message::Work(job)) => job(&mut link).await,
            Some(Message::Stop) => {}
            None => break,
        }
    }
    if let Some(connection) = link.connection {
        // Whether the server hears of it or not: nothing is under way.
        drop(timeout(CONNECT_TIMEOUT, connection.close()).await);
    }
}

/// Where the database is, and how people call it.
#[derive(Debug)]
struct Server {
    options: PgConnectOptions,
    name: String,
}

impl Server {
    fn new(settings: &PostgresSettings) -> std::result::Result<Self, OpenError> {
        let name = settings.name.clone();
        let failed = |error| OpenError::Failed { database: settings.name.clone(), error };
        let options = PgConnectOptions::from_str(settings.url.expose_secret()).map_err(failed)?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("forewarn"),
        };
        Ok(Self { options, name })
    }

    async fn connect(&self) -> std::result::Result<PgConnection, Failure> {
        let mut connection = match timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(connected) => connected?,
            Err(_) => return Err(Failure::no_answer(CONNECT_TIMEOUT)),
        };
        match timeout(CONNECT_TIMEOUT, sqlx::raw_sql(SESSION).execute(&mut connection)).await {
            Ok(told) => told.map(|_| connection).map_err(Failure::from),
            Err(_) => Err(Failure::no_answer(CONNECT_TIMEOUT)),
        }
    }

    /// Connects, and looks whether the server will do.
    async fn connect_first(&self) -> std::result::Result<PgConnection, OpenError> {
        let unusable = |problem: String| OpenError::Unusable { database: self.name.clone(), problem };
        let mut connection = self.connect().await.map_err(|failure| unusable(failure.text))?;
        let row = (&mut connection as &mut dyn Connection)
            .fetch_one(
                "SELECT current_setting('server_version_num')::BIGINT AS version,
                        current_setting('server_version') AS named,
                        current_setting('server_encoding') AS encoding",
                &[],
            )
            .await
            .map_err(|error| self.failed(error))?;
        let version: i64 = row.get("version").map_err(|error| self.failed(error))?;
        let text = |column| row.get::<String>(column).map_err(|error| self.failed(error));
        let (named, encoding) = (text("named")?, text("encoding")?);
        if version / 10_000 < OLDEST {
            return Err(unusable(format!("it runs PostgreSQL {named}; expected {OLDEST} or newer")));
        }
        if encoding != "UTF8" {
            return Err(unusable(format!("its encoding is {encoding}; expected UTF8")));
        }
        Ok(connection)
    }

    /// The version of the schema; none where there is no schema yet.
    async fn version(&self, connection: &mut PgConnection) -> std::result::Result<Option<i64>, OpenError> {
        let there = (connection as &mut dyn Connection)
            .finds("SELECT 1 AS there WHERE to_regclass('_sqlx_migrations') IS NOT NULL", &[])
            .await
            .map_err(|error| self.failed(error))?;
        if !there {
            return Ok(None);
        }
        sql::schema_version(connection).await.map_err(|error| self.failed(error))
    }

    /// Why a database without tables can't be used, or can't be used yet.
    async fn empty(&self, connection: &mut PgConnection) -> std::result::Result<OpenError, OpenError> {
        let row = (connection as &mut dyn Connection)
            .fetch_one(
                "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may,
                        coalesce(current_schema()::TEXT, 'of that name') AS schema, current_user::TEXT AS who",
                &[],
            )
            .await
            .map_err(|error| self.failed(error))?;
        let text = |column| row.get::<String>(column).map_err(|error| self.failed(error));
        if row.get("may").map_err(|error| self.failed(error))? {
            return Ok(OpenError::Empty { database: self.name.clone() });
        }
        let problem = format!(
            "it holds no tables of forewarn, and the user {} may not make any in the schema {}",
            text("who")?,
            text("schema")?
        );
        Ok(OpenError::Unusable { database: self.name.clone(), problem })
    }

    fn other_version(&self, found: Option<i64>) -> OpenError {
        OpenError::OtherVersion {
            database: self.name.clone(),
            found: found.unwrap_or(0),
            needed: sql::newest(MIGRATIONS),
        }
    }

    fn failed(&self, error: sqlx::Error) -> OpenError {
        OpenError::Failed { database: self.name.clone(), error }
    }
}

/// A task's connection, made when it is needed.
struct Link {
    server: Arc<Server>,
    connection: Option<PgConnection>,
}

impl Link {
    async fn run<T>(&mut self, kind: Kind, work: &impl Transaction<T>) -> std::result::Result<T, StoreError> {
        let (mut conflicts, mut pause) = (0, CONFLICT_PAUSE);
        loop {
            let was_idle = self.connection.is_some();
            let failure = match self.attempt(kind, work).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match failure.help {
                // The server has ended the connection while nobody looked, so that nothing is lost but that.
                Help::Later if was_idle && failure.before_begin => {}
                Help::Again if conflicts < CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Help::Again | Help::Later => return Err(StoreError::TryAgain(failure.text)),
                Help::None => return Err(StoreError::GiveUp(failure.text)),
            }
        }
    }

    /// A connection that something has gone wrong with is not used again: the server ends what it was at.
    async fn attempt<T>(
        &mut self,
        kind: Kind,
        work: &impl Transaction<T>,
    ) -> std::result::Result<T, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.server.connect().await?,
        };
        let limit = if kind == Kind::Read { READ_TIMEOUT } else { WRITE_TIMEOUT };
        let outcome = timeout(limit, transaction(&mut connection, kind, work)).await;
        match outcome {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Err(failure)) => {
                if failure.connection_is_whole {
                    self.connection = Some(connection);
                }
                Err(failure)
            }
            Err(_) => Err(Failure::no_answer(limit)),
        }
    }
}

async fn transaction<T>(
    connection: &mut PgConnection,
    kind: Kind,
    work: &impl Transaction<T>,
) -> std::result::Result<T, Failure> {
    let begin = match kind {
        Kind::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Kind::Write | Kind::WriteRows => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    let mut transaction = match connection.begin_with(begin).await {
        Ok(transaction) => transaction,
        Err(error) => return Err(Failure { before_begin: true, ..Failure::from(error) }),
    };
    let result = async {
        if kind == Kind::Write {
            // Each statement sees what was written before it began, so all of them see what the last one wrote.
            sqlx::query(ONE_WRITER).execute(&mut *transaction).await?;
        }
        work(&mut *transaction).await
    };
    match result.await {
        Ok(value) => {
            transaction.commit().await?;
            Ok(value)
        }
        Err(error) => {
            let failure = Failure::from(error);
            let rolled_back = transaction.rollback().await.is_ok();
            Err(Failure { connection_is_whole: rolled_back && failure.connection_is_whole, ..failure })
        }
    }
}

impl Connection for PgConnection {
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
        "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now"
    }
}

fn query(sql: &'static str, values: &[Value<'_>]) -> Query<'static, Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Int(value) => query.bind(value),
        Value::Real(value) => query.bind(value),
        Value::Text(value) => query.bind(value.map(|text| storable(text).into_owned())),
        Value::Flag(value) => query.bind(value),
    })
}

/// PostgreSQL has no texts with a zero in them.
fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

impl Columns for PgRow {
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
