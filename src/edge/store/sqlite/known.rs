//! What a daemon takes up after a restart: incidents, and who was told about them.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use crate::core::effect::{IncidentId, Stage, Subject};
use crate::core::time::Time;
use crate::delivery::notice::HoldReason;
use crate::delivery::store::{KnownNotice, StoredIncident};
use crate::edge::store::encode;
use crate::edge::store::sqlite::rows::time;

type Result<T> = std::result::Result<T, sqlx::Error>;

pub async fn incidents(readers: &SqlitePool, ended_after: Time) -> Result<Vec<StoredIncident>> {
    let rows = sqlx::query(
        "SELECT i.id, i.rule, i.rule_version, i.subject, i.since, i.started_at, i.opened_at, i.ended_at,
                i.merged_into, i.revision, t.affected
         FROM incidents i JOIN tickets t ON t.id = i.id
         WHERE i.ended_at IS NULL OR i.ended_at > ?1 ORDER BY i.opened_at, i.id",
    )
    .bind(ended_after.as_millis())
    .fetch_all(readers)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredIncident {
                id: incident(row, "id")?,
                rule: row.try_get::<String, _>("rule")?.into(),
                rule_version: row.try_get::<i64, _>("rule_version")?.cast_unsigned(),
                subject: subject(row)?,
                since: time(row.try_get("since")?),
                started_at: time(row.try_get("started_at")?),
                opened_at: time(row.try_get("opened_at")?),
                ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(time),
                merged_into: merged_into(row)?,
                revision: number(row, "revision")?,
                affected: number(row, "affected")?,
            })
        })
        .collect()
}

pub async fn notices(readers: &SqlitePool, ended_after: Time) -> Result<Vec<KnownNotice>> {
    let rows = sqlx::query(
        "SELECT n.incident, n.account, n.stage, n.hold, i.ended_at
         FROM notices n JOIN incidents i ON i.id = n.incident
         WHERE n.account <> '' AND (i.ended_at IS NULL OR i.ended_at > ?1) ORDER BY n.seq",
    )
    .bind(ended_after.as_millis())
    .fetch_all(readers)
    .await?;
    rows.iter()
        .map(|row| {
            let hold: Option<String> = row.try_get("hold")?;
            Ok(KnownNotice {
                incident: incident(row, "incident")?,
                incident_ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(time),
                account_id: row.try_get::<String, _>("account")?.into(),
                stage: stage(row.try_get("stage")?)?,
                held: hold.as_deref().and_then(HoldReason::parse),
            })
        })
        .collect()
}

/// Whether a ticket of this id is there, and its state.
pub async fn ticket_state(connection: &mut SqliteConnection, id: &str) -> Result<Option<String>> {
    sqlx::query_scalar("SELECT state FROM tickets WHERE id = ?1").bind(id).fetch_optional(connection).await
}

pub fn incident(row: &SqliteRow, column: &str) -> Result<IncidentId> {
    let text: String = row.try_get(column)?;
    IncidentId::parse(&text).ok_or_else(|| unreadable(column, &text))
}

pub fn merged_into(row: &SqliteRow) -> Result<Option<IncidentId>> {
    let text: Option<String> = row.try_get("merged_into")?;
    text.map(|text| IncidentId::parse(&text).ok_or_else(|| unreadable("merged_into", &text))).transpose()
}

pub fn subject(row: &SqliteRow) -> Result<Subject> {
    let text: String = row.try_get("subject")?;
    encode::read_subject(&text).ok_or_else(|| unreadable("subject", &text))
}

pub fn number<T: TryFrom<i64> + Default>(row: &SqliteRow, column: &str) -> Result<T> {
    Ok(T::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
}

pub fn stage(text: &str) -> Result<Stage> {
    [Stage::Opened, Stage::Recovered, Stage::Corrected]
        .into_iter()
        .find(|stage| stage.as_str() == text)
        .ok_or_else(|| unreadable("stage", text))
}

/// A value that no version of ours has written.
pub fn unreadable(column: &str, text: &str) -> sqlx::Error {
    let start: String = text.chars().take(40).collect();
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: format!("cannot read {start:?}").into() }
}
