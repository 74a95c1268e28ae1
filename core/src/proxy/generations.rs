//! The configurations of one worker: the current one, and earlier ones until their last request has
//! ended.
//!
//! A backend that is in the next configuration, too, keeps its link. A rate limit at the same place
//! of the file keeps its fill.

use std::sync::Arc;

use super::bucket::Bucket;
use super::counters::PoolCounters;
use super::hot::HotCache;
use super::links::Links;
use super::loaded::{Loaded, Shared};
use super::route::{NodeId, Route, Routes};

/// A configuration, and what belongs to it in one worker.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    /// Pools and routes.
    pub routes: Arc<Routes>,
    /// For each pool, the links of each backend.
    pub links: Vec<Vec<Vec<usize>>>,
    /// The counters of each pool.
    pub counters: Vec<Arc<PoolCounters>>,
    /// Whether requests to a pool may be logged.
    pub logs: bool,
    /// The buckets of rate limits.
    pub buckets: Vec<Bucket>,
    /// Requests under way.
    active: usize,
}

impl Generation {
    fn new(number: u64, loaded: &Loaded, links: &mut Links) -> Self {
        let mut acquired = Vec::with_capacity(loaded.places.len());
        for pool in &loaded.places {
            let mut link = |place| links.acquire(place);
            acquired.push(pool.iter().map(|places| places.iter().map(&mut link).collect()).collect());
        }
        let worker = Arc::clone(links.counters());
        let counters = loaded.routes.pools.iter().zip(&loaded.places).map(|(pool, places)| {
            let counters = worker.pools.of(&pool.name);
            let first = places.iter().filter_map(|places| places.first());
            *counters.backends.lock() = first.map(ToString::to_string).collect();
            counters
        });
        let counters = counters.collect();
        let routes = Arc::clone(&loaded.routes);
        let buckets = vec![Bucket::default(); routes.limits.len()];
        let logs = routes.pools.iter().any(|pool| pool.log.is_some());
        Self { number, routes, links: acquired, counters, logs, buckets, active: 0 }
    }

    /// Takes the fill of the rate limits that an earlier configuration has at the same places.
    fn continue_limits(&mut self, earlier: &Self) {
        for (own, limit) in self.buckets.iter_mut().zip(&self.routes.limits) {
            let same = earlier.routes.limits.iter().position(|other| other.place == limit.place);
            if let Some(other) = same.and_then(|same| earlier.buckets.get(same)) {
                own.clone_from(other);
            }
        }
    }

    /// Returns the local cache of a node.
    pub fn cache(&self, node: NodeId) -> Option<Arc<HotCache>> {
        match self.routes.nodes.get(node) {
            Some(Route::Hot(_, cache)) => Some(Arc::clone(cache)),
            _ => None,
        }
    }

    fn release(&self, links: &mut Links) {
        self.links.iter().flatten().flatten().for_each(|number| links.release(*number));
    }
}

/// The configurations of one worker.
#[derive(Debug)]
pub struct Generations {
    shared: Arc<Shared>,
    current: Generation,
    earlier: Vec<Generation>,
}

impl Generations {
    /// Returns the configuration that workers share, with links to all its backends.
    pub fn new(shared: Arc<Shared>, links: &mut Links) -> Self {
        let (number, loaded) = shared.get();
        Self { shared, current: Generation::new(number, &loaded, links), earlier: Vec::new() }
    }

    /// Takes over the configuration that workers share, if it is another one.
    #[inline]
    pub fn update(&mut self, links: &mut Links) {
        if self.shared.version() != self.current.number {
            self.replace(links);
        }
    }

    #[cold]
    fn replace(&mut self, links: &mut Links) {
        let (number, loaded) = self.shared.get();
        let mut next = Generation::new(number, &loaded, links);
        next.continue_limits(&self.current);
        // The next one has its links, so that those of both stay open.
        let earlier = std::mem::replace(&mut self.current, next);
        if earlier.active == 0 {
            earlier.release(links);
        } else {
            self.earlier.push(earlier);
        }
    }

    /// Returns the current pools and routes.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.current.routes
    }

    /// Begins a request. Returns its configuration and the number of that.
    #[inline]
    pub fn begin(&mut self) -> (u64, &mut Generation) {
        self.current.active += 1;
        (self.current.number, &mut self.current)
    }

    /// Returns a configuration with a request under way.
    #[inline]
    pub fn get(&mut self, number: u64) -> &mut Generation {
        if self.current.number == number {
            return &mut self.current;
        }
        // A request counts in its own, so that it is there.
        self.earlier.iter_mut().find(|earlier| earlier.number == number).unwrap_or(&mut self.current)
    }

    /// Ends a request. An earlier configuration ends with its last one.
    #[inline]
    pub fn end(&mut self, number: u64, links: &mut Links) {
        let own = self.get(number);
        own.active = own.active.saturating_sub(1);
        if own.active == 0 && number != self.current.number {
            self.end_earlier(number, links);
        }
    }

    #[cold]
    fn end_earlier(&mut self, number: u64, links: &mut Links) {
        self.earlier.retain(|earlier| {
            if earlier.number == number {
                earlier.release(links);
            }
            earlier.number != number
        });
    }
}
