//! Prefaulting: memory is touched before it is needed.
//!
//! The system clears a large page when it is first touched. That takes a tenth of a millisecond, or
//! several if a host must find the memory first. While a cache grows, the background thread touches
//! the pages, so that stores do not wait.

use crate::config::MIB;
use crate::store::mem::{LARGE_PAGE, Segments};

/// Most bytes that are touched in advance.
const MOST: usize = 32 * MIB;

/// The progress of prefaulting. One thread owns it.
#[derive(Debug, Default)]
pub struct Prefault {
    /// Start of the part that was never used, in the last round.
    used: usize,
    /// Start of the part that was not touched in advance.
    touched: usize,
    /// End of the part that this round touches.
    goal: usize,
    /// Whether this round is not complete.
    is_cut: bool,
    /// Whether the cache grew since the round before.
    grew: bool,
}

impl Prefault {
    /// Runs a round: touches twice the bytes that were first used since the last one, in whole
    /// large pages below the limit. A cache that does not grow touches no memory. After its limit
    /// was lowered, a cache gives back the touched memory above it.
    ///
    /// Calls `is_over` after each page, and stops if it returns `true`. Returns whether the round
    /// is complete. If not, the next call continues it.
    pub(in crate::store) fn round(&mut self, segments: &Segments, is_over: impl Fn() -> bool) -> bool {
        if !segments.has_large_pages() {
            return true;
        }
        let unused = segments.unused();
        let most = unused.end / LARGE_PAGE * LARGE_PAGE;
        if self.touched > most {
            segments.release_unused(most..self.touched);
            self.touched = most;
        }
        if !self.is_cut {
            let grown = unused.start - self.used;
            self.used = unused.start;
            self.grew = grown > 0;
            self.goal = unused.start + (2 * grown).min(MOST);
        }
        // The page in which the used part ends is touched by stores.
        let mut at = self.touched.max(unused.start.next_multiple_of(LARGE_PAGE));
        let end = self.goal.min(most);
        self.is_cut = false;
        while at < end && !self.is_cut {
            segments.memory.touch_large(at);
            at += LARGE_PAGE;
            self.is_cut = at < end && is_over();
        }
        self.touched = at;
        !self.is_cut
    }

    /// Returns whether the cache grew between the last round and the one before.
    pub fn grew(&self) -> bool {
        self.grew
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::CacheConfig;

    /// Returns a cache of which `used` bytes were used, all of them in one round.
    fn grown(limit: usize, used: usize) -> (Segments, Prefault) {
        let config = CacheConfig { memory_limit: limit, ..CacheConfig::default() };
        let segments = Segments::new(&config, 1).unwrap();
        for _ in 0..used / segments.size() {
            segments.take().unwrap();
        }
        let mut prefault = Prefault::default();
        prefault.round(&segments, || false);
        (segments, prefault)
    }

    /// Returns the resident large pages, in order.
    fn touched(segments: &Segments) -> Vec<usize> {
        (0..64).filter(|page| segments.memory.is_resident(page * LARGE_PAGE)).collect()
    }

    #[test]
    fn what_a_cache_will_grow_into_is_touched() {
        let (segments, mut prefault) = grown(256 * MIB, 3 * MIB);
        // Three segments are used. With six more, the used part ends in the fifth page.
        assert_eq!(touched(&segments), [2, 3, 4]);
        prefault.round(&segments, || false);
        assert_eq!(touched(&segments), [2, 3, 4], "it did not grow");
        for _ in 0..8 * MIB / segments.size() {
            segments.take().unwrap();
        }
        assert!(!prefault.round(&segments, || true));
        assert_eq!(touched(&segments), [2, 3, 4, 6], "the turn was over");
        assert!(!prefault.round(&segments, || true));
        assert!(prefault.round(&segments, || false));
        assert_eq!(touched(&segments), [2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert!(prefault.grew());
    }

    #[test]
    fn no_more_is_touched_than_may_be_used() {
        assert_eq!(touched(&grown(64 * MIB, 61 * MIB).0), [31]);
        assert_eq!(touched(&grown(67 * MIB, 65 * MIB).0), []);
        assert_eq!(touched(&grown(64 * MIB, 64 * MIB).0), []);
        assert_eq!(touched(&grown(256 * MIB, 64 * MIB).0), (32..48).collect::<Vec<_>>());
    }

    #[test]
    fn a_lowered_limit_gives_back_what_was_touched() {
        let (segments, mut prefault) = grown(64 * MIB, 8 * MIB);
        assert_eq!(touched(&segments), (4..12).collect::<Vec<_>>());
        assert!(segments.set_limit(13 * MIB));
        prefault.round(&segments, || false);
        assert_eq!(touched(&segments), [4, 5]);
        assert!(segments.set_limit(4 * MIB));
        prefault.round(&segments, || false);
        assert_eq!(touched(&segments), []);
    }

    #[test]
    fn small_caches_and_new_ones_touch_nothing() {
        assert_eq!(touched(&grown(63 * MIB, 32 * MIB).0), []);
        assert_eq!(touched(&grown(64 * MIB, 0).0), []);
    }
}
