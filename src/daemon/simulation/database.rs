//! The database of a simulated daemon: the real statements on a real database, which answers late, not at all, or so that the
//! answer is lost.

use std::future::Future;
use std::time::Duration;

use super::outside::{Life, Outside};
use crate::core::effect::IncidentId;
use crate::core::time::Time;
use crate::delivery::notice::NoticeId;
use crate::delivery::ownership::{Ownership, Taken};
use crate::delivery::store::{
    ActionResult, Applied, Attempt, HandOver, KnownNotice, OutboxStore, Outgoing, Planned, ShadowRow, Store,
    StoreError, StoreFigures, StoredIncident, TicketDetail, TicketFilter, TicketRow,
};
use crate::edge::store::Database;

/// A life's way to the database.
#[derive(Clone)]
pub struct Unreliable {
    pub life: Life,
    pub outside: Outside,
    pub database: Database,
}

type Result<T> = std::result::Result<T, StoreError>;

fn no_answer() -> StoreError {
    StoreError::TryAgain("simulated".to_owned())
}

impl Unreliable {
    /// Does something in the database; before and after it anything can happen.
    async fn ask<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.before(what).await?;
        let result = work.await;
        let lost = {
            let mut things = self.outside.things();
            let lost = things.fault(15);
            if lost {
                things.note(self.life, || format!("the database's answer is lost: {what}"));
            }
            lost
        };
        if self.outside.step(self.life, &format!("{what}, done")) && !lost {
            result
        } else {
            Err(no_answer())
        }
    }

    async fn before(&self, what: &str) -> Result<()> {
        let (pause, away) = {
            let mut things = self.outside.things();
            if things.fault(4) {
                things.away.database = things.now + things.random.below(15_000);
                things.note(self.life, || "the database goes away".to_owned());
            }
            let pause = if things.fault(80) { things.random.below(1_500) } else { 0 };
            (pause, things.away.database > things.now)
        };
        if pause > 0 {
            tokio::time::sleep(Duration::from_millis(pause as u64)).await;
        }
        if away || !self.outside.step(self.life, what) { Err(no_answer()) } else { Ok(()) }
    }
}

impl OutboxStore for Unreliable {
    async fn claim_due(&self, now: Time, limit: u32, lease: Duration) -> Result<Vec<Outgoing>> {
        self.ask("claiming messages", self.database.claim_due(now, limit, lease)).await
    }

    async fn hand_over(&self, id: NoticeId, attempt: u32, now: Time) -> Result<HandOver> {
        self.ask("handing a message over", self.database.hand_over(id, attempt, now)).await
    }

    async fn complete(&self, id: NoticeId, attempt: u32, result: Attempt) -> Result<bool> {
        self.ask("completing a message", self.database.complete(id, attempt, result)).await
    }
}

impl Store for Unreliable {
    async fn take_over(
        &self,
        shards: &[u32],
        holder: &str,
        lease: Duration,
        ended: Option<i64>,
    ) -> Result<Taken> {
        self.ask("taking the shards over", async {
            let taken = self.database.take_over(shards, holder, lease, ended).await?;
            // Whoever has raised the epoch is the owner, whether or not it ever hears of it.
            self.outside.things().owner = self.life;
            Ok(taken)
        })
        .await
    }

    async fn keep(&self, ownership: &Ownership, lease: Duration) -> Result<()> {
        self.database.keep(ownership, lease).await
    }

    async fn let_go(&self, ownership: &Ownership) -> Result<()> {
        self.database.let_go(ownership).await
    }

    async fn apply(&self, ownership: &Ownership, batch: &[Planned]) -> Result<Applied> {
        let written = self
            .ask("writing effects", async {
                let applied = self.database.apply(ownership, batch).await?;
                let mut things = self.outside.things();
                for planned in batch {
                    things.note(self.life, || format!("writes {}", super::line(&planned.effect)));
                }
                if things.owner != self.life {
                    things.accuse(self.life, "effects of an old epoch were written".to_owned());
                }
                if applied.superseded > 0 {
                    things.accuse(self.life, "a second incident of a rule and subject was opened".to_owned());
                }
                Ok(applied)
            })
            .await?;
        if let Some(book) = self.outside.things().books.get_mut(&self.life) {
            book.durable += batch.len() as u64;
        }
        Ok(written)
    }

    async fn known_incidents(&self, ended_after: Time) -> Result<Vec<StoredIncident>> {
        self.ask("reading the incidents", self.database.known_incidents(ended_after)).await
    }

    async fn end_without_rule(&self, incidents: &[IncidentId], at: Time) -> Result<u64> {
        self.ask("ending incidents", self.database.end_without_rule(incidents, at)).await
    }

    async fn known_notices(&self, ended_after: Time) -> Result<Vec<KnownNotice>> {
        self.ask("reading the messages", self.database.known_notices(ended_after)).await
    }

    async fn release_held(&self, incident: Option<IncidentId>, actor: &str, at: Time) -> Result<u64> {
        self.database.release_held(incident, actor, at).await
    }

    async fn tickets(&self, filter: &TicketFilter) -> Result<Vec<TicketRow>> {
        self.database.tickets(filter).await
    }

    async fn in_the_shadow(&self, since: Time) -> Result<Vec<ShadowRow>> {
        self.database.in_the_shadow(since).await
    }

    async fn ticket(&self, id: &str) -> Result<Vec<TicketDetail>> {
        self.database.ticket(id).await
    }

    async fn acknowledge(&self, id: IncidentId, actor: &str, at: Time) -> Result<ActionResult> {
        self.database.acknowledge(id, actor, at).await
    }

    async fn close(&self, id: IncidentId, actor: &str, at: Time, note: Option<&str>) -> Result<ActionResult> {
        self.database.close(id, actor, at, note).await
    }

    async fn figures(&self) -> Result<StoreFigures> {
        self.database.figures().await
    }
}
