//! The loads that servers are compared under.

use crate::driver::Pace;
use crate::error::{Error, Result};
use crate::items::{Items, KEY_LENGTH};
use crate::lengths::Lengths;
use crate::wire::Protocol;
use crate::workload::{Choice, Mix, Workload};

/// One load. Its name has the verb, the bytes of a value, and then the deviations from `P32`.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub protocol: Protocol,
    pub connections: usize,
    pub pipeline: usize,
    /// Share of gets among the requests.
    pub gets: f64,
    /// Number of keys in one get.
    pub batch: u32,
    pub value_size: u32,
    pub keys: u32,
    /// Whether the server is empty at first. Then sets store new items, and the server's index
    /// grows all the time.
    pub fresh: bool,
    /// Skew of the choice of keys, if any.
    pub theta: Option<f64>,
    /// When the next request is sent, except in an open loop.
    pub pace: Pace,
    /// For an open loop, its rate as a share of the base's rate in a closed loop.
    pub open: Option<f64>,
    /// Default memory of each server, in MiB.
    pub memory: u32,
    /// The project's goal for CPU time per operation, as a ratio to memcached.
    pub goal: Option<f64>,
    /// Whether requests may fail with an error of the server.
    pub failures: bool,
    /// Whether the scenario is part of a quick run.
    pub quick: bool,
}

/// The default load: 100-byte values, 10,000 keys with equal probability, four connections with 32
/// outstanding requests each.
pub const P32: Scenario = Scenario {
    name: "",
    protocol: Protocol::Classic,
    connections: 4,
    pipeline: 32,
    gets: 1.0,
    batch: 1,
    value_size: 100,
    keys: 10_000,
    fresh: false,
    theta: None,
    pace: Pace::Closed,
    open: None,
    memory: 1024,
    goal: None,
    failures: false,
    quick: false,
};

/// Like `P32`, but with 50 connections and no pipelining.
const P1: Scenario = Scenario { connections: 50, pipeline: 1, ..P32 };

/// The largest round length of a value that fits into a memcached with its default limits, with its
/// key and header.
const MEBIBYTE: u32 = (1 << 20) - (1 << 10);

/// Like `P32`, with ten million items: 1.3 GB of keys and values, and each server's overhead.
const P32_10M: Scenario = Scenario { keys: 10_000_000, memory: 2560, ..P32 };

/// Half gets and half sets, of far more items than fit. Most sets store new items, which evicts
/// others.
const CHURN: Scenario = Scenario { gets: 0.5, keys: 2_000_000, memory: 64, ..P1 };

/// Like `CHURN`, but of more items than are ever stored, into a server that is empty at first.
const GROW: Scenario = Scenario { keys: 1 << 30, memory: 1024, fresh: true, ..CHURN };

/// Half of the base's peak rate, and a share near enough to the peak that queues form.
const HALF: Option<f64> = Some(0.5);
const HIGH: Option<f64> = Some(0.8);

/// All scenarios. Those with a goal come first.
pub const ALL: &[Scenario] = &[
    Scenario { name: "get100-p32", goal: Some(0.38), quick: true, ..P32 },
    Scenario { name: "set100-p32", gets: 0.0, goal: Some(0.45), quick: true, ..P32 },
    Scenario { name: "multiget50", batch: 50, pipeline: 8, goal: Some(0.28), quick: true, ..P32 },
    Scenario { name: "binget100-p32", protocol: Protocol::Binary, goal: Some(0.42), quick: true, ..P32 },
    Scenario { name: "get100-c50", goal: Some(0.88), quick: true, ..P1 },
    Scenario { name: "get100-c1", connections: 1, pace: Pace::Eager, goal: Some(0.84), quick: true, ..P1 },
    Scenario { name: "half-get100-c50", open: HALF, quick: true, ..P1 },
    Scenario { name: "metaget100-p32", protocol: Protocol::Meta, quick: true, ..P32 },
    Scenario { name: "multiget50-p1", batch: 50, pipeline: 1, ..P32 },
    Scenario { name: "metaset100-p32", protocol: Protocol::Meta, gets: 0.0, ..P32 },
    Scenario { name: "binset100-p32", protocol: Protocol::Binary, gets: 0.0, ..P32 },
    Scenario { name: "mixed100-p32", gets: 0.9, ..P32 },
    Scenario { name: "set100-c50", gets: 0.0, ..P1 },
    Scenario { name: "metaget100-c50", protocol: Protocol::Meta, ..P1 },
    Scenario { name: "metaset100-c50", protocol: Protocol::Meta, gets: 0.0, ..P1 },
    Scenario { name: "metamultiget50", protocol: Protocol::Meta, batch: 50, pipeline: 8, ..P32 },
    Scenario { name: "set100-c1", connections: 1, gets: 0.0, pace: Pace::Eager, ..P1 },
    Scenario { name: "metaget100-c1", protocol: Protocol::Meta, connections: 1, pace: Pace::Eager, ..P1 },
    Scenario { name: "half-mixed100-c50", gets: 0.9, open: HALF, ..P1 },
    Scenario { name: "high-get100-c50", open: HIGH, ..P1 },
    Scenario { name: "high-mixed100-c50", gets: 0.9, open: HIGH, ..P1 },
    Scenario { name: "half-churn100-c50", open: HALF, ..CHURN },
    Scenario { name: "high-churn100-c50", open: HIGH, ..CHURN },
    Scenario { name: "half-grow100-c50", open: HALF, ..GROW },
    Scenario { name: "high-grow100-c50", open: HIGH, ..GROW },
    Scenario { name: "get10-p32", value_size: 10, ..P32 },
    Scenario { name: "set10-p32", value_size: 10, gets: 0.0, ..P32 },
    Scenario { name: "get4k-p32", value_size: 4096, ..P32 },
    Scenario { name: "set4k-p32", value_size: 4096, gets: 0.0, ..P32 },
    Scenario { name: "get10-c50", value_size: 10, ..P1 },
    Scenario { name: "set10-c50", value_size: 10, gets: 0.0, ..P1 },
    Scenario { name: "get4k-c50", value_size: 4096, ..P1 },
    Scenario { name: "set4k-c50", value_size: 4096, gets: 0.0, ..P1 },
    Scenario { name: "get100k-c50", value_size: 100 << 10, keys: 1_000, ..P1 },
    Scenario { name: "set100k-c50", value_size: 100 << 10, keys: 1_000, gets: 0.0, ..P1 },
    Scenario { name: "get1m-c50", value_size: MEBIBYTE, keys: 200, ..P1 },
    Scenario { name: "set1m-c50", value_size: MEBIBYTE, keys: 200, gets: 0.0, ..P1 },
    Scenario { name: "get100-p32-1m", keys: 1_000_000, ..P32 },
    Scenario { name: "get100-p32-1m-zipf", keys: 1_000_000, theta: Some(0.99), ..P32 },
    Scenario { name: "set100-p32-1m", keys: 1_000_000, gets: 0.0, ..P32 },
    Scenario { name: "multiget50-1m", keys: 1_000_000, batch: 50, pipeline: 8, ..P32 },
    Scenario { name: "get100-c50-1m", keys: 1_000_000, ..P1 },
    Scenario { name: "get100-p32-10m", ..P32_10M },
    Scenario { name: "set100-p32-10m", gets: 0.0, ..P32_10M },
    Scenario { name: "multiget50-10m", batch: 50, pipeline: 8, ..P32_10M },
    Scenario { name: "get100-c10k", connections: 10_000, ..P1 },
    Scenario { name: "set100-c10k", connections: 10_000, gets: 0.0, ..P1 },
];

impl Scenario {
    /// Returns the items of this load.
    pub fn items(&self) -> Items {
        Items::new(u64::from(self.keys), Lengths::Fixed(KEY_LENGTH), Lengths::Fixed(self.value_size))
    }

    /// Returns the requests of this load.
    pub fn workload(&self) -> Workload {
        let choice = match self.theta {
            Some(theta) => Choice::zipf(self.keys, theta),
            None => Choice::Uniform(u64::from(self.keys)),
        };
        Workload::new(Mix::of(self.gets), self.batch, choice)
    }

    /// Returns the number of items to store before the load starts.
    pub fn filled(&self) -> u64 {
        if self.fresh { 0 } else { u64::from(self.keys) }
    }

    /// Returns the name of one operation.
    pub fn unit(&self) -> &'static str {
        if self.batch > 1 { "key" } else { "request" }
    }
}

/// Returns the scenarios whose names begin with one of `names`, in the order of `ALL`. Without
/// names, returns all, or only the quick ones.
pub fn choose(names: &[String], quick: bool) -> Result<Vec<Scenario>> {
    let chosen = choose_from(ALL, |scenario| scenario.name, names)?;
    Ok(chosen.filter(|s| s.quick || !quick || !names.is_empty()).copied().collect())
}

/// Returns the members of `all` whose names begin with one of `names`. Without names, returns all.
pub fn choose_from<'a, T>(
    all: &'a [T],
    name: fn(&T) -> &str,
    names: &'a [String],
) -> Result<impl Iterator<Item = &'a T>> {
    if let Some(unknown) = names.iter().find(|asked| !all.iter().any(|one| name(one).starts_with(*asked))) {
        return Err(Error::Usage(format!("unknown scenario {unknown}; see --list")));
    }
    // A complete name selects only that member, even if other names begin with it.
    let is_complete = move |asked: &String| all.iter().any(|one| name(one) == asked);
    let is_meant = move |one: &&T| {
        names.iter().any(|asked| name(one) == asked || (name(one).starts_with(asked) && !is_complete(asked)))
    };
    Ok(all.iter().filter(move |one| names.is_empty() || is_meant(one)))
}

/// Prints scenarios as a table.
pub fn print_list<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) {
    println!(
        "| scenario | protocol | connections | pipeline | gets | keys a get | value | keys | -m | goal | quick |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|");
    for s in scenarios {
        let goal = s.goal.map_or(String::new(), |goal| format!("{goal:.2}x"));
        println!(
            "| {} | {:?} | {} | {} | {}% | {} | {} | {} | {} | {goal} | {} |",
            s.name,
            s.protocol,
            s.connections,
            s.pipeline,
            s.gets * 100.0,
            s.batch,
            s.value_size,
            s.keys,
            s.memory,
            if s.quick { "yes" } else { "" }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, choose};

    fn names(asked: &[&str], quick: bool) -> Vec<&'static str> {
        let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
        choose(&asked, quick).unwrap_or_default().iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn scenarios_are_chosen_by_name_or_beginning() {
        assert_eq!(names(&["get100-p32"], false), ["get100-p32"]);
        assert_eq!(names(&["half", "bin"], false).len(), 6);
        assert_eq!(names(&[], false).len(), ALL.len());
        assert!(names(&[], true).len() < 10);
        assert!(choose(&["nothing".to_owned()], false).is_err());
    }

    #[test]
    fn names_tell_open_loops() {
        for scenario in ALL {
            let told =
                [("half-", 0.5), ("high-", 0.8)].into_iter().find(|(b, _)| scenario.name.starts_with(b));
            assert_eq!(told.map(|(_, share)| share), scenario.open, "{}", scenario.name);
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, scenario) in ALL.iter().enumerate() {
            assert!(ALL[index + 1..].iter().all(|other| other.name != scenario.name), "{}", scenario.name);
        }
    }
}
