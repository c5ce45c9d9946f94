//! SQL for every database: what a statement is given, what it gives back, and what a database must do for that.
//!
//! The statements are written once, with `$1`, `$2` … for values, in the words that all databases have in common.
//! What can't be said in common words is asked of the connection.

pub mod apply;
pub mod known;
pub mod life;
pub mod outbox;
pub mod proposals;
pub mod rows;
pub mod shadow;
pub mod shards;
pub mod tickets;

use std::future::Future;
use std::pin::Pin;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

pub type Result<T> = std::result::Result<T, sqlx::Error>;

/// Something that is being done with a connection.
pub type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// A connection to a database, or a transaction on it.
pub trait Connection: Send {
    /// Runs a statement; says how many rows it has written.
    fn execute<'c>(&'c mut self, sql: &'static str, values: &'c [Value<'c>]) -> Work<'c, u64>;

    fn fetch<'c>(&'c mut self, sql: &'static str, values: &'c [Value<'c>]) -> Work<'c, Vec<Row>>;

    /// The statement that takes messages out of the outbox: those due at `$1`, at most `$2`, until `$3`, for the run
    /// `$4`. It gives back what [`outbox::claim`] reads.
    fn claim_statement(&self) -> &'static str;

    /// The query for the milliseconds since 1970 by the clock of the database, as `now`.
    fn clock_statement(&self) -> &'static str;
}

impl dyn Connection + '_ {
    /// The first row, if there is one.
    pub async fn fetch_first(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>> {
        Ok(self.fetch(sql, values).await?.into_iter().next())
    }

    /// The row of a query that always has one.
    pub async fn fetch_one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Row> {
        self.fetch_first(sql, values).await?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Whether a query finds anything.
    pub async fn finds(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<bool> {
        Ok(!self.fetch(sql, values).await?.is_empty())
    }
}

/// How far a transaction is kept apart from others that run beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It writes nothing, and sees one state of the database.
    Read,
    /// As if it ran alone.
    Write,
    /// It writes row by row whatever others do beside it: each statement says in itself what it relies on.
    WriteRows,
}

/// What a transaction does. It may be done again from the start where the database could not keep it apart.
pub trait Transaction<T>:
    for<'c> Fn(&'c mut (dyn Connection + 'c)) -> Work<'c, T> + Send + Sync + 'static
{
}

impl<T, F> Transaction<T> for F where
    F: for<'c> Fn(&'c mut (dyn Connection + 'c)) -> Work<'c, T> + Send + Sync + 'static
{
}

/// What a statement is given. The database learns the type even of what is not there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    Int(Option<i64>),
    Real(f64),
    Text(Option<&'v str>),
    Flag(bool),
}

/// Values for a statement, from `$1` on.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::edge::store::sql::Value::from($value)),*] };
}
pub(crate) use values;

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(Some(value))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(value: Option<&'v str>) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v Option<String>> for Value<'v> {
    fn from(value: &'v Option<String>) -> Self {
        Self::Text(value.as_deref())
    }
}

/// The columns of a row as its database has them. Errors name the column.
pub trait Columns: Send + Sync {
    fn int(&self, column: &str) -> Result<Option<i64>>;
    fn real(&self, column: &str) -> Result<Option<f64>>;
    fn text(&self, column: &str) -> Result<Option<String>>;
    fn flag(&self, column: &str) -> Result<Option<bool>>;
}

/// What a query gives back.
pub struct Row(Box<dyn Columns>);

impl Row {
    pub fn new(columns: impl Columns + 'static) -> Self {
        Self(Box::new(columns))
    }

    pub fn get<T: Column>(&self, column: &str) -> Result<T> {
        T::read(self.0.as_ref(), column)
    }
}

/// What can be read out of a column.
pub trait Column: Sized {
    fn read(row: &dyn Columns, column: &str) -> Result<Self>;
}

impl Column for Option<i64> {
    fn read(row: &dyn Columns, column: &str) -> Result<Self> {
        row.int(column)
    }
}

impl Column for Option<String> {
    fn read(row: &dyn Columns, column: &str) -> Result<Self> {
        row.text(column)
    }
}

impl Column for i64 {
    fn read(row: &dyn Columns, column: &str) -> Result<Self> {
        present(row.int(column)?, column)
    }
}

impl Column for f64 {
    fn read(row: &dyn Columns, column: &str) -> Result<Self> {
        present(row.real(column)?, column)
    }
}

impl Column for String {
    fn read(row: &dyn Columns, column: &str) -> Result<Self> {
        present(row.text(column)?, column)
    }
}

impl Column for bool {
    fn read(row: &dyn Columns, column: &str) -> Result<Self> {
        present(row.flag(column)?, column)
    }
}

fn present<T>(value: Option<T>, column: &str) -> Result<T> {
    let missing =
        || sqlx::Error::ColumnDecode { index: column.to_owned(), source: "it holds nothing".into() };
    value.ok_or_else(missing)
}

/// The steps that lead to the schema, each with a name for people. Their numbers count from 1.
pub type Migrations = &'static [(&'static str, &'static str)];

pub fn migrations(texts: Migrations) -> Vec<Migration> {
    let migration = |(version, (name, text)): (i64, &(&'static str, &'static str))| {
        Migration::new(version, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    (1..).zip(texts).map(migration).collect()
}

/// The version of the schema that this forewarn works with.
pub fn newest(texts: Migrations) -> i64 {
    i64::try_from(texts.len()).unwrap_or(i64::MAX)
}

/// The version of the schema that is there; none where nothing has been made yet.
pub async fn schema_version(connection: &mut dyn Connection) -> Result<Option<i64>> {
    let row = connection
        .fetch_one("SELECT max(version) AS version FROM _sqlx_migrations WHERE success", &[])
        .await?;
    row.get("version")
}
