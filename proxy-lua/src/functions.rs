//! The functions of all workers by name, for statistics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many functions and contexts there are of each name.
#[derive(Debug, Default)]
pub struct Functions(Mutex<BTreeMap<String, Count>>);

/// The number of functions with a name, and of their contexts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    functions: u64,
    contexts: u64,
}

impl Functions {
    /// Adds functions and contexts, or removes them with numbers below 0.
    pub fn add(&self, name: &str, functions: i64, contexts: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(name.to_owned()).or_default();
        count.functions = count.functions.saturating_add_signed(functions);
        count.contexts = count.contexts.saturating_add_signed(contexts);
        if *count == Count::default() {
            all.remove(name);
        }
    }

    /// Returns the names with functions, and both numbers.
    pub fn all(&self) -> Vec<(String, u64, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let named = all.iter().filter(|(_, count)| count.functions > 0);
        named.map(|(name, count)| (name.clone(), count.functions, count.contexts)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_functions_are_gone() {
        let functions = Functions::default();
        functions.add("b", 1, 2);
        functions.add("a", 0, 1);
        functions.add("b", 1, 1);
        assert_eq!(functions.all(), [("b".into(), 2, 3)]);
        functions.add("a", 1, 0);
        functions.add("b", -2, -3);
        assert_eq!(functions.all(), [("a".into(), 1, 1)]);
    }
}
