//! The mail server: it takes messages at once or slowly, refuses them for now, hangs up at any point, and sometimes is not there.

use std::future::Future;
use std::time::Duration;

use super::outside::{Life, Outside};
use crate::delivery::outbox::{Mail, Mailer, Outcome};

/// A life's way to the mail server.
#[derive(Clone)]
pub struct Post {
    pub life: Life,
    pub outside: Outside,
}

/// What the server does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Takes,
    RefusesEarly,
    RefusesLate,
    /// After the final dot; `true`: it has taken the message.
    HangsUp(bool),
    Away,
}

impl Post {
    fn mood(&self) -> (Mood, Duration, Duration) {
        let mut things = self.outside.things();
        if things.fault(8) {
            things.away.mail = things.now + things.random.below(30_000);
            things.note(self.life, || "the mail server goes away".to_owned());
        }
        let mood = if things.away.mail > things.now {
            Mood::Away
        } else if things.fault(60) {
            Mood::HangsUp(things.random.percent(50))
        } else if things.fault(60) {
            Mood::RefusesEarly
        } else if things.fault(60) {
            Mood::RefusesLate
        } else {
            Mood::Takes
        };
        let mut pause = || match things.fault(150) {
            true => Duration::from_millis(things.random.below(20_000) as u64),
            false => Duration::from_millis(3),
        };
        (mood, pause(), pause())
    }

    async fn step(&self, what: &str, pause: Duration) -> bool {
        tokio::time::sleep(pause).await;
        self.outside.step(self.life, what)
    }
}

impl Mailer for Post {
    async fn send(&self, mail: Mail, permission: impl Future<Output = bool> + Send) -> Outcome {
        let reply = || "simulated".to_owned();
        let (mood, before, after) = self.mood();
        if !self.step("talking to the mail server", before).await || mood == Mood::Away {
            return Outcome::Unreached { reply: reply() };
        }
        if mood == Mood::RefusesEarly {
            return Outcome::TryLater { reply: reply() };
        }
        if !permission.await {
            return Outcome::Stopped;
        }
        if !self.step("the last bytes of a message", after).await {
            return Outcome::Unconfirmed { reply: reply() };
        }
        let arrives = matches!(mood, Mood::Takes | Mood::HangsUp(true));
        if arrives {
            let mut things = self.outside.things();
            things.note(self.life, || format!("a message of {} arrives", mail.rule));
            things.receive(self.life, mail.id.0);
        }
        if !self.step("the mail server's answer", Duration::from_millis(2)).await {
            return Outcome::Unconfirmed { reply: reply() };
        }
        match mood {
            Mood::Takes => Outcome::Accepted { reply: reply() },
            Mood::HangsUp(_) => Outcome::Unconfirmed { reply: reply() },
            Mood::RefusesEarly | Mood::RefusesLate | Mood::Away => Outcome::TryLater { reply: reply() },
        }
    }
}
