//! When a generator has more contexts than it needs.

/// Returns of contexts that were not needed, after which they are freed.
const PRESSURE_MAX: u32 = 100;

/// Returns until the next one is freed.
const PRESSURE_DROP: u32 = 10;

/// Counts how often a context returns while about half of all are free. So a generator keeps the
/// contexts of the usual load, and frees those of a burst one by one.
///
/// The numbers are those of memcached's debug build. Its release build waits for 5,000 returns and
/// a minute.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Easing {
    pressure: u32,
}

impl Easing {
    /// Returns whether a context that returns is freed. `free` others of `total` are free.
    pub fn frees(&mut self, free: usize, total: usize) -> bool {
        if total <= 1 || free < total / 2 {
            self.pressure /= 2;
            return false;
        }
        let frees = self.pressure > PRESSURE_MAX;
        self.pressure += 1;
        if frees {
            self.pressure -= PRESSURE_DROP;
        }
        frees
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the contexts that are left of `total` after `count` requests, one after another.
    fn left(mut total: usize, count: usize) -> usize {
        let mut easing = Easing::default();
        for _ in 0..count {
            if easing.frees(total - 1, total) {
                total -= 1;
            }
        }
        total
    }

    #[test]
    fn a_burst_is_forgotten_slowly() {
        assert_eq!(left(100, 100), 100);
        assert_eq!(left(100, 101), 100);
        assert_eq!(left(100, 102), 99);
        assert_eq!(left(100, 2000), 1);
    }

    #[test]
    fn contexts_in_use_are_kept() {
        let mut easing = Easing::default();
        assert!((0..1000).all(|_| !easing.frees(49, 100)));
        assert!((0..101).all(|_| !easing.frees(50, 100)));
        assert!(easing.frees(50, 100));
        assert!(!easing.frees(0, 1));
    }
}
