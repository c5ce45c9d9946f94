//! The daemon's database as another process sees it.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection};

use super::broker::runtime;

/// The rows of a query whose columns are texts or numbers, each row as one text with `|` between the columns.
pub fn rows(database: &Path, query: &str) -> Result<Vec<String>, String> {
    use sqlx::{Row, TypeInfo, ValueRef};
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    runtime().block_on(async {
        let mut connection =
            SqliteConnection::connect_with(&options).await.map_err(|error| error.to_string())?;
        let rows = sqlx::query(AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await;
        let rows = rows.map_err(|error| format!("{query}: {error}"))?;
        let column = |row: &sqlx::sqlite::SqliteRow, index: usize| {
            // A column's declared type is told even where there is no value.
            let raw = row.try_get_raw(index)?;
            let kind = if raw.is_null() { "NULL".to_owned() } else { raw.type_info().name().to_owned() };
            match kind.as_str() {
                "INTEGER" | "BIGINT" => row.try_get::<i64, _>(index).map(|number| number.to_string()),
                "REAL" => row.try_get::<f64, _>(index).map(|number| number.to_string()),
                "NULL" => Ok("-".to_owned()),
                _ => row.try_get::<String, _>(index),
            }
        };
        let text = |row: &sqlx::sqlite::SqliteRow| {
            let columns: Result<Vec<String>, _> = (0..row.len()).map(|index| column(row, index)).collect();
            columns.map(|columns| columns.join("|")).map_err(|error| error.to_string())
        };
        rows.iter().map(text).collect()
    })
}
