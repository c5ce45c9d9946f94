//! A rule in the shadow of production: it does everything but tell people, and its author can see what it would have done.

use serde_json::Value;

use crate::harness::broker;
use crate::harness::daemon::{EVERY_FAILURE, Place};
use crate::harness::events::Timeline;
use crate::harness::mailbox::Mailbox;
use crate::harness::world::topics;

#[test]
fn what_a_rule_in_the_shadow_would_do_is_kept_and_told_to_nobody_but_its_author() {
    let mailbox = Mailbox::open();
    let (orders, logins) = topics(2);
    let place = Place::new(&orders, &logins, &mailbox);
    place.add_rule("failures", EVERY_FAILURE);
    let hidden = EVERY_FAILURE
        .replace("name: failures", "name: hidden\nstate: shadow")
        .replace("at_least: 1", "at_least: 2");
    place.add_rule("hidden", &hidden);
    place.add_rule(
        "quiet",
        &hidden.replace("name: hidden", "name: quiet").replace("at_least: 2", "at_least: 9"),
    );
    place.set_numbered_customers(3);
    let time = Timeline::recent();
    // Each fails once, two of them twice.
    let failed = [(0, "a0"), (10, "a1"), (20, "a2"), (30, "a0"), (40, "a1")];
    let failure = |(second, account): (i64, &str)| {
        time.topup_failed(second, &format!("o{second}"), account, "alipay", "CHANNEL_TIMEOUT")
    };
    broker::produce(&orders, failed.map(failure));
    place.run_until_end();

    let config = place.path("forewarn.toml").display().to_string();
    let told = |arguments: &[&str]| -> Vec<Value> {
        let output = place.ask(&[arguments, &["-c", &config, "--format", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let rules = |tickets: &[Value]| -> Vec<String> {
        tickets.iter().map(|ticket| ticket["rule"].as_str().unwrap().to_owned()).collect()
    };
    let seen = told(&["ticket", "list"]);
    assert_eq!(rules(&seen), ["failures"; 3]);
    assert!(
        seen.iter()
            .all(|ticket| ticket["shadow"] == false && ticket["version"].as_str().unwrap().len() == 16)
    );
    assert_eq!(rules(&told(&["ticket", "list", "--shadow"])), ["hidden"; 2]);

    let rows = told(&["shadow", "--since", "1d"]);
    let figures = |row: &Value| {
        let count = |name: &str| row[name].as_u64().unwrap();
        (
            row["rule"].as_str().unwrap().to_owned(),
            count("tickets"),
            count("would_tell"),
            count("told_by_others"),
        )
    };
    assert_eq!(
        rows.iter().map(figures).collect::<Vec<_>>(),
        [("hidden".to_owned(), 2, 2, 2), ("quiet".to_owned(), 0, 0, 0)]
    );
    assert_eq!(mailbox.mails().len(), 3, "one for each customer, of the rule that is active");
}
