//! The counters of a program's own (`mcp.add_stat`, `mcp.stat`).
//!
//! A load of a configuration begins with a copy of the counters in use and changes their names. The
//! copy replaces them once all workers have loaded. Both have the counters whose names stay, so
//! requests of either configuration count.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Most counters, if a program does not raise the limit.
pub const COUNT_MAX: usize = 1024;

/// Longest name: a key of a statistic without `user_`.
const NAME_MAX: usize = 122;

/// A counter.
#[derive(Debug, Clone, Default)]
struct Counter {
    /// Its name. Without one, it is not shown.
    name: Arc<str>,
    /// The sum of all workers.
    sum: Arc<AtomicI64>,
}

/// Counters by their numbers from 1.
#[derive(Debug, Clone)]
pub struct Counters {
    counters: Vec<Counter>,
    /// The largest number.
    limit: usize,
}

impl Default for Counters {
    fn default() -> Self {
        Self { counters: Vec::new(), limit: COUNT_MAX }
    }
}

impl Counters {
    /// Sets the largest number. 0 sets the default. Returns whether it is above the default.
    pub fn set_limit(&mut self, limit: usize) -> bool {
        self.limit = if limit == 0 { COUNT_MAX } else { limit };
        self.limit > COUNT_MAX
    }

    /// Names a counter. Another name than before begins at 0.
    ///
    /// # Errors
    /// The number or the name is wrong.
    pub fn name(&mut self, number: i64, name: &str) -> Result<(), String> {
        let number = usize::try_from(number).ok().filter(|number| *number > 0);
        let number = number.ok_or("stat index must be 1 or higher")?;
        if number > self.limit {
            return Err(format!("stat index must be {} or less", self.limit));
        }
        if name.len() > NAME_MAX {
            return Err(format!("stat name too long: {name}\n"));
        }
        if name.contains(|c: char| c.is_ascii_whitespace() || c == '\x0b') {
            return Err("stat cannot contain spaces or newlines".into());
        }
        if self.counters.len() < number {
            self.counters.resize_with(number, Counter::default);
        }
        if let Some(counter) = self.counters.get_mut(number - 1)
            && *counter.name != *name
        {
            *counter = Counter { name: name.into(), sum: Arc::default() };
        }
        Ok(())
    }

    /// Adds to a counter.
    ///
    /// # Errors
    /// There is no such counter.
    pub fn add(&self, number: i64, change: i64) -> Result<(), &'static str> {
        if self.counters.is_empty() {
            return Err("no stats counters initialized");
        }
        let number = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let counter = number.and_then(|number| self.counters.get(number)).ok_or("stat index out of range")?;
        counter.sum.fetch_add(change, Relaxed);
        Ok(())
    }

    /// Returns the counters with names, in the order of their numbers. Less than 0 is shown as
    /// memcached does: as a number of 64 bits without a sign.
    pub fn named(&self) -> impl Iterator<Item = (&str, u64)> {
        let named = self.counters.iter().filter(|counter| !counter.name.is_empty());
        named.map(|counter| (&*counter.name, counter.sum.load(Relaxed).cast_unsigned()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn shown(counters: &Counters) -> Vec<(&str, u64)> {
        counters.named().collect()
    }

    #[test]
    fn a_load_keeps_counters_whose_names_stay() {
        let mut old = Counters::default();
        assert_eq!(old.add(1, 1), Err("no stats counters initialized"));
        for (number, name) in [(1, "a"), (3, "c"), (4, "d")] {
            old.name(number, name).unwrap();
        }
        for (number, change) in [(1, 5), (3, 2), (3, -1), (2, 7)] {
            old.add(number, change).unwrap();
        }
        assert_eq!(old.add(5, 1), Err("stat index out of range"));
        assert_eq!(old.add(0, 1), Err("stat index out of range"));
        let mut new = old.clone();
        for (number, name) in [(1, "a"), (3, "other"), (4, "")] {
            new.name(number, name).unwrap();
        }
        new.add(3, 9).unwrap();
        // A request that began before the load.
        old.add(1, 1).unwrap();
        assert_eq!(shown(&old), [("a", 6), ("c", 1), ("d", 0)]);
        assert_eq!(shown(&new), [("a", 6), ("other", 9)]);
        new.add(1, -7).unwrap();
        assert_eq!(shown(&new), [("a", u64::MAX), ("other", 9)]);
    }

    #[test]
    fn numbers_and_names_are_checked() {
        let mut counters = Counters::default();
        let fault = |counters: &mut Counters, number, name: &str| counters.name(number, name).unwrap_err();
        assert_eq!(fault(&mut counters, 0, "a"), "stat index must be 1 or higher");
        assert_eq!(fault(&mut counters, 1025, "a"), "stat index must be 1024 or less");
        assert_eq!(fault(&mut counters, 1, "a b"), "stat cannot contain spaces or newlines");
        let long = "x".repeat(123);
        assert_eq!(fault(&mut counters, 1, &long), format!("stat name too long: {long}\n"));
        assert!(counters.name(1, &long[1..]).is_ok());
        assert!(counters.set_limit(2000) && counters.name(1025, "a").is_ok());
        assert!(!counters.set_limit(0));
        assert_eq!(fault(&mut counters, 1025, "a"), "stat index must be 1024 or less");
    }
}
