//! The statistics that a server answers: names and values. It knows no connection.

use serde_json::{Number, Value};

/// The statistics of one group, in the order of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    rows: Vec<(String, String)>,
    bytes: usize,
}

impl Stats {
    /// Adds a line of the server: `STAT NAME VALUE`, or `PREFIX NAME get N hit N set N del N` of
    /// `stats detail dump`, which becomes a row for each number. Returns `false` if the line is
    /// neither.
    pub fn push(&mut self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        self.bytes += line.len() + size_of::<(String, String)>();
        match line.split_once(' ') {
            Some(("STAT", rest)) => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                self.rows.push((name.into(), value.into()));
                true
            }
            Some(("PREFIX", rest)) => self.push_prefix(rest).is_some(),
            _ => false,
        }
    }

    fn push_prefix(&mut self, rest: &str) -> Option<()> {
        // A prefix may have spaces. Eight words follow it.
        let words: Vec<_> = rest.rsplitn(9, ' ').collect();
        let (prefix, counts) = words.split_last()?;
        for pair in counts.rchunks(2) {
            let [value, name] = pair else { return None };
            self.rows.push((format!("{prefix}:{name}"), (*value).into()));
        }
        Some(())
    }

    /// Returns about how much memory the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|(name, value)| (&name[..], &value[..]))
    }

    /// Returns the value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(one, _)| *one == name).map(|(_, value)| value)
    }

    /// Returns the value of a name, if it is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Returns whether the general statistics are those of a proxy.
    pub fn is_proxy(&self) -> bool {
        self.get("proxy_conn_requests").is_some()
    }

    /// Returns the value of a name, if it is a number.
    pub fn float(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }
}

/// Returns a value of a statistic for JSON: a number if it is written like one, or a text.
pub fn value(name: &str, text: &str) -> Value {
    // These are texts, although they may look like numbers.
    if name.ends_with("version") || name == "libevent" || name.ends_with(":key") {
        return text.into();
    }
    // `+1`, `007`, `inf` and `1e5` are texts.
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let number = match text.strip_prefix('-').unwrap_or(text).split_once('.') {
        Some((whole, part)) if canonical(whole) && digits(part) => {
            text.parse().ok().and_then(Number::from_f64)
        }
        None if canonical(text) => text.parse::<u64>().ok().map(Number::from),
        None if canonical(text.trim_start_matches('-')) => text.parse::<i64>().ok().map(Number::from),
        _ => None,
    };
    number.map_or_else(|| text.into(), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_become_rows() {
        let mut stats = Stats::default();
        assert!(stats.push(b"STAT pid 7") && stats.push(b"STAT empty") && stats.push(b"STAT text a b"));
        assert!(stats.push(b"PREFIX a b get 1 hit 2 set 3 del 4"));
        let rows: Vec<_> = stats.iter().collect();
        let expected = [("pid", "7"), ("empty", ""), ("text", "a b")];
        assert_eq!(rows[..3], expected);
        assert_eq!(rows[3..], [("a b:get", "1"), ("a b:hit", "2"), ("a b:set", "3"), ("a b:del", "4")]);
        assert_eq!((stats.number("pid"), stats.number("text"), stats.number("no")), (Some(7), None, None));
        for line in [&b""[..], b"STAT", b"END", b"\xff\xff", b"VALUE a 0 1"] {
            assert!(!stats.push(line), "{line:?}");
        }
    }

    #[test]
    fn only_numbers_are_numbers() {
        let cases = [
            ("pid", "7", json!(7)),
            ("big", "18446744073709551615", json!(u64::MAX)),
            ("low", "-1", json!(-1)),
            ("rusage_user", "0.250000", json!(0.25)),
            ("version", "1.6", json!("1.6")),
            ("1:key", "12", json!("12")),
            ("text", "007", json!("007")),
            ("text", "1e5", json!("1e5")),
            ("text", "--1", json!("--1")),
            ("text", "NaN", json!("NaN")),
            ("text", "", json!("")),
            ("text", "-", json!("-")),
        ];
        for (name, text, expected) in cases {
            assert_eq!(value(name, text), expected, "{name} {text}");
        }
    }
}
