//! The server that the routes control, and how they wait for it.

use std::sync::Arc;

use memcache_core::internal::server::{SETTLE_TIME, Settler};
use memcache_core::internal::state::ServerState;
use memcache_core::{BoundAddress, Server};
use memcache_embed::commands::CommandLog;
use tokio::task;

use crate::http::Error;

/// The server that is controlled.
#[derive(Clone)]
pub struct Controlled {
    pub state: Arc<ServerState>,
    pub settler: Arc<Settler>,
    pub addresses: Arc<[BoundAddress]>,
    pub commands: CommandLog,
}

impl Controlled {
    /// Returns the handles of `server`, whose hooks record `commands`.
    pub fn new(server: &Server, commands: CommandLog) -> Self {
        Self {
            state: Arc::clone(server.context()),
            settler: Arc::clone(server.settler()),
            addresses: server.addresses().into(),
            commands,
        }
    }

    /// Runs `work` once the server has run the commands that clients sent before this request, as
    /// the handles of the other languages do.
    pub async fn settled<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.blocking(move |of| {
            of.settler.settle(SETTLE_TIME);
            work(of)
        })
        .await
    }

    /// Runs `work`, which may block, on a thread beside that of HTTP.
    pub async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Error> {
        // It fails if the work panics.
        task::spawn_blocking(move || work(&self)).await.map_err(|_| Error::internal())
    }
}
