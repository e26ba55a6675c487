//! What does a program that Prometheus could scrape say of itself?

use std::collections::BTreeMap;

/// One line: a series and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// A label; empty where it is absent, as Prometheus has it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    fn parse(line: &str) -> Option<Self> {
        let (series, rest) = match line.find('{') {
            Some(_) => {
                let end = end_of_labels(line)?;
                (line.get(..end)?, line.get(end + 1..)?)
            }
            None => line.split_once(' ')?,
        };
        // Behind the value there may be a time.
        let value = rest.split_whitespace().next()?.parse().ok()?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Self { name: name.to_owned(), labels: labels_of(labels)?, value })
    }
}

/// The samples of one metric in a text, in the format of Prometheus or OpenMetrics. Lines that cannot be read are left out.
pub fn samples<'a>(text: &'a str, metric: &'a str) -> impl Iterator<Item = Sample> + 'a {
    let of_it = move |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
    text.lines().filter(of_it).filter_map(Sample::parse)
}

/// All series of one metric together.
pub fn sum(text: &str, metric: &str) -> f64 {
    samples(text, metric).map(|sample| sample.value).sum()
}

/// Where the closing brace is: one inside of a quoted value is none.
fn end_of_labels(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

fn labels_of(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, letter) in rest.char_indices() {
            match letter {
                'n' if escaped => value.push('\n'),
                _ if escaped => value.push(letter),
                '\\' => {}
                '"' => end = Some(at),
                _ => value.push(letter),
            }
            if end.is_some() {
                break;
            }
            escaped = letter == '\\' && !escaped;
        }
        labels.insert(name.to_owned(), value);
        text = rest.get(end? + 1..)?;
        text = text.strip_prefix(',').unwrap_or(text);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP apiserver_request_total Counter of requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",group="batch",resource="jobs",verb="POST"} 1000
apiserver_request_total{code="409",group="batch",resource="jobs",verb="POST"} 6.6e+02
apiserver_request_totals{code="201"} 7
odd{path="a}\"b\\c,d",more="x\ny"} 1 1700000000
gowindows_reconcile_seconds_sum 1.5
gowindows_reconcile_seconds_count 3
# EOF
"#;

    #[test]
    fn series_are_read_with_their_labels() {
        let all: Vec<Sample> = samples(TEXT, "apiserver_request_total").collect();
        assert_eq!(all.iter().map(|sample| (sample.label("code"), sample.value)).collect::<Vec<_>>(), [("201", 1000.0), ("409", 660.0)]);
        assert_eq!((all[0].label("resource"), all[0].label("absent")), ("jobs", ""));
        assert_eq!(sum(TEXT, "apiserver_request_total"), 1660.0);
    }

    #[test]
    fn values_without_labels_and_with_odd_ones_are_read() {
        assert_eq!(sum(TEXT, "gowindows_reconcile_seconds_sum"), 1.5);
        assert_eq!(sum(TEXT, "gowindows_reconcile_seconds_count"), 3.0);
        let odd = samples(TEXT, "odd").next().expect("a sample");
        assert_eq!((odd.label("path"), odd.label("more"), odd.value), ("a}\"b\\c,d", "x\ny", 1.0));
        assert_eq!(samples("broken{a=\"b} 1\nbroken{a} 1\nbroken", "broken").count(), 0);
    }
}
