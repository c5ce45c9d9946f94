//! Calendars against a model that asks minute by minute what the clocks show.

use proptest::prelude::*;

use super::*;
use crate::core::tests::seeded;
use crate::core::time::Span;

fn at(text: &str) -> Time {
    Time::from_millis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn written(hours: &[(&str, &str)]) -> Written {
    let list = |text: &str| text.split(", ").map(str::to_owned).collect();
    Written {
        hours: hours.iter().map(|(days, hours)| ((*days).to_owned(), list(hours))).collect(),
        ..Written::default()
    }
}

fn advance(calendar: &Calendar, from: Time, span: Span) -> Time {
    Measure::new(Arc::new(calendar.clone())).after(from, span)
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn business() -> Calendar {
    let written = Written {
        holidays: texts(&["2026-10-01/2026-10-07"]),
        workdays: texts(&["2026-10-10"]),
        ..written(&[("mon-fri", "09:00-12:00, 13:30-18:00")])
    };
    written.check("Asia/Shanghai").unwrap()
}

#[test]
fn hours_hold_their_first_moment_and_not_their_last_on_working_days() {
    let calendar = business();
    for (time, holds) in [
        ("2026-09-28T00:59:59.999Z", false),
        ("2026-09-28T01:00:00Z", true),
        ("2026-09-28T03:59:59.999Z", true),
        ("2026-09-28T04:00:00Z", false),
        ("2026-09-28T05:30:00Z", true),
        ("2026-09-28T10:00:00Z", false),
        // A holiday on a Thursday, a Saturday on which all work, and the Sunday after it.
        ("2026-10-01T02:00:00Z", false),
        ("2026-10-10T02:00:00Z", true),
        ("2026-10-11T02:00:00Z", false),
    ] {
        assert_eq!(calendar.holds(at(time)), holds, "{time}");
    }
    for (time, change) in [
        ("2026-09-28T00:00:00Z", "2026-09-28T01:00:00Z"),
        ("2026-09-28T01:00:00Z", "2026-09-28T04:00:00Z"),
        ("2026-09-30T10:00:00Z", "2026-10-08T01:00:00Z"),
        ("2026-10-09T10:00:00Z", "2026-10-10T01:00:00Z"),
        ("2026-10-10T10:00:00Z", "2026-10-12T01:00:00Z"),
    ] {
        assert_eq!(calendar.next_change(at(time)), at(change), "{time}");
    }
}

#[test]
fn spans_hold_whole_days_and_times_up_to_their_last() {
    let written = Written {
        spans: texts(&[
            "2026-06-18",
            "2026-11-10T20:00/2026-11-11",
            "2026-11-12/2026-11-12T01:00",
            "2026-12-01T00:00Z/2026-12-01T06:00Z",
        ]),
        ..Written::default()
    };
    let calendar = written.check("Asia/Shanghai").unwrap();
    for (time, holds) in [
        ("2026-06-17T15:59:59.999Z", false),
        ("2026-06-17T16:00:00Z", true),
        ("2026-06-18T15:59:59.999Z", true),
        ("2026-06-18T16:00:00Z", false),
        ("2026-11-10T12:00:00Z", true),
        ("2026-11-11T16:59:59.999Z", true),
        ("2026-11-11T17:00:00Z", false),
        ("2026-12-01T05:59:59.999Z", true),
        ("2026-12-01T06:00:00Z", false),
    ] {
        assert_eq!(calendar.holds(at(time)), holds, "{time}");
    }
    assert_eq!(calendar.next_change(at("2026-11-10T12:00:00Z")), at("2026-11-11T17:00:00Z"), "they touch");
    assert_eq!(calendar.next_change(at("2027-01-01T00:00:00Z")), Time::MAX);
}

#[test]
fn a_span_is_measured_in_the_calendars_own_time() {
    let calendar = business();
    for (from, minutes, after) in [
        ("2026-09-28T01:00:00Z", 15, "2026-09-28T01:15:00Z"),
        ("2026-09-28T03:50:00Z", 10, "2026-09-28T04:00:00Z"),
        ("2026-09-28T03:50:00Z", 15, "2026-09-28T05:35:00Z"),
        ("2026-09-28T20:00:00Z", 15, "2026-09-29T01:15:00Z"),
        ("2026-09-30T09:50:00Z", 15, "2026-10-08T01:05:00Z"),
        ("2026-09-28T20:00:00Z", 0, "2026-09-28T20:00:00Z"),
    ] {
        assert_eq!(
            advance(&calendar, at(from), Span::from_mins(minutes)),
            at(after),
            "{from} and {minutes}m"
        );
    }
    let promotion = Written { spans: texts(&["2026-06-18"]), ..Written::default() };
    let promotion = promotion.check("UTC").unwrap();
    assert_eq!(
        advance(&promotion, at("2026-06-18T23:30:00Z"), Span::from_mins(30)),
        at("2026-06-19T00:00:00Z")
    );
    assert_eq!(advance(&promotion, at("2026-06-18T23:30:00Z"), Span::from_mins(31)), Time::MAX);
}

#[test]
fn what_is_wrong_with_a_calendar_is_said_with_its_field() {
    let wrong = |written: Written| -> Vec<String> {
        let problems = written.check("Asia/Shanghai").unwrap_err();
        problems.iter().map(|problem| format!("{}: {}", problem.field, problem.what)).collect()
    };
    for (given, expected) in [
        (Written::default(), ": has no time; expected `hours` of weekdays, or `spans` of dates"),
        (
            Written { time_zone: Some("Asia/Peking".to_owned()), ..written(&[("mon", "09:00-10:00")]) },
            "time_zone: there is no time zone \"Asia/Peking\"",
        ),
        (written(&[("monday", "09:00-10:00")]), "hours.monday: expected weekdays such as \"mon-fri\""),
        (written(&[("fri-mon", "09:00-10:00")]), "hours.fri-mon: expected weekdays"),
        (written(&[("mon", "9-10")]), "hours.mon: \"9-10\"; expected hours such as \"09:00-18:00\""),
        (written(&[("mon", "09:00-24:01")]), "hours.mon: "),
        (written(&[("mon", "09:00-09:00")]), "hours.mon: "),
        (written(&[("mon-fri", "09:00-12:00"), ("wed", "11:00-13:00")]), "hours: the hours of wed overlap"),
        (
            Written { holidays: texts(&["2026-02-30"]), ..written(&[("mon", "09:00-10:00")]) },
            "holidays: \"2026-02-30\"; expected a date such as \"2026-10-01\"",
        ),
        (
            Written { holidays: texts(&["2026-01-01/2036-01-01"]), ..written(&[("mon", "09:00-10:00")]) },
            "holidays: more than 2000 days",
        ),
        (
            Written {
                holidays: texts(&["2026-10-10"]),
                workdays: texts(&["2026-10-10"]),
                ..written(&[("mon", "09:00-10:00")])
            },
            "workdays: 2026-10-10 is a holiday as well",
        ),
        (
            Written { spans: texts(&["2026-11-11/2026-11-10"]), ..Written::default() },
            "spans: \"2026-11-11/2026-11-10\" ends before it begins",
        ),
        (
            Written { spans: texts(&["2026-11-11T08:00"]), ..Written::default() },
            "spans: \"2026-11-11T08:00\"; expected a date, or a start and an end",
        ),
        (
            Written { spans: texts(&["tomorrow"]), ..Written::default() },
            "spans: \"tomorrow\"; expected a date",
        ),
        (
            Written { spans: texts(&["2026-11-11"]), holidays: texts(&["2026-11-11"]), ..Written::default() },
            "holidays: says nothing without `hours`",
        ),
    ] {
        let said = wrong(given);
        assert!(said.iter().any(|line| line.starts_with(expected)), "{expected}: {said:?}");
    }
}

/// The model: what the clocks show, and the words of the calendar.
#[derive(Debug)]
struct Model {
    zone: TimeZone,
    /// Weekday from Monday on, first and last minute of the day.
    hours: Vec<(usize, i64, i64)>,
    holidays: Vec<Date>,
    workdays: Vec<Date>,
    dated: Vec<Date>,
}

impl Model {
    fn day(&self, date: Date) -> usize {
        if self.workdays.contains(&date) {
            return self.hours.iter().map(|(day, ..)| *day).min().unwrap_or(9);
        }
        usize::try_from(date.weekday().to_monday_zero_offset()).unwrap()
    }

    fn holds(&self, minute: i64) -> bool {
        let shown = self.zone.to_datetime(Timestamp::from_second(minute * 60).unwrap());
        let date = shown.date();
        if self.dated.contains(&date) {
            return true;
        }
        let now = i64::from(shown.hour()) * 60 + i64::from(shown.minute());
        let yesterday = date.yesterday().unwrap();
        self.hours.iter().any(|(day, from, until)| {
            let today = !self.holidays.contains(&date) && self.day(date) == *day;
            let before = !self.holidays.contains(&yesterday) && self.day(yesterday) == *day;
            match from < until {
                true => today && (*from..*until).contains(&now),
                false => today && now >= *from || before && now < *until,
            }
        })
    }
}

/// A calendar about the changes of the clocks in spring and autumn, and its model.
fn both() -> impl Strategy<Value = (Calendar, Model, i64)> {
    let zones = prop_oneof![
        Just("Asia/Shanghai"),
        Just("Europe/Berlin"),
        Just("America/New_York"),
        Just("Australia/Lord_Howe")
    ];
    let starts = prop_oneof![
        Just("2026-03-05T00:00:00Z"),
        Just("2026-03-27T00:00:00Z"),
        Just("2026-10-02T00:00:00Z"),
        Just("2026-10-23T00:00:00Z"),
        Just("2026-06-01T00:00:00Z")
    ];
    let hours = proptest::collection::btree_map(0..7usize, (0..48i64, 0..49i64), 0..6);
    let days = || proptest::collection::btree_set(0..20i32, 0..3);
    (zones, starts, hours, days(), days(), days()).prop_map(
        |(zone_name, start, hours, holidays, workdays, dated)| {
            let zone = zone(zone_name).unwrap();
            let start = at(start);
            let first = zone.to_datetime(timestamp(start).unwrap()).date();
            let date = |offset: &i32| first.checked_add(jiff::Span::new().days(*offset)).unwrap();
            let hours: Vec<(usize, i64, i64)> = hours
                .into_iter()
                .map(|(day, (from, until))| (day, from * 30, until * 30))
                .filter(|(_, from, until)| from != until)
                .collect();
            let holidays: Vec<Date> = holidays.iter().map(date).collect();
            let workdays: Vec<Date> =
                workdays.iter().map(date).filter(|date| !holidays.contains(date)).collect();
            let mut dated: Vec<Date> = dated.iter().map(date).collect();
            if hours.is_empty() && dated.is_empty() {
                dated.push(first);
            }
            let clock = |minute: &i64| format!("{:02}:{:02}", minute / 60, minute % 60);
            let words = Written {
                time_zone: Some(zone_name.to_owned()),
                hours: hours
                    .iter()
                    .map(|(day, from, until)| {
                        (WEEKDAYS[*day].0.to_owned(), vec![format!("{}-{}", clock(from), clock(until))])
                    })
                    .collect(),
                holidays: if hours.is_empty() {
                    Vec::new()
                } else {
                    holidays.iter().map(Date::to_string).collect()
                },
                workdays: if hours.is_empty() {
                    Vec::new()
                } else {
                    workdays.iter().map(Date::to_string).collect()
                },
                spans: dated.iter().map(Date::to_string).collect(),
            };
            let calendar = words.check("UTC").unwrap_or_else(|problems| panic!("{words:?}: {problems:?}"));
            (calendar, Model { zone, hours, holidays, workdays, dated }, start.as_millis() / MINUTE)
        },
    )
}

proptest! {
    #![proptest_config(seeded(ProptestConfig { cases: 48, ..ProptestConfig::default() }))]

    #[test]
    fn every_minute_is_where_the_clocks_say((calendar, model, start) in both()) {
        let end = start + 18 * 24 * 60;
        let holds: Vec<bool> = (start..end).map(|minute| model.holds(minute)).collect();
        let mut change = Time::MIN;
        for (minute, expected) in (start..end).zip(&holds) {
            let time = Time::from_millis(minute * MINUTE);
            prop_assert_eq!(calendar.holds(time), *expected, "{} in {:?}", time, calendar);
            if time >= change {
                let place = usize::try_from(minute - start).unwrap();
                let next = holds[place..].iter().position(|other| other != expected);
                change = calendar.next_change(time);
                match next {
                    Some(steps) => prop_assert_eq!(change, Time::from_millis((minute + steps as i64) * MINUTE), "after {} in {:?}", time, calendar),
                    None => prop_assert!(change >= Time::from_millis(end * MINUTE), "{} after {}", change, time),
                }
            }
        }
    }

    #[test]
    fn a_span_is_over_when_so_many_minutes_of_the_calendar_have_passed(
        (calendar, model, start) in both(), froms in proptest::collection::vec(0..8 * 24 * 60i64, 1..20), minutes in 1..2_000i64
    ) {
        let mut measure = Measure::new(Arc::new(calendar));
        for from in froms {
            let (mut minute, mut passed) = (start + from, 0);
            while passed < minutes && minute < start + 18 * 24 * 60 {
                passed += i64::from(model.holds(minute));
                minute += 1;
            }
            if passed < minutes {
                continue;
            }
            let (from, after) = (Time::from_millis((start + from) * MINUTE), Time::from_millis(minute * MINUTE));
            prop_assert_eq!(measure.after(from, Span::from_mins(minutes)), after, "from {}", from);
            prop_assert_eq!(measure.holds(from), model.holds(from.as_millis() / MINUTE));
        }
    }
}
