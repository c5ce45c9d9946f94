//! The results as JUnit XML, for build servers.

use super::Result;

pub(super) fn write(results: &[Result<'_>]) -> String {
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text.push_str(&format!("<testsuites tests=\"{}\" failures=\"{failed}\">\n", results.len()));
    let mut rest = results;
    while let Some(first) = rest.first() {
        let same = |result: &&Result<'_>| {
            result.rule == first.rule && result.test.place.file == first.test.place.file
        };
        let of_rule = rest.iter().take_while(same).count();
        let (suite, others) = rest.split_at(of_rule);
        rest = others;
        let failed = suite.iter().filter(|result| result.failure.is_some()).count();
        text.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" file=\"{}\">\n",
            escaped(first.rule),
            suite.len(),
            escaped(&first.test.place.file)
        ));
        for result in suite {
            text.push_str(&case(result));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(result: &Result<'_>) -> String {
    let place = &result.test.place;
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
        escaped(result.rule),
        escaped(&result.test.name),
        escaped(&place.file),
        place.line
    );
    match &result.failure {
        None => format!("{head}/>\n"),
        Some(failure) => {
            let first = failure.lines().next().unwrap_or_default();
            format!(
                "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escaped(first),
                escaped(failure)
            )
        }
    }
}

/// Text as XML takes it; control characters, which it does not take at all, become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
