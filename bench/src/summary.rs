//! The summary of one server over many replays: its miss ratios and its memory as ratios to the
//! base's.

use serde::Serialize;

/// Ratio of resident memory that still counts as equal: a page table more, or a thread's stack
/// less.
const SAME: f64 = 1.01;

/// The ratios of one server, over traces and memory limits.
#[derive(Debug, Clone)]
pub struct Summary {
    server: String,
    trials: Vec<Trial>,
}

/// One replay.
#[derive(Debug, Clone)]
struct Trial {
    /// Trace and limit, for the reader.
    replay: String,
    miss_ratio: f64,
    resident: f64,
}

/// A summary as a line of the results file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    kind: &'static str,
    server: String,
    replays: usize,
    /// Mean and worst ratio of the miss ratio to the base's, and the trace and limit of the worst.
    mean_to_base: f64,
    worst_to_base: f64,
    worst_at: String,
    /// Highest resident memory as a ratio to the base's, and the traces and limits where it was
    /// higher.
    worst_resident_to_base: f64,
    more_resident_at: Vec<String>,
}

impl Summary {
    /// The head of the table of `row`.
    pub const HEAD: &'static str = "| server | replays | mean miss ratio to base | worst | at | worst RSS to base | RSS higher at |\n|---|--:|--:|--:|---|--:|---|";

    /// Makes the summary of a server without replays.
    pub fn new(server: &str) -> Self {
        Self { server: server.to_owned(), trials: Vec::new() }
    }

    /// Adds a replay of `trace` with `limit` MiB. Ignores a miss ratio that is not finite, as if
    /// both servers missed nothing.
    pub fn add(&mut self, trace: &str, limit: u32, miss_ratio: f64, resident: f64) {
        if miss_ratio.is_finite() {
            self.trials.push(Trial { replay: format!("{trace} {limit}"), miss_ratio, resident });
        }
    }

    /// Returns the summary as a line of the results file.
    pub fn line(&self) -> Line {
        let worst = |of: fn(&Trial) -> f64| self.trials.iter().max_by(|a, b| of(a).total_cmp(&of(b)));
        let missed = worst(|trial| trial.miss_ratio);
        let sum: f64 = self.trials.iter().map(|trial| trial.miss_ratio).sum();
        let more = self.trials.iter().filter(|trial| trial.resident > SAME);
        Line {
            kind: "replay-score",
            server: self.server.clone(),
            replays: self.trials.len(),
            mean_to_base: sum / self.trials.len() as f64,
            worst_to_base: missed.map_or(f64::NAN, |trial| trial.miss_ratio),
            worst_at: missed.map_or(String::new(), |trial| trial.replay.clone()),
            worst_resident_to_base: worst(|trial| trial.resident).map_or(f64::NAN, |trial| trial.resident),
            more_resident_at: more.map(|trial| trial.replay.clone()).collect(),
        }
    }

    /// Returns a row of the table.
    pub fn row(&self) -> String {
        let line = self.line();
        let more = if line.more_resident_at.is_empty() {
            "nowhere".to_owned()
        } else {
            line.more_resident_at.join(", ")
        };
        format!(
            "| {} | {} | {:.3}x | {:.3}x | {} | {:.2}x | {more} |",
            line.server,
            line.replays,
            line.mean_to_base,
            line.worst_to_base,
            line.worst_at,
            line.worst_resident_to_base
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn means_and_worst() {
        let mut summary = Summary::new("ours");
        summary.add("a", 16, 0.8, 0.9);
        summary.add("a", 32, 1.0, 1.2);
        summary.add("b", 16, f64::NAN, 1.0);
        let line = summary.line();
        assert!((line.mean_to_base - 0.9).abs() < 1e-9 && (line.worst_to_base - 1.0).abs() < 1e-9);
        assert_eq!((line.replays, line.worst_at.as_str()), (2, "a 32"));
        assert_eq!(line.more_resident_at, ["a 32"]);
        assert!(summary.row().contains("| 0.900x | 1.000x | a 32 | 1.20x | a 32 |"), "{}", summary.row());
    }

    #[test]
    fn no_replays_no_ratios() {
        assert!(Summary::new("ours").line().mean_to_base.is_nan());
        assert!(Summary::new("ours").row().contains("nowhere"));
    }
}
