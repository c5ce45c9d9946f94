//! The outbox: messages are claimed, handed over, completed; what a dead sender left is taken back.

use std::collections::BTreeMap;

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row as _, SqliteConnection};

use crate::core::effect::IncidentId;
use crate::core::time::Time;
use crate::delivery::customers::Locale;
use crate::delivery::notice::{HoldReason, NoticeId, Recipient, StaffKind, Via};
use crate::delivery::store::{Addressee, Attempt, HandOver, Outgoing, StoreFigures};
use crate::edge::store::encode;
use crate::edge::store::sqlite::rows::time;
use crate::edge::store::sqlite::{apply, known, tickets};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Whether there is anything to claim, asked of a reader, so that an idle outbox writes nothing.
pub async fn any_due(readers: &SqlitePool, now: Time) -> Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM notices WHERE state = 'pending' AND next_at <= ?1)
             OR EXISTS (SELECT 1 FROM notices WHERE state = 'sending' AND lease_until < ?1)",
    )
    .bind(now.as_millis())
    .fetch_one(readers)
    .await
}

/// Takes back claims whose lease has run out, or all of them when the daemon starts. What had been handed over may
/// have arrived: it is `unknown`, unless it shall rather be sent twice than not at all.
pub async fn recover(connection: &mut SqliteConnection, now: Option<Time>, resend: bool) -> Result<()> {
    sqlx::query(
        "UPDATE notices SET lease_until = NULL, handed_at = NULL,
                state = CASE WHEN handed_at IS NULL OR ?2 THEN 'pending' ELSE 'unknown' END,
                reason = CASE WHEN handed_at IS NULL OR ?2 THEN reason ELSE 'interrupted' END,
                sent_at = CASE WHEN handed_at IS NULL OR ?2 THEN sent_at ELSE handed_at END
         WHERE state = 'sending' AND (?1 IS NULL OR lease_until < ?1)",
    )
    .bind(now.map(Time::as_millis))
    .bind(resend)
    .execute(connection)
    .await?;
    Ok(())
}

/// A message about the end is due only once the one about the beginning has left the house.
pub async fn claim(
    connection: &mut SqliteConnection,
    now: Time,
    limit: u32,
    lease_until: i64,
) -> Result<Vec<Outgoing>> {
    let rows = sqlx::query(
        "UPDATE notices SET state = 'sending', attempts = attempts + 1, lease_until = ?3, handed_at = NULL
         WHERE seq IN (
             SELECT n.seq FROM notices n WHERE n.state = 'pending' AND n.next_at <= ?1
                AND (n.stage NOT IN ('recovered', 'corrected')
                     OR EXISTS (SELECT 1 FROM notices o WHERE o.incident = n.incident AND o.account = n.account
                                AND o.stage = 'opened' AND o.state IN ('sent', 'unknown')))
             ORDER BY n.next_at, n.seq LIMIT ?2)
         RETURNING seq, id, incident, account, stage, rule, subject, template, recipient, via, locale, facts,
                   decided_at, attempts",
    )
    .bind(now.as_millis())
    .bind(i64::from(limit))
    .bind(lease_until)
    .fetch_all(&mut *connection)
    .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        claimed.push((row.try_get::<i64, _>("seq")?, outgoing(connection, row).await?));
    }
    claimed.sort_by_key(|(seq, _)| *seq);
    Ok(claimed.into_iter().map(|(_, outgoing)| outgoing).collect())
}

async fn outgoing(connection: &mut SqliteConnection, row: &SqliteRow) -> Result<Outgoing> {
    let id: String = row.try_get("id")?;
    let incident = known::incident(row, "incident")?;
    let stage: String = row.try_get("stage")?;
    let (to, ticket) = match StaffKind::parse(&stage) {
        Some(kind) => {
            let held = held_of(connection, incident).await?;
            (Addressee::Staff { kind, held }, tickets::one(connection, incident).await?)
        }
        None => (account(row, &stage)?, None),
    };
    Ok(Outgoing {
        id: NoticeId::parse(&id).ok_or_else(|| known::unreadable("id", &id))?,
        attempt: known::number(row, "attempts")?,
        incident,
        rule: row.try_get::<String, _>("rule")?.into(),
        subject: known::subject(row)?,
        decided_at: time(row.try_get("decided_at")?),
        to,
        ticket,
    })
}

fn account(row: &SqliteRow, stage: &str) -> Result<Addressee> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let (recipient, via, facts) = (text("recipient")?, text("via")?, text("facts")?);
    Ok(Addressee::Account {
        account_id: text("account")?.into(),
        stage: known::stage(stage)?,
        template: text("template")?.into(),
        recipient: Recipient::parse(&recipient).ok_or_else(|| known::unreadable("recipient", &recipient))?,
        via: Via::parse(&via).ok_or_else(|| known::unreadable("via", &via))?,
        locale: row.try_get::<Option<String>, _>("locale")?.as_deref().and_then(Locale::parse),
        facts: Box::new(encode::read_facts(&facts).ok_or_else(|| known::unreadable("facts", &facts))?),
    })
}

async fn held_of(connection: &mut SqliteConnection, incident: IncidentId) -> Result<u64> {
    let held: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM notices WHERE incident = ?1 AND state = 'held' AND account <> ''",
    )
    .bind(incident.to_string())
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(held).unwrap_or(0))
}

pub async fn hand_over(
    connection: &mut SqliteConnection,
    id: NoticeId,
    attempt: u32,
    now: Time,
) -> Result<HandOver> {
    let updated = sqlx::query(
        "UPDATE notices SET handed_at = ?3
         WHERE id = ?1 AND attempts = ?2 AND state = 'sending'
           AND (stage <> 'opened' OR NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = notices.incident
                                                 AND i.ended_at IS NOT NULL))",
    )
    .bind(id.to_string())
    .bind(i64::from(attempt))
    .bind(now.as_millis())
    .execute(connection)
    .await?;
    Ok(if updated.rows_affected() > 0 { HandOver::Go } else { HandOver::Stop })
}

/// The columns that an attempt's end sets.
struct End {
    state: &'static str,
    reason: Option<String>,
    hold: Option<&'static str>,
    next_at: i64,
    sent_at: Option<i64>,
    reply: Option<String>,
}

impl End {
    fn of(result: Attempt) -> Self {
        let end = |state| Self { state, reason: None, hold: None, next_at: 0, sent_at: None, reply: None };
        match result {
            Attempt::Sent { at, reply } => {
                Self { sent_at: Some(at.as_millis()), reply: Some(reply), ..end("sent") }
            }
            Attempt::Unknown { at, reply } => Self {
                sent_at: Some(at.as_millis()),
                reason: Some("no_answer".to_owned()),
                reply: Some(reply),
                ..end("unknown")
            },
            Attempt::TryAgain { at, reply } => {
                Self { next_at: at.as_millis(), reply: Some(reply), ..end("pending") }
            }
            Attempt::Failed { reply } => {
                Self { reason: Some("refused".to_owned()), reply: Some(reply), ..end("failed") }
            }
            Attempt::Expired => {
                Self { reason: Some("expired".to_owned()), hold: Some("expired"), ..end("held") }
            }
            Attempt::Held { reason } => {
                Self { reason: Some(reason.as_str().to_owned()), hold: Some(reason.as_str()), ..end("held") }
            }
            Attempt::Cancelled => Self { reason: Some("over".to_owned()), ..end("cancelled") },
        }
    }
}

pub async fn complete(
    connection: &mut SqliteConnection,
    id: NoticeId,
    attempt: u32,
    result: Attempt,
) -> Result<bool> {
    let end = End::of(result);
    let updated = sqlx::query(
        "UPDATE notices SET state = ?3, reason = ?4, hold = ?5, next_at = ?6, sent_at = ?7, reply = ?8,
                lease_until = NULL, handed_at = NULL
         WHERE id = ?1 AND attempts = ?2 AND state = 'sending' RETURNING incident, account, stage",
    )
    .bind(id.to_string())
    .bind(i64::from(attempt))
    .bind(end.state)
    .bind(end.reason)
    .bind(end.hold)
    .bind(end.next_at)
    .bind(end.sent_at)
    .bind(end.reply)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = updated else { return Ok(false) };
    let incident: String = row.try_get("incident")?;
    if row.try_get::<String, _>("stage")? != "opened" {
        return Ok(true);
    }
    if end.state == "sent" {
        sqlx::query(
            "UPDATE affected SET told_at = ?3 WHERE incident = ?1 AND account = ?2 AND told_at IS NULL",
        )
        .bind(&incident)
        .bind(row.try_get::<String, _>("account")?)
        .bind(end.sent_at)
        .execute(&mut *connection)
        .await?;
        return Ok(true);
    }
    // The incident may have ended while the message was on its way.
    let over: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM incidents WHERE id = ?1 AND ended_at IS NOT NULL)")
            .bind(&incident)
            .fetch_one(&mut *connection)
            .await?;
    if over {
        apply::cancel_untold(connection, &incident).await?;
    }
    Ok(true)
}

pub async fn release_held(
    connection: &mut SqliteConnection,
    incident: Option<IncidentId>,
    actor: &str,
    at: Time,
) -> Result<u64> {
    let releasable: Vec<&str> = HoldReason::ALL
        .into_iter()
        .filter(|reason| reason.can_be_released())
        .map(HoldReason::as_str)
        .collect();
    let reasons = serde_json::Value::from(releasable).to_string();
    let rows = sqlx::query(
        "UPDATE notices SET state = 'pending', hold = NULL, reason = NULL, next_at = 0
         WHERE state = 'held' AND (?1 IS NULL OR incident = ?1)
           AND hold IN (SELECT value FROM json_each(?2)) RETURNING incident",
    )
    .bind(incident.map(|incident| incident.to_string()))
    .bind(reasons)
    .fetch_all(&mut *connection)
    .await?;
    let mut released = BTreeMap::<String, u64>::new();
    for row in &rows {
        *released.entry(row.try_get("incident")?).or_default() += 1;
    }
    for (incident, count) in &released {
        let detail = count.to_string();
        apply::add_step(connection, incident, None, at.as_millis(), actor, "released", Some(&detail)).await?;
    }
    Ok(released.values().sum())
}

pub async fn figures(readers: &SqlitePool) -> Result<StoreFigures> {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM notices WHERE state IN ('pending', 'sending')) AS depth,
                (SELECT min(decided_at) FROM notices WHERE state IN ('pending', 'sending')) AS oldest,
                (SELECT count(*) FROM notices WHERE state = 'unknown') AS unknown,
                (SELECT count(*) FROM incidents WHERE ended_at IS NULL) AS open_incidents",
    )
    .fetch_one(readers)
    .await?;
    // What rules in the shadow do not say waits for nobody.
    let held = sqlx::query(
        "SELECT hold, count(*) AS count FROM notices WHERE state = 'held' AND hold <> 'shadow' GROUP BY hold",
    )
    .fetch_all(readers)
    .await?;
    let mut figures = StoreFigures {
        outbox_depth: known::number(&row, "depth")?,
        outbox_oldest: row.try_get::<Option<i64>, _>("oldest")?.map(time),
        held: BTreeMap::new(),
        unknown: known::number(&row, "unknown")?,
        open_incidents: known::number(&row, "open_incidents")?,
    };
    for row in &held {
        let reason: Option<String> = row.try_get("hold")?;
        figures.held.insert(reason.unwrap_or_default(), known::number(row, "count")?);
    }
    Ok(figures)
}
