//! Measures what an item costs beyond its key and value.
//!
//! Each server is filled with items whose sizes follow a published table. The load offers twice the
//! server's limit, so that the server evicts. Then the load requests every item. The number of
//! items held is the number that it finds, independent of the server's own counters. The cost of
//! one item is `(limit - keys - values) / items`.

use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

use super::table::{mebibytes, median};
use crate::checker::Terms;
use crate::clusters::{self, Cluster};
use crate::common::Common;
use crate::driver::{Driver, Pace, Span};
use crate::error::Result;
use crate::items::Items;
use crate::lengths::Lengths;
use crate::load::fill;
use crate::random::Random;
use crate::results::Results;
use crate::wire::Protocol;
use crate::workload::{Choice, Mix, Workload};

/// Default memory of each server, in MiB.
const LIMIT: u32 = 64;

/// Bytes of keys and values offered, as a multiple of the limit.
const OFFER: f64 = 2.0;

/// How the rows of a size table are mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Weights {
    /// The same number of bytes of each row, so that each row fills the same part of a cache.
    Bytes,
    /// The same number of items of each row.
    Items,
    /// In proportion to the request rate of each row.
    Rate,
    /// Each row in a run of its own.
    Apart,
}

/// A kind of item.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    name: String,
    key: u32,
    /// Mean length of the values. A value is up to half as much longer or shorter.
    value: u32,
    /// Share of the items, in any unit.
    weight: f64,
}

/// The items that one server holds. One line of the results file.
#[derive(Debug, Serialize)]
struct Holding {
    kind: &'static str,
    sizes: String,
    server: String,
    limit_mib: u32,
    offered: u64,
    refused: u64,
    /// Number of items found when all are requested.
    items: u64,
    mean_item_bytes: f64,
    /// `(limit - keys - values) / items`.
    overhead_bytes: f64,
    /// `(resident memory - keys - values) / items`, the honest figure for a server that exceeds its
    /// limit.
    resident_overhead_bytes: f64,
    resident_bytes: u64,
    /// A counter of the server's `stats`, as is `evictions`.
    curr_items: Option<u64>,
    evictions: Option<u64>,
}

/// Fills the servers and prints a table.
pub fn run(common: &Common, sizes: &Path, weights: Weights, results: &mut Results) -> Result<()> {
    let shapes: Vec<_> = clusters::read(sizes)?.into_iter().map(Shape::from).collect();
    let kinds: Vec<(String, Vec<Shape>)> = match weights {
        Weights::Bytes => {
            vec![("same bytes of each".to_owned(), weighted(shapes, |shape| 1.0 / shape.bytes()))]
        }
        Weights::Items => vec![("same items of each".to_owned(), weighted(shapes, |_| 1.0))],
        Weights::Rate => vec![("by rate".to_owned(), shapes)],
        Weights::Apart => shapes.into_iter().map(|shape| (shape.name.clone(), vec![shape])).collect(),
    };
    println!(
        "| sizes | server | items held | curr_items | evictions | key+value | overhead bytes/item | by RSS | RSS MiB | refused |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    let mut overheads = vec![Vec::new(); common.servers.len()];
    for (name, shapes) in &kinds {
        for (spec, told) in common.servers.iter().zip(&mut overheads).filter(|(spec, _)| spec.stores()) {
            let settings = common.settings(LIMIT);
            let (items, count) = draw(shapes, u64::from(settings.memory) << 20);
            let server = spec.start(&settings)?;
            let terms = Terms { items: &items, protocol: Protocol::Classic, check: spec.check() };
            let refused = fill(&server.address, &terms, count, 0)?.counts.refused;
            let (curr_items, evictions) = (server.stat("curr_items")?, server.stat("evictions")?);
            let resident_bytes = server.resident()?;
            let mut driver = Driver::connect(&server.address, 4, 32, 0, &terms)?;
            let mut all = Workload::new(Mix::Get, 1, Choice::Sequence(0, count));
            let whole = Span { duration: None, requests: None, drain: true };
            let held = driver.run(&mut all, Pace::Closed, whole)?.counts;
            let limit = f64::from(settings.memory) * f64::from(1 << 20);
            let holding = Holding {
                kind: "memory",
                sizes: name.clone(),
                server: spec.name.clone(),
                limit_mib: settings.memory,
                offered: count,
                refused,
                items: held.hits,
                mean_item_bytes: held.hit_bytes as f64 / held.hits as f64,
                overhead_bytes: (limit - held.hit_bytes as f64) / held.hits as f64,
                resident_overhead_bytes: (resident_bytes as f64 - held.hit_bytes as f64) / held.hits as f64,
                resident_bytes,
                curr_items,
                evictions,
            };
            println!("{}", holding.row());
            results.write(&holding)?;
            told.push((holding.overhead_bytes, holding.items as f64));
        }
    }
    if kinds.len() > 1 {
        println!();
        println!("| overhead bytes/item | all items | median of the rows |");
        println!("|---|--:|--:|");
        for (spec, told) in common.servers.iter().zip(overheads).filter(|(_, told)| !told.is_empty()) {
            let items: f64 = told.iter().map(|(_, items)| items).sum();
            let bytes: f64 = told.iter().map(|(overhead, items)| overhead * items).sum();
            let middle = median(told.into_iter().map(|(overhead, _)| overhead).collect());
            println!("| {} | {:.1} | {middle:.1} |", spec.name, bytes / items);
        }
    }
    Ok(())
}

/// Returns the same shapes with other weights.
fn weighted(shapes: Vec<Shape>, weight: impl Fn(&Shape) -> f64) -> Vec<Shape> {
    shapes.into_iter().map(|shape| Shape { weight: weight(&shape), ..shape }).collect()
}

/// Returns items of these shapes, enough for a server with this limit, and their number.
fn draw(shapes: &[Shape], limit: u64) -> (Items, u64) {
    let total: f64 = shapes.iter().map(|shape| shape.weight).sum();
    let mut random = Random::new(3);
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let mut offered = 0;
    while (offered as f64) < limit as f64 * OFFER {
        let mut place = random.unit() * total;
        let found = shapes.iter().find(|shape| {
            place -= shape.weight;
            place <= 0.0
        });
        let Some(shape) = found.or(shapes.last()) else { break };
        let value = (f64::from(shape.value) * (0.5 + random.unit())).round().max(1.0) as u32;
        keys.push(shape.key);
        values.push(value);
        offered += u64::from(shape.key + value);
    }
    let count = keys.len() as u64;
    (Items::new(count, Lengths::Table(keys), Lengths::Table(values)), count)
}

impl From<Cluster> for Shape {
    fn from(cluster: Cluster) -> Self {
        Self { name: cluster.name, key: cluster.key, value: cluster.value, weight: cluster.kqps }
    }
}

impl Shape {
    /// Returns the mean length of key and value together.
    fn bytes(&self) -> f64 {
        f64::from(self.key) + f64::from(self.value)
    }
}

impl Holding {
    fn row(&self) -> String {
        let told = |stat: Option<u64>| stat.map_or("-".to_owned(), |count| count.to_string());
        format!(
            "| {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {} |",
            self.sizes,
            self.server,
            self.items,
            told(self.curr_items),
            told(self.evictions),
            self.mean_item_bytes,
            self.overhead_bytes,
            self.resident_overhead_bytes,
            mebibytes(self.resident_bytes),
            self.refused
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, draw};

    #[test]
    fn items_follow_the_table() {
        let shape = |key, value, weight| Shape { name: String::new(), key, value, weight };
        let shapes = [shape(80, 200, 3.0), shape(20, 100, 1.0)];
        let (items, count) = draw(&shapes, 1 << 20);
        let ones = (0..count).filter(|&id| items.key_length(id) == 80).count() as f64;
        assert!((ones / count as f64 - 0.75).abs() < 0.03);
        let in_range = |id| {
            let mean = if items.key_length(id) == 80 { 200 } else { 100 };
            (mean / 2..=mean * 3 / 2).contains(&items.value_length(id))
        };
        assert!((0..count).all(in_range));
        let bytes: usize = (0..count).map(|id| items.key_length(id) + items.value_length(id)).sum();
        assert!((2 << 20..(2 << 20) + 400).contains(&bytes));
    }
}
