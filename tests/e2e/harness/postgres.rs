//! The real PostgreSQL: a schema of a test's own, and what others do to it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use forewarn::edge::store::{Database, Options};
use forewarn::settings::{PostgresSettings, StoreSettings};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::broker::unique;

/// The address of the server that all tests share, with its password.
pub fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| given().unwrap_or_else(start))
}

#[expect(
    clippy::disallowed_methods,
    reason = "scripts/test says in the environment where its server listens"
)]
fn given() -> Option<String> {
    std::env::var("FOREWARN_TEST_POSTGRES").ok().filter(|address| !address.is_empty())
}

fn start() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/postgres");
    let output = Command::new(&script).arg("start").output().unwrap();
    assert!(
        output.status.success(),
        "no PostgreSQL to test against: `{} start` failed\n{}",
        script.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A schema that no other test and no other run uses.
pub struct Schema {
    pub name: String,
}

impl Schema {
    pub async fn new() -> Self {
        let name = unique("test").replace('-', "_");
        let schema = Self { name };
        schema.tell(&format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    /// The address with which everything happens in this schema, and with more parameters.
    pub fn url(&self, parameters: &str) -> String {
        format!("{}?application_name={1}&options[search_path]={1}{parameters}", address(), self.name)
    }

    pub fn settings(&self, parameters: &str) -> StoreSettings {
        settings(&self.url(parameters))
    }

    /// A store as a daemon opens it.
    pub async fn open(&self) -> Database {
        Database::open(&self.settings(""), Options::default()).await.unwrap()
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url("")).await.unwrap()
    }

    /// Runs statements of somebody else's.
    pub async fn tell(&self, statements: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A number that somebody else reads.
    pub async fn ask(&self, query: &str) -> i64 {
        let mut connection = self.connect().await;
        let answer =
            sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        answer
    }
}

pub fn settings(url: &str) -> StoreSettings {
    StoreSettings::Postgres(PostgresSettings::parse(url.to_owned()).unwrap())
}
