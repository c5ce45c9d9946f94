//! The outbox: messages are claimed, handed over, completed; what a dead sender left is taken back.

use std::collections::BTreeMap;

use crate::core::effect::IncidentId;
use crate::core::time::Time;
use crate::delivery::customers::Locale;
use crate::delivery::notice::{HoldReason, NoticeId, Recipient, StaffKind, Via};
use crate::delivery::store::{Addressee, Attempt, HandOver, Outgoing, StoreFigures};
use crate::edge::store::encode;
use crate::edge::store::sql::rows::time;
use crate::edge::store::sql::{Connection, Result, Row, apply, known, tickets, values};

/// Whether there is anything to claim, asked of a reader, so that an idle outbox writes nothing.
pub async fn any_due(connection: &mut dyn Connection, now: Time) -> Result<bool> {
    let row = connection
        .fetch_one(
            "SELECT EXISTS (SELECT 1 FROM notices WHERE state = 'pending' AND next_at <= $1)
             OR EXISTS (SELECT 1 FROM notices WHERE state = 'sending' AND lease_until < $1) AS due",
            values![now.as_millis()],
        )
        .await?;
    row.get("due")
}

/// Which claims are taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapsed {
    /// Nobody else can be alive.
    All,
    /// Those whose lease has run out at that time.
    At(Time),
    /// Those of runs that have lost all their shards.
    OfTheDead,
}

/// Takes claims back. What had been handed over may have arrived: it is `unknown`, unless it shall rather be sent twice
/// than not at all.
pub async fn recover(connection: &mut dyn Connection, lapsed: Lapsed, resend: bool) -> Result<()> {
    let now = match lapsed {
        Lapsed::At(now) => Some(now.as_millis()),
        Lapsed::All | Lapsed::OfTheDead => None,
    };
    connection
        .execute(
            "UPDATE notices SET lease_until = NULL, handed_at = NULL,
                state = CASE WHEN handed_at IS NULL OR $2 THEN 'pending' ELSE 'unknown' END,
                reason = CASE WHEN handed_at IS NULL OR $2 THEN reason ELSE 'interrupted' END,
                sent_at = CASE WHEN handed_at IS NULL OR $2 THEN sent_at ELSE handed_at END
         WHERE state = 'sending' AND ($1 IS NULL OR lease_until < $1)
           AND (NOT $3 OR (claimed_by IS NOT NULL
                           AND NOT EXISTS (SELECT 1 FROM shards s WHERE s.run = notices.claimed_by)))",
            values![now, resend, lapsed == Lapsed::OfTheDead],
        )
        .await?;
    Ok(())
}

/// Claims what is due. A message about the end is due only once the one about the beginning has left the house.
pub async fn claim(
    connection: &mut dyn Connection,
    now: Time,
    limit: u32,
    lease_until: i64,
    run: Option<i64>,
) -> Result<Vec<Outgoing>> {
    let statement = connection.claim_statement();
    let rows = connection.fetch(statement, values![now.as_millis(), limit, lease_until, run]).await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for row in &rows {
        claimed.push((row.get::<i64>("seq")?, outgoing(connection, row).await?));
    }
    claimed.sort_by_key(|(seq, _)| *seq);
    Ok(claimed.into_iter().map(|(_, outgoing)| outgoing).collect())
}

async fn outgoing(connection: &mut dyn Connection, row: &Row) -> Result<Outgoing> {
    let id: String = row.get("id")?;
    let incident = known::incident(row, "incident")?;
    let stage: String = row.get("stage")?;
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
        rule: row.get::<String>("rule")?.into(),
        subject: known::subject(row)?,
        decided_at: time(row.get("decided_at")?),
        to,
        ticket,
    })
}

fn account(row: &Row, stage: &str) -> Result<Addressee> {
    let text = |column: &str| row.get::<String>(column);
    let (recipient, via, facts) = (text("recipient")?, text("via")?, text("facts")?);
    Ok(Addressee::Account {
        account_id: text("account")?.into(),
        stage: known::stage(stage)?,
        template: text("template")?.into(),
        recipient: Recipient::parse(&recipient).ok_or_else(|| known::unreadable("recipient", &recipient))?,
        via: Via::parse(&via).ok_or_else(|| known::unreadable("via", &via))?,
        locale: row.get::<Option<String>>("locale")?.as_deref().and_then(Locale::parse),
        facts: Box::new(encode::read_facts(&facts).ok_or_else(|| known::unreadable("facts", &facts))?),
    })
}

async fn held_of(connection: &mut dyn Connection, incident: IncidentId) -> Result<u64> {
    let row = connection
        .fetch_one(
            "SELECT count(*) AS held FROM notices WHERE incident = $1 AND state = 'held' AND account <> ''",
            values![&incident.to_string()],
        )
        .await?;
    known::number(&row, "held")
}

pub async fn hand_over(
    connection: &mut dyn Connection,
    id: NoticeId,
    attempt: u32,
    now: Time,
) -> Result<HandOver> {
    let updated = connection
        .execute(
            "UPDATE notices SET handed_at = $3
         WHERE id = $1 AND attempts = $2 AND state = 'sending'
           AND (stage <> 'opened' OR NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = notices.incident
                                                 AND i.ended_at IS NOT NULL))",
            values![&id.to_string(), attempt, now.as_millis()],
        )
        .await?;
    Ok(if updated > 0 { HandOver::Go } else { HandOver::Stop })
}

/// The columns that an attempt's end sets.
pub struct End {
    state: &'static str,
    reason: Option<String>,
    hold: Option<&'static str>,
    next_at: i64,
    sent_at: Option<i64>,
    reply: Option<String>,
}

impl End {
    pub fn of(result: Attempt) -> Self {
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
    connection: &mut dyn Connection,
    id: NoticeId,
    attempt: u32,
    end: &End,
) -> Result<bool> {
    let updated = connection
        .fetch_first(
            "UPDATE notices SET state = $3, reason = $4, hold = $5, next_at = $6, sent_at = $7, reply = $8,
                lease_until = NULL, handed_at = NULL
         WHERE id = $1 AND attempts = $2 AND state = 'sending' RETURNING incident, account, stage",
            values![
                &id.to_string(),
                attempt,
                end.state,
                &end.reason,
                end.hold,
                end.next_at,
                end.sent_at,
                &end.reply
            ],
        )
        .await?;
    let Some(row) = updated else { return Ok(false) };
    let incident: String = row.get("incident")?;
    if row.get::<String>("stage")? != "opened" {
        return Ok(true);
    }
    if end.state == "sent" {
        connection
            .execute(
                "UPDATE affected SET told_at = $3 WHERE incident = $1 AND account = $2 AND told_at IS NULL",
                values![&incident, &row.get::<String>("account")?, end.sent_at],
            )
            .await?;
        return Ok(true);
    }
    // The incident may have ended while the message was on its way.
    if apply::is_over(connection, &incident).await? {
        apply::cancel_untold(connection, &incident).await?;
    }
    Ok(true)
}

pub async fn release_held(
    connection: &mut dyn Connection,
    incident: Option<IncidentId>,
    actor: &str,
    at: Time,
) -> Result<u64> {
    let mut released = BTreeMap::<String, u64>::new();
    for reason in HoldReason::ALL.into_iter().filter(|reason| reason.can_be_released()) {
        let rows = connection
            .fetch(
                "UPDATE notices SET state = 'pending', hold = NULL, reason = NULL, next_at = 0
                 WHERE state = 'held' AND ($1 IS NULL OR incident = $1) AND hold = $2 RETURNING incident",
                values![&incident.map(|incident| incident.to_string()), reason.as_str()],
            )
            .await?;
        for row in &rows {
            *released.entry(row.get("incident")?).or_default() += 1;
        }
    }
    for (incident, count) in &released {
        let detail = count.to_string();
        apply::add_step(connection, incident, None, at.as_millis(), actor, "released", Some(&detail)).await?;
    }
    Ok(released.values().sum())
}

pub async fn figures(connection: &mut dyn Connection) -> Result<StoreFigures> {
    let row = connection
        .fetch_one(
            "SELECT (SELECT count(*) FROM notices WHERE state IN ('pending', 'sending')) AS depth,
                (SELECT min(decided_at) FROM notices WHERE state IN ('pending', 'sending')) AS oldest,
                (SELECT count(*) FROM notices WHERE state = 'unknown') AS unknown,
                (SELECT count(*) FROM incidents WHERE ended_at IS NULL) AS open_incidents",
            values![],
        )
        .await?;
    // What rules in the shadow do not say waits for nobody.
    let held = connection
        .fetch(
            "SELECT hold, count(*) AS count FROM notices WHERE state = 'held' AND hold <> 'shadow'
             GROUP BY hold",
            values![],
        )
        .await?;
    let mut figures = StoreFigures {
        outbox_depth: known::number(&row, "depth")?,
        outbox_oldest: row.get::<Option<i64>>("oldest")?.map(time),
        held: BTreeMap::new(),
        unknown: known::number(&row, "unknown")?,
        open_incidents: known::number(&row, "open_incidents")?,
    };
    for row in &held {
        let reason: Option<String> = row.get("hold")?;
        figures.held.insert(reason.unwrap_or_default(), known::number(row, "count")?);
    }
    Ok(figures)
}
