//! The program of a configuration without Lua.

use std::sync::Arc;

use super::engine::Host;
use super::program::{AnyEngine, Program, Seat, Statistics};
use super::relay::Relay;
use super::route::Routes;

/// Most bytes that requests and replies under way hold in a worker.
const HELD: usize = 256 * 1024 * 1024;

/// Routes that all workers share.
#[derive(Debug)]
pub struct Native {
    routes: Arc<Routes>,
}

impl Native {
    /// Returns the program of these routes.
    pub fn new(routes: Routes) -> Self {
        Self { routes: Arc::new(routes) }
    }
}

impl Program for Native {
    fn engine(&self, seat: Seat, host: &mut Host<'_>) -> Result<AnyEngine, String> {
        let relay = Relay::new(Arc::clone(&self.routes), HELD, seat.worker as u64 + 1, host.links);
        Ok(AnyEngine::Native(Box::new(relay)))
    }

    fn statistics(&self) -> Statistics {
        Statistics { reloads: 1, held_limit: HELD as u64, ..Statistics::default() }
    }

    fn routes(&self) -> Option<Arc<Routes>> {
        Some(Arc::clone(&self.routes))
    }
}
