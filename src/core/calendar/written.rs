//! Calendars as people write them, and what they mean.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{Calendar, DAY, MINUTE, WEEKDAYS, of};
use crate::core::time::Time;

/// The most entries of each list of a calendar, and the most days that its holidays come to.
const MOST: usize = 2_000;

/// A calendar as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub time_zone: Option<String>,
    /// By weekdays: `mon-fri`, `sat`, to `09:00-18:00`.
    pub hours: BTreeMap<String, Vec<String>>,
    pub holidays: Vec<String>,
    pub workdays: Vec<String>,
    pub spans: Vec<String>,
}

/// What is wrong with a calendar: the field, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub field: String,
    pub what: String,
}

/// The time zone of that name, from the tables that are built in.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

impl Written {
    /// `default`: the time zone where it names none.
    pub fn check(&self, default: &str) -> Result<Calendar, Vec<Problem>> {
        let mut problems = Vec::new();
        let name = self.time_zone.as_deref().unwrap_or(default);
        let zone = zone(name);
        if zone.is_none() {
            let what = format!("there is no time zone {name:?}; expected one such as \"Asia/Shanghai\"");
            problems.push(Problem { field: "time_zone".to_owned(), what });
        }
        let zone = zone.unwrap_or(TimeZone::UTC);
        let weekly = self.weekly(&mut problems);
        let holidays = days("holidays", &self.holidays, &mut problems);
        let workdays = days("workdays", &self.workdays, &mut problems);
        if let Some(date) = holidays.intersection(&workdays).next() {
            problem(&mut problems, "workdays", format!("{date} is a holiday as well"));
        }
        let spans = spans(&self.spans, &zone, &mut problems);
        if self.hours.is_empty() && self.spans.is_empty() && problems.is_empty() {
            let what = "has no time; expected `hours` of weekdays, or `spans` of dates".to_owned();
            problems.push(Problem { field: String::new(), what });
        }
        for (field, list) in [("holidays", &self.holidays), ("workdays", &self.workdays)] {
            if self.hours.is_empty() && !list.is_empty() {
                problem(&mut problems, field, "says nothing without `hours`".to_owned());
            }
        }
        if problems.is_empty() {
            Ok(Calendar { zone, weekly, holidays, workdays, spans })
        } else {
            Err(problems)
        }
    }

    fn weekly(&self, problems: &mut Vec<Problem>) -> [Vec<(i64, i64)>; 7] {
        let mut weekly: [Vec<(i64, i64)>; 7] = Default::default();
        for (days, hours) in &self.hours {
            let field = format!("hours.{days}");
            let Some((first, last)) = weekdays(days) else {
                let what = "expected weekdays such as \"mon-fri\" or \"sat\"; they are mon, tue, wed, thu, fri, sat, sun";
                problem(problems, &field, what.to_owned());
                continue;
            };
            if hours.is_empty() {
                problem(problems, &field, "is empty; expected hours such as \"09:00-18:00\"".to_owned());
            }
            for text in hours {
                let Some(span) = clock_span(text) else {
                    let what = format!(
                        "{text:?}; expected hours such as \"09:00-18:00\", \"22:00-06:00\" or \"00:00-24:00\""
                    );
                    problem(problems, &field, what);
                    continue;
                };
                for day in weekly.iter_mut().take(last + 1).skip(first) {
                    day.push(span);
                }
            }
        }
        for (day, hours) in (0..).zip(&mut weekly) {
            hours.sort_unstable();
            let overlapping = hours.windows(2).any(|pair| matches!(pair, [one, other] if other.0 < one.1));
            if overlapping {
                let name = WEEKDAYS.get(day).map_or("", |(name, _)| *name);
                problem(problems, "hours", format!("the hours of {name} overlap"));
            }
        }
        weekly
    }
}

fn problem(problems: &mut Vec<Problem>, field: &str, what: String) {
    problems.push(Problem { field: field.to_owned(), what });
}

/// The first and the last weekday, from Monday on.
fn weekdays(text: &str) -> Option<(usize, usize)> {
    let place = |name: &str| WEEKDAYS.iter().position(|(known, _)| *known == name.trim());
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (place(first)?, place(last)?),
        None => (place(text)?, place(text)?),
    };
    (first <= last).then_some((first, last))
}

/// `09:00-18:00`, in milliseconds of the day.
fn clock_span(text: &str) -> Option<(i64, i64)> {
    let (from, until) = text.split_once('-')?;
    let (from, until) = (clock(from)?, clock(until)?);
    match from.cmp(&until) {
        std::cmp::Ordering::Less => Some((from, until)),
        // They go on after midnight.
        std::cmp::Ordering::Greater if from < DAY => Some((from, until + DAY)),
        std::cmp::Ordering::Greater | std::cmp::Ordering::Equal => None,
    }
}

fn clock(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten();
    let (hours, minutes) = (i64::from(digits(hours)?), i64::from(digits(minutes)?));
    let of_day = (hours * 60 + minutes) * MINUTE;
    (minutes < 60 && of_day <= DAY).then_some(of_day)
}

/// Days and stretches of days, the last one included.
fn days(field: &str, list: &[String], problems: &mut Vec<Problem>) -> BTreeSet<Date> {
    let mut days = BTreeSet::new();
    for text in list {
        let (first, last) = text.split_once('/').unwrap_or((text, text));
        match (date(first), date(last)) {
            (Some(first), Some(last)) if first <= last => {
                days.extend(
                    first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last).take(MOST + 1),
                );
            }
            _ => {
                let what = format!(
                    "{text:?}; expected a date such as \"2026-10-01\", or the first and last of several: \"2026-10-01/2026-10-07\""
                );
                problem(problems, field, what);
            }
        }
        if days.len() > MOST {
            problem(problems, field, format!("more than {MOST} days"));
            days.clear();
            break;
        }
    }
    days
}

/// Dated spans in order; those that touch are one.
fn spans(list: &[String], zone: &TimeZone, problems: &mut Vec<Problem>) -> Vec<(Time, Time)> {
    if list.len() > MOST {
        problem(problems, "spans", format!("more than {MOST} spans"));
        return Vec::new();
    }
    let mut spans: Vec<(Time, Time)> = Vec::new();
    for text in list {
        let (from, until) = text.split_once('/').unwrap_or((text, text));
        let single = !text.contains('/') && date(text).is_none();
        let edges = start(from.trim(), zone).zip(end(until.trim(), zone));
        match edges {
            Some((from, until)) if from < until && !single => spans.push((from, until)),
            Some(_) if !single => {
                problem(problems, "spans", format!("{text:?} ends before it begins"));
            }
            Some(_) | None => {
                let what = format!(
                    "{text:?}; expected a date, or a start and an end such as \"2026-11-10T20:00/2026-11-11\""
                );
                problem(problems, "spans", what);
            }
        }
    }
    spans.sort_unstable();
    let mut joined: Vec<(Time, Time)> = Vec::with_capacity(spans.len());
    for (from, until) in spans {
        match joined.last_mut() {
            Some((_, last)) if from <= *last => *last = until.max(*last),
            _ => joined.push((from, until)),
        }
    }
    joined
}

/// A date alone, without a time.
fn date(text: &str) -> Option<Date> {
    if text.contains([':', 'T']) { None } else { text.trim().parse().ok() }
}

fn start(text: &str, zone: &TimeZone) -> Option<Time> {
    match date(text) {
        Some(date) => shown(date.to_datetime(Clock::midnight()), zone),
        None => moment(text, zone),
    }
}

/// A date as an end is included; a time is the first that is not.
fn end(text: &str, zone: &TimeZone) -> Option<Time> {
    match date(text) {
        Some(date) => shown(date.tomorrow().ok()?.to_datetime(Clock::midnight()), zone),
        None => moment(text, zone),
    }
}

/// With its own offset, or by the clocks of the time zone.
fn moment(text: &str, zone: &TimeZone) -> Option<Time> {
    match text.parse::<jiff::Timestamp>() {
        Ok(timestamp) => Some(of(timestamp)),
        Err(_) => shown(text.parse::<DateTime>().ok()?, zone),
    }
}

fn shown(shown: DateTime, zone: &TimeZone) -> Option<Time> {
    Some(of(zone.to_timestamp(shown).ok()?))
}
