//! What a daemon takes up after a restart: incidents, and who was told about them.

use crate::core::effect::{IncidentId, Stage, Subject};
use crate::core::time::Time;
use crate::delivery::notice::HoldReason;
use crate::delivery::store::{KnownNotice, StoredIncident};
use crate::edge::store::encode;
use crate::edge::store::sql::rows::time;
use crate::edge::store::sql::{Connection, Result, Row, values};

pub async fn incidents(connection: &mut dyn Connection, ended_after: Time) -> Result<Vec<StoredIncident>> {
    let rows = connection
        .fetch(
            "SELECT i.id, i.rule, i.rule_version, i.subject, i.since, i.started_at, i.opened_at, i.ended_at,
                i.merged_into, i.revision, t.affected
         FROM incidents i JOIN tickets t ON t.id = i.id
         WHERE i.ended_at IS NULL OR i.ended_at > $1 ORDER BY i.opened_at, i.id",
            values![ended_after.as_millis()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredIncident {
                id: incident(row, "id")?,
                rule: row.get::<String>("rule")?.into(),
                rule_version: row.get::<i64>("rule_version")?.cast_unsigned(),
                subject: subject(row)?,
                since: time(row.get("since")?),
                started_at: time(row.get("started_at")?),
                opened_at: time(row.get("opened_at")?),
                ended_at: row.get::<Option<i64>>("ended_at")?.map(time),
                merged_into: merged_into(row)?,
                revision: number(row, "revision")?,
                affected: number(row, "affected")?,
            })
        })
        .collect()
}

pub async fn notices(connection: &mut dyn Connection, ended_after: Time) -> Result<Vec<KnownNotice>> {
    let rows = connection
        .fetch(
            "SELECT n.incident, n.account, n.stage, n.hold, i.ended_at
         FROM notices n JOIN incidents i ON i.id = n.incident
         WHERE n.account <> '' AND (i.ended_at IS NULL OR i.ended_at > $1) ORDER BY n.seq",
            values![ended_after.as_millis()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let hold: Option<String> = row.get("hold")?;
            Ok(KnownNotice {
                incident: incident(row, "incident")?,
                incident_ended_at: row.get::<Option<i64>>("ended_at")?.map(time),
                account_id: row.get::<String>("account")?.into(),
                stage: stage(&row.get::<String>("stage")?)?,
                held: hold.as_deref().and_then(HoldReason::parse),
            })
        })
        .collect()
}

/// Whether a ticket of this id is there, and its state.
pub async fn ticket_state(connection: &mut dyn Connection, id: &str) -> Result<Option<String>> {
    let row = connection.fetch_first("SELECT state FROM tickets WHERE id = $1", values![id]).await?;
    row.map(|row| row.get("state")).transpose()
}

pub fn incident(row: &Row, column: &str) -> Result<IncidentId> {
    let text: String = row.get(column)?;
    IncidentId::parse(&text).ok_or_else(|| unreadable(column, &text))
}

pub fn merged_into(row: &Row) -> Result<Option<IncidentId>> {
    let text: Option<String> = row.get("merged_into")?;
    text.map(|text| IncidentId::parse(&text).ok_or_else(|| unreadable("merged_into", &text))).transpose()
}

pub fn subject(row: &Row) -> Result<Subject> {
    let text: String = row.get("subject")?;
    encode::read_subject(&text).ok_or_else(|| unreadable("subject", &text))
}

pub fn number<T: TryFrom<i64> + Default>(row: &Row, column: &str) -> Result<T> {
    Ok(T::try_from(row.get::<i64>(column)?).unwrap_or_default())
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
