//! Silences: what people have asked not to hear of for a while. A finding that one covers feeds the history of its
//! incident; no ticket opens and nobody is told.

use compact_str::CompactString;

use crate::core::effect::Subject;
use crate::core::time::Time;

/// Findings of a rule, of subjects with these values, or both, between two times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Every rule where left out.
    pub rule: Option<String>,
    /// The values that the subject must have.
    pub fields: Vec<(CompactString, CompactString)>,
    pub from: Time,
    /// Not part of it any more.
    pub until: Time,
    pub reason: String,
    pub author: String,
}

impl Silence {
    fn covers(&self, rule: &str, subject: &Subject, time: Time) -> bool {
        self.from <= time
            && time < self.until
            && self.rule.as_deref().is_none_or(|name| name == rule)
            && self.fields.iter().all(|(name, value)| subject.get(name) == Some(value))
    }
}

/// All silences, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silences(pub Vec<Silence>);

impl Silences {
    /// The first silence that covers what a rule says of a subject at a time of events.
    pub fn over(&self, rule: &str, subject: &Subject, time: Time) -> Option<&Silence> {
        self.0.iter().find(|silence| silence.covers(rule, subject, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_holds_from_its_start_to_just_before_its_end_for_what_it_names() {
        let at = Time::from_millis;
        let alipay = vec![(CompactString::from("channel"), CompactString::from("alipay"))];
        let silence = Silence {
            rule: Some("drop".to_owned()),
            fields: alipay.clone(),
            from: at(10),
            until: at(20),
            reason: "maintenance".to_owned(),
            author: "li".to_owned(),
        };
        let (subject, other) = (Subject(alipay), Subject(vec![("channel".into(), "wechat".into())]));
        let silences = Silences(vec![silence.clone()]);
        let covers = |rule: &str, subject: &Subject, time| silences.over(rule, subject, at(time)).is_some();
        assert_eq!([9, 10, 19, 20].map(|time| covers("drop", &subject, time)), [false, true, true, false]);
        assert!(!covers("other", &subject, 15) && !covers("drop", &other, 15));
        assert!(!covers("drop", &Subject::default(), 15), "a subject without the field");
        let wide = Silences(vec![Silence { rule: None, fields: Vec::new(), ..silence }]);
        assert!(wide.over("other", &other, at(15)).is_some());
    }
}
