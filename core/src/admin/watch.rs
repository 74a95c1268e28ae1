//! `watch`: turns the connection into a stream of events.

use super::context::{AdminContext, Outcome};
use crate::base::watch::kind;
use crate::protocol::text;
use crate::protocol::tokens::Tokens;

pub(super) fn watch(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    if !ctx.context.config.watch_enabled {
        return ctx.line("CLIENT_ERROR watch commands not allowed");
    }
    if ctx.pipelined {
        return ctx.line("ERROR cannot pipeline other commands before watch");
    }
    if tokens.len() == 1 {
        return Outcome::Watch(kind::FETCHERS);
    }
    let mut wanted = 0;
    for index in 1..tokens.len() {
        let words = [
            ("rawcmds", kind::RAWCMDS),
            ("evictions", kind::EVICTIONS),
            ("fetchers", kind::FETCHERS),
            ("mutations", kind::MUTATIONS),
            ("sysevents", kind::SYSEVENTS),
            ("connevents", kind::CONNEVENTS),
            ("proxyreqs", kind::PROXYREQS),
            ("proxyevents", kind::PROXYEVENTS),
            ("proxyuser", kind::PROXYUSER),
            ("deletions", kind::DELETIONS),
        ];
        let Some((_, kind)) = words.iter().find(|(word, _)| tokens.abbreviates(index, word)) else {
            return ctx.line(text::ERROR);
        };
        wanted |= kind;
    }
    Outcome::Watch(wanted)
}
