//! `persist`: saving the snapshot, and how the last save went. memcached has no such command.

use super::context::{AdminContext, Outcome};
use super::lines::Lines;
use crate::config::SnapshotWork;
use crate::protocol::text;
use crate::protocol::tokens::Tokens;
use crate::state::Persistence;

/// `persist save|status`. A client cannot name a file.
pub(super) fn persist(ctx: &mut AdminContext<'_>, tokens: &Tokens<'_>) -> Outcome {
    let Some(persistence) = ctx.context.persistence.as_deref() else { return ctx.line(text::ERROR) };
    if tokens.get(1) == Some(b"status") {
        let mut out = Lines::Text(ctx.out.bytes());
        put_status(persistence, &mut out);
        out.end();
        return Outcome::Done;
    }
    // Clients may write to the disk if they may stop the server, or have logged in.
    let is_allowed = ctx.context.config.shutdown_enabled || ctx.context.users.is_some();
    let line = match (tokens.get(1) == Some(b"save"), is_allowed) {
        (false, _) => "CLIENT_ERROR usage: persist save|status",
        (true, false) => "CLIENT_ERROR persist save not allowed",
        (true, true) if persistence.request() => "OK",
        (true, true) => "BUSY save in progress",
    };
    ctx.line(line)
}

/// Writes the rows of the snapshot: what is under way, the last save and the load.
pub(super) fn put_status(persistence: &Persistence, out: &mut Lines<'_>) {
    let status = persistence.status();
    let state = match status.work {
        None => "idle",
        Some(SnapshotWork::Load) => "loading",
        Some(SnapshotWork::Save) => "saving",
    };
    out.put("persist_state", state);
    out.put("persist_saves", status.saves);
    out.put("persist_save_fails", status.failures);
    if let Some(last) = status.last {
        out.put("persist_last_save", last.at);
        out.put("persist_last_save_result", if last.saved.is_some() { "ok" } else { "failed" });
    }
    if let Some(saved) = status.last.and_then(|last| last.saved) {
        out.put("persist_last_save_items", saved.items);
        out.put("persist_last_save_bytes", saved.file_bytes);
        out.put("persist_last_save_seconds", format_args!("{:.3}", saved.time.as_secs_f64()));
    }
    if let Some(loaded) = status.loaded {
        out.put("persist_loaded_items", loaded.items);
        out.put("persist_loaded_bytes", loaded.bytes);
        out.put("persist_loaded_seconds", format_args!("{:.3}", loaded.time.as_secs_f64()));
        out.put("persist_load_expired", loaded.expired);
        out.put("persist_load_skipped", loaded.existing + loaded.too_large + loaded.no_memory);
        out.put("persist_load_damaged", loaded.damaged);
    }
}
