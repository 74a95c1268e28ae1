//! Chooses which slab class gives a page to which: memcached's rule over a
//! window of seconds. A class that evicts while its oldest items are much
//! younger than those of another class gets a page of that class; a class with
//! more than two pages' worth of free chunks gives one to the pool.

use std::collections::VecDeque;

use crate::store::stats::{ClassTotals, Totals};

/// A class gives pages to the pool above this many pages of free chunks.
const FREE_PAGES: f64 = 2.5;

/// A class with at most this many pages gives none to another.
const KEEP_PAGES: usize = 2;

#[derive(Clone, Copy, Default)]
struct Second {
    age: u64,
    dirty: bool,
    evicted: bool,
    share: f64,
}

#[derive(Clone, Default)]
struct History {
    seconds: VecDeque<Second>,
    evicted: u64,
    outofmemory: u64,
    pages: usize,
}

fn spares_pages(class: &ClassTotals) -> bool {
    class.per_page > 0 && class.free_chunks as f64 > class.per_page as f64 * FREE_PAGES
}

/// The history of all classes.
pub struct Automover {
    classes: Vec<History>,
    seen: u32,
}

impl Automover {
    /// For classes numbered below `classes`.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![History::default(); classes], seen: 0 }
    }

    /// Whether `class` still has more free chunks than it needs.
    pub fn has_surplus(totals: &Totals, class: u8) -> bool {
        totals.classes.get(usize::from(class)).is_some_and(spares_pages)
    }

    /// Takes in a second's totals and says what to move, if anything: from
    /// which class, to which; 0 is the pool.
    pub fn decide(&mut self, totals: &Totals, window: u32, ratio: f64) -> Option<(u8, u8)> {
        let window = window.max(1) as usize;
        let evicted_now: u64 = totals
            .classes
            .iter()
            .zip(&self.classes)
            .map(|(class, history)| class.counts.evicted.saturating_sub(history.evicted))
            .sum();
        let full = totals.malloced + crate::config::PAGE_SIZE > totals.limit;
        self.seen = self.seen.saturating_add(1);
        let mut surplus = None;
        let mut oldest: Option<(u64, u8)> = None;
        let mut youngest: Option<(u64, u8, bool)> = None;
        for (number, (class, history)) in totals.classes.iter().zip(&mut self.classes).enumerate().skip(1) {
            let evicted = class.counts.evicted.saturating_sub(history.evicted);
            let second = Second {
                age: u64::from(class.ages[2].max(class.ages[0])),
                evicted: evicted > 0,
                share: if evicted_now == 0 { 0.0 } else { evicted as f64 / evicted_now as f64 },
                dirty: evicted > 0
                    || class.counts.outofmemory > history.outofmemory
                    || class.pages > history.pages,
            };
            history.evicted = class.counts.evicted;
            history.outofmemory = class.counts.outofmemory;
            history.pages = class.pages;
            history.seconds.push_back(second);
            while history.seconds.len() > window {
                history.seconds.pop_front();
            }
            let dirty = history.seconds.iter().any(|s| s.dirty);
            let age = history.seconds.iter().map(|s| s.age).sum::<u64>() / window as u64;
            let seconds_evicting = history.seconds.iter().filter(|s| s.evicted).count();
            let share = history.seconds.iter().map(|s| s.share).sum::<f64>() / window as f64;
            if full && !dirty && surplus.is_none() && spares_pages(class) {
                surplus = Some(number as u8);
            }
            if class.pages > KEEP_PAGES && oldest.is_none_or(|(best, _)| age > best) {
                oldest = Some((age, number as u8));
            }
            if (seconds_evicting > window / 2 || share > 0.25) && youngest.is_none_or(|(best, ..)| age < best)
            {
                youngest = Some((age, number as u8, second.evicted));
            }
        }
        if let Some(from) = surplus {
            return Some((from, 0));
        }
        let ((old_age, from), (young_age, to, evicting)) = (oldest?, youngest?);
        let ready = self.seen as usize > window;
        let unfair = (young_age as f64) < old_age as f64 * ratio;
        (ready && unfair && evicting && from != to).then_some((from, to))
    }
}
