//! The server of a proxy, as the threads of its program see it.

use std::sync::Weak;

use crate::admin::each_stat;
use crate::proxy::program::ServerView;
use crate::state::ServerState;

/// The view of a server. It does not keep the server.
pub(super) struct View(pub(super) Weak<ServerState>);

impl ServerView for View {
    fn statistics(&self, group: &str, each: &mut dyn FnMut(&str, &str)) -> bool {
        self.0.upgrade().is_some_and(|context| each_stat(&context, group, each))
    }

    fn event(&self, kind: u32, line: &str) {
        let Some(context) = self.0.upgrade() else { return };
        let hub = context.cache.watch_hub();
        if hub.wants(kind) {
            hub.event(kind, |out| out.push_str(line));
        }
    }

    fn log(&self, line: &str) {
        if let Some(context) = self.0.upgrade() {
            context.log(0, || line.to_owned());
        }
    }
}
