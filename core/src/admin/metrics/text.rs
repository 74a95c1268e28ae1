//! The text forms of metrics: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! An encoder of our own, because no crate writes both forms with the names of memcached's public
//! exporter: see docs/architecture.md.

use std::fmt::Write as _;

use super::family::{MetricFamily, MetricKind, Metrics};

/// A text form of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsFormat {
    /// Prometheus text 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// Returns the form for the header `Accept` of a request: OpenMetrics if the client names it,
    /// unless it prefers `text/plain` by a higher `q`.
    pub fn negotiate(accept: &str) -> Self {
        let best = |wanted: &str| {
            let kinds = accept.split(',').filter_map(|entry| {
                let mut parts = entry.split(';').map(str::trim);
                let is_wanted = parts.next()?.eq_ignore_ascii_case(wanted);
                let q = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
                q.filter(|q: &f32| is_wanted && *q > 0.0)
            });
            kinds.fold(0.0, f32::max)
        };
        let open = best("application/openmetrics-text");
        if open > 0.0 && open >= best("text/plain") { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns the form of a name: `prometheus` or `openmetrics`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "prometheus" => Some(Self::Prometheus),
            "openmetrics" => Some(Self::OpenMetrics),
            _ => None,
        }
    }

    /// Returns the `Content-Type` of the form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Returns the metrics as text.
    pub fn text(&self, format: MetricsFormat) -> String {
        let mut out = String::new();
        for family in &self.families {
            push_family(&mut out, family, format);
        }
        if format == MetricsFormat::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

/// Writes a family. OpenMetrics names a counter without `_total`, and has no counters whose samples
/// do not end in it. These are of an unknown type there, as Prometheus' own library writes them.
fn push_family(out: &mut String, family: &MetricFamily, format: MetricsFormat) {
    let is_open = format == MetricsFormat::OpenMetrics;
    let (name, kind) = match (family.kind, family.name.strip_suffix("_total")) {
        (MetricKind::Counter, Some(name)) if is_open => (name, "counter"),
        (MetricKind::Counter, None) if is_open => (family.name, "unknown"),
        (MetricKind::Counter, _) => (family.name, "counter"),
        (MetricKind::Gauge, _) => (family.name, "gauge"),
        (MetricKind::Histogram, _) => (family.name, "histogram"),
    };
    let help = escaped(family.help, is_open);
    // Writing to a String cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    family.numbers(|suffix, labels, bound, value| {
        out.extend([family.name, suffix]);
        let own = labels.iter().map(|(name, value)| (*name, escaped(value, true)));
        let all = own.chain(bound.map(|bound| ("le", bound_text(bound))));
        for (index, (name, value)) in all.enumerate() {
            let _ = write!(out, "{}{name}=\"{value}\"", if index == 0 { '{' } else { ',' });
        }
        out.push_str(if labels.is_empty() && bound.is_none() { " " } else { "} " });
        let _ = writeln!(out, "{value}");
    });
}

/// Returns the upper bound of a bucket. OpenMetrics wants a point in it.
pub fn bound_text(bound: f64) -> String {
    match bound {
        f64::INFINITY => "+Inf".into(),
        _ if bound.fract() == 0.0 => format!("{bound:.1}"),
        _ => bound.to_string(),
    }
}

/// Escapes a text. Help has quotes that are escaped in OpenMetrics only.
fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', r"\\").replace('\n', r"\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::family::{MetricHistogram, MetricSample, MetricValue};
    use super::*;

    #[test]
    fn a_client_that_names_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for open in
            [prometheus, "application/openmetrics-text", "text/plain, Application/OpenMetrics-Text; q=1"]
        {
            assert_eq!(MetricsFormat::negotiate(open), MetricsFormat::OpenMetrics, "{open}");
        }
        let plain = ["", "*/*", "text/plain", "application/openmetrics-text;q=0.1,text/plain;q=0.2"];
        for text in
            plain.into_iter().chain(["application/openmetrics-text;q=0", "application/openmetrics-text;q=x"])
        {
            assert_eq!(MetricsFormat::negotiate(text), MetricsFormat::Prometheus, "{text}");
        }
    }

    #[test]
    fn both_forms_of_every_kind() {
        let family = |kind, name| MetricFamily::new(kind, name, "A \"help\"\\.");
        let histogram = MetricHistogram { buckets: vec![(0.5, 1), (1.0, 3)], sum: 2.5, count: 4 };
        let mut latency = family(MetricKind::Histogram, "h");
        let labels = vec![("command", "get".to_owned())];
        latency.samples.push(MetricSample { labels, value: MetricValue::Histogram(histogram) });
        let metrics = Metrics {
            families: vec![
                family(MetricKind::Counter, "a_total").with(&[], 1e16),
                family(MetricKind::Counter, "b_seconds").with(&[("key", "\\x0a\"\n")], 0.25),
                family(MetricKind::Gauge, "c").with(&[("x", "1"), ("y", "2")], -3.0),
                latency,
            ],
        };
        let buckets = "h_bucket{command=\"get\",le=\"0.5\"} 1\nh_bucket{command=\"get\",le=\"1.0\"} 3\n\
            h_bucket{command=\"get\",le=\"+Inf\"} 4\nh_sum{command=\"get\"} 2.5\nh_count{command=\"get\"} 4\n";
        let prometheus = "# HELP a_total A \"help\"\\\\.\n# TYPE a_total counter\na_total 10000000000000000\n\
            # HELP b_seconds A \"help\"\\\\.\n# TYPE b_seconds counter\nb_seconds{key=\"\\\\x0a\\\"\\n\"} 0.25\n\
            # HELP c A \"help\"\\\\.\n# TYPE c gauge\nc{x=\"1\",y=\"2\"} -3\n\
            # HELP h A \"help\"\\\\.\n# TYPE h histogram\n";
        assert_eq!(metrics.text(MetricsFormat::Prometheus), format!("{prometheus}{buckets}"));
        let open = prometheus
            .replace("\"help\"", "\\\"help\\\"")
            .replace("HELP a_total", "HELP a")
            .replace("TYPE a_total", "TYPE a")
            .replace("b_seconds counter", "b_seconds unknown");
        assert_eq!(metrics.text(MetricsFormat::OpenMetrics), format!("{open}{buckets}# EOF\n"));
    }
}
