//! Routes as data: a graph of nodes that ends at pools. `run` carries a request through it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;

use super::bucket::Limit;
use super::command::Command;
use super::config::ConfigFault;
use super::hot::HotCache;
use super::pool::Pool;
use super::ttl::TtlRule;
use crate::base::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::config::Tag;

/// The index of a node in its [`Routes`].
pub type NodeId = usize;

/// The index of no pool: the cache of the server that runs the proxy.
pub const LOCAL: usize = usize::MAX;

/// Pools, and the routes to them. A node refers to nodes before it only, so there is no loop.
#[derive(Clone, Debug)]
pub struct Routes {
    /// All pools.
    pub pools: Vec<Pool>,
    /// All nodes.
    pub nodes: Vec<Route>,
    /// The routes with names, in the order of those.
    pub names: Vec<(String, NodeId)>,
    /// The node at which each request begins.
    pub root: NodeId,
    /// The nodes at which requests of listeners with tags begin.
    pub listeners: Vec<(Tag, NodeId)>,
    /// The rate limits.
    pub limits: Vec<Limit>,
    /// The counters of routes, with different names.
    pub counters: Vec<RouteCounter>,
}

/// A counter of routes, for all workers.
#[derive(Clone, Debug)]
pub struct RouteCounter {
    /// Its name in `stats proxy`, behind `user_`.
    pub name: String,
    count: Arc<AtomicU64>,
}

impl RouteCounter {
    /// Returns a counter at 0.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), count: Arc::default() }
    }

    /// Returns its count.
    pub fn get(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

impl Routes {
    /// Reads the certificates and keys that pools name, again at each reload. Relative paths start
    /// in `directory`, that of the configuration.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn read_certificates(&mut self, directory: &Path) -> Result<(), ConfigFault> {
        self.pools.iter_mut().try_for_each(|pool| pool.read_certificates(directory))
    }

    /// Takes over the conditions of backends from an earlier configuration, pool by pool, and the
    /// buckets and counters that workers share. Workers that still use that one see the same ones.
    pub fn keep_conditions(&mut self, earlier: &Self) {
        for Limit { place, shared } in &mut self.limits {
            let old = earlier.limits.iter().find(|old| old.place == *place);
            if let (Some(own), Some(kept)) = (shared, old.and_then(|old| old.shared.as_ref())) {
                own.clone_from(kept);
            }
        }
        for counter in &mut self.counters {
            let old = earlier.counters.iter().find(|old| old.name == counter.name);
            old.into_iter().for_each(|old| counter.clone_from(old));
        }
        for pool in &mut self.pools {
            if let Some(old) = earlier.pools.iter().find(|old| old.name == pool.name) {
                pool.keep_conditions(old);
            }
        }
    }

    /// Returns the largest number of requests that one request of a client causes, counting `null`
    /// and `error` as one each.
    pub fn most_sends(&self) -> usize {
        let mut most = Vec::with_capacity(self.nodes.len());
        for route in &self.nodes {
            most.push(route.most_sends(&most));
        }
        let roots = self.listeners.iter().map(|(_, node)| *node).chain([self.root]);
        roots.filter_map(|root| most.get(root).copied()).max().unwrap_or(0)
    }

    /// Returns the number of backends that are probed.
    pub fn probed(&self) -> usize {
        let pools = self.pools.iter().filter(|pool| pool.health.is_some());
        pools.flat_map(|pool| &pool.backends).filter(|backend| !backend.is_down).count()
    }

    /// Adds one to a counter.
    pub(super) fn count(&self, counter: Option<usize>) {
        if let Some(counter) = counter.and_then(|index| self.counters.get(index)) {
            counter.count.fetch_add(1, Relaxed);
        }
    }

    /// Returns the node at which a request of a listener begins.
    #[inline]
    pub fn root_of(&self, tag: Option<Tag>) -> NodeId {
        let own = self.listeners.iter().find(|(own, _)| Some(*own) == tag);
        own.map_or(self.root, |(_, node)| *node)
    }
}

/// The work of a node on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Sends it to the backend of its key in the pool with this index.
    Pool(usize),
    /// Carries it out on the cache of this server.
    Local,
    /// Asks one child after another while they fail.
    Failover {
        /// At least one.
        children: Vec<NodeId>,
        /// Whether a miss counts as a failure. A miss is the answer if no child has a hit.
        until_hit: bool,
        /// The number of children to ask at most.
        tries: usize,
        /// The time for the answer of each child. A later one is dropped. `None` for no limit.
        wait: Option<Duration>,
        /// The index of the counter of tries after the first one.
        counter: Option<usize>,
    },
    /// Asks all children at once, and answers when all have replied.
    AllSync {
        /// At least one.
        children: Vec<NodeId>,
        /// Whether the first error is the answer, or else the reply of the last child. Otherwise
        /// the worst reply is, and of equal ones that of the first child.
        last: bool,
    },
    /// Asks all children at once, and answers with the first reply that is not a failure.
    AllFastest {
        /// At least one.
        children: Vec<NodeId>,
        /// Whether a miss counts as a failure. A miss is the answer if no child has a hit.
        until_hit: bool,
        /// The time after which the best answer so far counts. `None` for no limit.
        wait: Option<Duration>,
    },
    /// Asks one child, drawn for each request.
    Random(Vec<NodeId>),
    /// Applies a rule to the TTLs of the requests to the child.
    Ttl(NodeId, TtlRule),
    /// Asks the child, and sends some requests to `to` as well, whose replies are dropped.
    Shadow {
        /// The node that answers.
        child: NodeId,
        /// The node with the copies.
        to: NodeId,
        /// The share of requests to copy, 1 to 100.
        percent: u32,
    },
    /// Fills `new` from `old`. A read that misses in `new` is answered by `old`, and the item
    /// is added to `new` with its TTL. A write goes to `new`. A store or a delete also deletes
    /// the key from `old`, so that no old value comes back.
    WarmUp {
        /// The node that serves.
        new: NodeId,
        /// The node with the items.
        old: NodeId,
    },
    /// Moves from a node to another at a time, with deletes in both around it.
    Migrate {
        /// The node before.
        from: NodeId,
        /// The node after.
        to: NodeId,
        /// Unix time from which deletes go to both.
        start: u64,
        /// Seconds until `to` answers. After as many again, deletes go to `to` alone.
        interval: u64,
    },
    /// Asks the child if its token bucket has a token, or else `over`.
    RateLimit {
        /// The node within the limit.
        child: NodeId,
        /// The node beyond it.
        over: NodeId,
        /// Tokens that come back in `every_ms`, at least 1.
        tokens: u32,
        /// A time in milliseconds, at least 1.
        every_ms: u32,
        /// The size of the bucket, at least 1.
        burst: u32,
        /// The index of the limit in [`Routes::limits`].
        limit: usize,
        /// The index of the counter of requests beyond it.
        counter: Option<usize>,
    },
    /// Asks the node of the longest prefix that the key begins with.
    ByPrefix {
        /// Prefixes, the longest first.
        prefixes: Vec<(String, NodeId)>,
        /// The node of other keys.
        default: NodeId,
    },
    /// Asks the node of the part of the key up to `stop`.
    ByPart {
        /// The text before the part. Empty if the part is the start of the key. A key that does not
        /// begin with it, or has no `stop` behind it, has no part.
        start: String,
        /// The text behind the part. Not empty.
        stop: String,
        /// Parts.
        parts: Vec<(String, NodeId)>,
        /// The node of other keys.
        default: NodeId,
    },
    /// Asks the node of the command.
    ByCommand {
        /// Words and groups. A word counts before a group.
        groups: Vec<(String, NodeId)>,
        /// The node of other commands.
        default: NodeId,
    },
    /// Answers reads of keys that are asked for often from a local cache. Requests for a key that
    /// is being fetched wait for that fetch.
    Hot(NodeId, Arc<HotCache>),
    /// Answers with a miss.
    Null,
    /// Answers `SERVER_ERROR` and this text.
    Error(String),
}

impl Route {
    /// Returns the nodes to which this one refers, in their order in the configuration.
    pub fn children(&self) -> Vec<NodeId> {
        match self {
            Self::Pool(_) | Self::Local | Self::Null | Self::Error(_) => Vec::new(),
            Self::Failover { children, .. }
            | Self::AllSync { children, .. }
            | Self::AllFastest { children, .. }
            | Self::Random(children) => children.clone(),
            Self::Ttl(child, _) | Self::Hot(child, _) => vec![*child],
            Self::Shadow { child, to, .. } => vec![*child, *to],
            Self::WarmUp { new, old } => vec![*new, *old],
            Self::Migrate { from, to, .. } => vec![*from, *to],
            Self::RateLimit { child, over, .. } => vec![*child, *over],
            Self::ByPrefix { prefixes: list, default }
            | Self::ByPart { parts: list, default, .. }
            | Self::ByCommand { groups: list, default } => {
                list.iter().map(|(_, node)| *node).chain([*default]).collect()
            }
        }
    }

    /// Returns the time for which this node waits for answers, if that has a limit.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::Failover { wait, .. } | Self::AllFastest { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Returns the largest number of requests, where `most` has that of the nodes before this one.
    fn most_sends(&self, most: &[usize]) -> usize {
        let counts = self.children().into_iter().map(|node| most.get(node).copied().unwrap_or(0));
        match self {
            Self::Pool(_) | Self::Local | Self::Null | Self::Error(_) => 1,
            Self::Failover { tries, .. } => counts.take(*tries).fold(0, usize::saturating_add),
            Self::AllSync { .. } | Self::AllFastest { .. } | Self::Shadow { .. } | Self::Migrate { .. } => {
                counts.fold(0, usize::saturating_add)
            }
            // A read may ask both and add to the first.
            Self::WarmUp { new, .. } => {
                let fill = most.get(*new).copied().unwrap_or(0);
                counts.fold(fill, usize::saturating_add)
            }
            Self::Random(_)
            | Self::Ttl(..)
            | Self::Hot(..)
            | Self::RateLimit { .. }
            | Self::ByPrefix { .. }
            | Self::ByPart { .. }
            | Self::ByCommand { .. } => counts.max().unwrap_or(0),
        }
    }
}

/// Returns the part of a key that a [`Route::ByPart`] looks up.
pub fn part_of<'k>(key: &'k [u8], start: &str, stop: &str) -> Option<&'k [u8]> {
    let rest = key.strip_prefix(start.as_bytes())?;
    rest.get(..memmem::find(rest, stop.as_bytes())?)
}

/// Returns the place in `groups` that a command belongs to.
pub fn group_of(groups: &[(String, NodeId)], command: &Command) -> Option<usize> {
    let by_word = groups.iter().position(|(group, _)| group == command.word);
    by_word.or_else(|| groups.iter().position(|(group, _)| command.is_in(group)))
}
