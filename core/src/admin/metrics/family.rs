//! Metric families as plain data: names, types, labels and values.

use std::fmt::Write as _;

/// The metrics of a server or a cache at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The families. Each name occurs once.
    pub families: Vec<MetricFamily>,
}

/// All samples of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The name, with `_total` if counters of this name have it.
    pub name: &'static str,
    /// The help: one sentence about the values.
    pub help: &'static str,
    /// The type.
    pub kind: MetricKind,
    /// The samples, in a stable order. No two have the same labels.
    pub samples: Vec<MetricSample>,
}

/// The type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A sum that only grows, until `stats reset` or a restart.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// Counts of observations by their size.
    Histogram,
}

/// A value with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// Names and values of the labels. In a key or a prefix, `\xHH` is a byte that is not
    /// printable UTF-8, and two backslashes are one.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: MetricValue,
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A counter or a gauge.
    Number(f64),
    /// A histogram.
    Histogram(MetricHistogram),
}

/// Counts of observations by their size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricHistogram {
    /// Upper bounds in ascending order, each with the number of observations up to it.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of the observations.
    pub sum: f64,
    /// Number of observations, also of those above the last bound.
    pub count: u64,
}

impl MetricFamily {
    /// Returns a family without samples.
    pub(super) fn new(kind: MetricKind, name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind, samples: Vec::new() }
    }

    /// Calls `each` with the numbers of all samples: the end of the name, the labels, the upper
    /// bound if it is a bucket, and the value. A histogram is one number for each bucket, one for
    /// the sum, and one for the count.
    #[doc(hidden)]
    pub fn numbers(&self, mut each: impl FnMut(&'static str, &[(&'static str, String)], Option<f64>, f64)) {
        for MetricSample { labels, value } in &self.samples {
            match value {
                MetricValue::Number(number) => each("", labels, None, *number),
                MetricValue::Histogram(histogram) => {
                    let all = (f64::INFINITY, histogram.count);
                    for (bound, count) in histogram.buckets.iter().copied().chain([all]) {
                        each("_bucket", labels, Some(bound), count as f64);
                    }
                    each("_sum", labels, None, histogram.sum);
                    each("_count", labels, None, histogram.count as f64);
                }
            }
        }
    }

    /// Adds a number.
    pub(super) fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        self.samples.push(MetricSample { labels, value: MetricValue::Number(value) });
        self
    }
}

/// Returns a key or a prefix as the text of a label. No two byte strings have the same text.
///
/// Printable UTF-8 stays as it is. Other bytes become `\x` and two digits, and a backslash becomes
/// two. So the text has at most four bytes for each byte of the key.
pub(super) fn label(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let push_bytes = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => push_bytes(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        push_bytes(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_text_of_bounded_length() {
        let cases: [(&[u8], &str); 6] = [
            (b"user:1", "user:1"),
            ("größe".as_bytes(), "größe"),
            (b"a\xffb", r"a\xffb"),
            (b"a\\xffb", r"a\\xffb"),
            (b"a\n\"", r#"a\x0a""#),
            (b"", ""),
        ];
        for (bytes, text) in cases {
            assert_eq!(label(bytes), text);
        }
        assert_eq!(label(&[0xff; 250]).len(), 1000);
    }

    #[test]
    fn different_keys_have_different_labels() {
        let bytes = [b'a', b'\\', b'x', b'6', b'1', b'\n', 0xc3, 0xa9, 0xff];
        let mut labels = HashSet::new();
        let mut keys = 0;
        for a in bytes {
            for b in bytes {
                for c in bytes {
                    for d in bytes {
                        keys += 1;
                        labels.insert(label(&[a, b, c, d]));
                    }
                }
            }
        }
        assert_eq!(labels.len(), keys);
    }
}
