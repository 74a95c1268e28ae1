//! Statistics as pairs of strings. `node/stats.js` makes an object of them.

use memcache_core::internal::admin::each_stat;
use memcache_core::internal::state::ServerState;

use crate::errors::{self, Failure};

/// Names and values.
pub type Stats = Vec<Vec<String>>;

/// Lists the statistics of a group.
pub fn list(context: &ServerState, group: &str) -> Result<Stats, Failure> {
    let mut pairs = Vec::new();
    let known =
        each_stat(context, group, &mut |name, value| pairs.push(vec![name.to_owned(), value.to_owned()]));
    if known {
        return Ok(pairs);
    }
    Err(errors::bad_argument(format!(
        "group must be '', 'items', 'slabs', 'sizes', 'settings' or 'conns', got {group:?}"
    )))
}
