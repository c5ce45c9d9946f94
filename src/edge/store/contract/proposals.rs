//! What every store must do with what is proposed.

use super::{about, at, detail, opened, step, write};
use crate::core::effect::{Effect, IncidentId, Proposed, TicketStep};
use crate::core::rule::proposal::{Money, Undecided};
use crate::delivery::samples::proposed;
use crate::delivery::store::{ProposalRow, Store};

fn two_yuan() -> Proposed {
    Proposed::Compensation(Ok(Money { amount: "2.00".parse().expect("a number"), currency: "CNY".into() }))
}

/// What a ticket shows of what is proposed: `compensation→a1 2.00 proposed`.
async fn proposals(store: &impl Store, incident: u128) -> Vec<String> {
    let rows = detail(store, incident).await.proposals;
    let line = |row: &ProposalRow| {
        let what = [&row.action, &row.amount, &row.undecided].into_iter().flatten().next();
        let what = what.map_or("", String::as_str);
        format!("{}→{} {what} {}", row.kind, row.account_id, row.state)
    };
    rows.iter().map(line).collect()
}

pub async fn what_is_proposed_is_kept_once_and_withdrawn_once(store: impl Store) {
    let effects = [
        opened(1),
        proposed(1, "a1", two_yuan(), 2, 1),
        proposed(1, "a1", Proposed::Action("reissue_key".into()), 2, 1),
        proposed(1, "a2", Proposed::Compensation(Err(Undecided::NoAmount)), 2, 2),
        proposed(1, "", Proposed::Action("route_around".into()), 2, 2),
        proposed(1, "a1", two_yuan(), 5, 3),
    ];
    let first = write(&store, effects.clone()).await;
    assert_eq!(first.repeated, 0);
    let expected = [
        "compensation→a1 2.00 withdrawn",
        "action→a1 reissue_key proposed",
        "compensation→a2 no_amount proposed",
        "action→ route_around proposed",
    ];
    assert_eq!(proposals(&store, 1).await, expected);
    assert_eq!(write(&store, effects.clone()).await.written, 0, "written again, it changes nothing");
    assert_eq!(proposals(&store, 1).await, expected);
    write(&store, [proposed(1, "a1", two_yuan(), 6, 9)]).await;
    write(&store, effects).await;
    assert_eq!(proposals(&store, 1).await[0], "compensation→a1 2.00 proposed", "it is true after all");
    let row = &detail(&store, 1).await.proposals[0];
    assert_eq!((row.currency.as_deref(), row.order_id.as_deref()), (Some("CNY"), Some("o-a1")));
    assert_eq!(row.decided_at, at(1));
}

pub async fn what_a_merged_incident_has_proposed_is_shown_by_the_other(store: impl Store) {
    let symptom = |effect: Effect| about(effect, "symptom");
    let effects = [
        symptom(opened(1)),
        symptom(proposed(1, "a1", two_yuan(), 2, 1)),
        opened(2),
        symptom(step(1, 2, TicketStep::Merged(IncidentId(2)), 3)),
        // It had been on its way.
        symptom(proposed(1, "a2", two_yuan(), 2, 1)),
        proposed(2, "a1", two_yuan(), 2, 3),
    ];
    write(&store, effects.clone()).await;
    write(&store, effects).await;
    let both = ["a1", "a2", "a1"].map(|account| format!("compensation→{account} 2.00 proposed"));
    assert_eq!(proposals(&store, 2).await, both, "each incident's own, to whomever");
    assert_eq!(proposals(&store, 1).await, [""; 0]);
    // The engine has lost its state and finds the same trouble anew: nobody is offered the same again.
    write(&store, [opened(3), proposed(3, "a1", two_yuan(), 2, 5)]).await;
    assert_eq!(proposals(&store, 3).await, both);
}
