//! The lines that memcached logs about requests and their replies.
//!
//! `daemon/tests/verbose.rs` compares the lines with those of 1.6.45. `trace` has the lines about
//! states. Functions that do not check the verbosity are called only if `-vv` is logged.

use std::fmt::Write as _;

use memchr::memchr;

use super::sasl;
use crate::cache::{DeltaOperation, Mode, Operation, Request, StoreOperation};
use crate::config::Protocol;
use crate::protocol::binary::{HEADER, PacketHeader, STAT, is_bare_error};
use crate::protocol::output::{Mark, Output};
use crate::state::ServerState;
use crate::store::Lookup;

/// Logs that negotiation has ended.
pub(super) fn protocol(context: &ServerState, fd: i32, protocol: Protocol) {
    let name = if protocol == Protocol::Binary { "binary" } else { "ascii" };
    context.log(2, || format!("{fd}: Client using the {name} protocol"));
}

/// Logs a received line.
pub(super) fn line(context: &ServerState, fd: i32, line: &[u8]) {
    context.log(2, || format!("<{fd} {}", String::from_utf8_lossy(line)));
}

/// Logs that an item is sent.
pub(super) fn key(context: &ServerState, fd: i32, key: &[u8]) {
    context.log(2, || format!(">{fd} sending key {}", String::from_utf8_lossy(key)));
}

/// Logs, at `-vvv`, that a key is looked up and with which result.
///
/// This looks up the key once more. If it finds the item expired or flushed, it removes the item.
#[inline]
pub(super) fn lookup(context: &ServerState, key: &[u8]) {
    if context.logs(3) {
        found(context, key);
    }
}

/// Logs a lookup like [`lookup`], and returns the CAS of the item.
#[cold]
fn found(context: &ServerState, key: &[u8]) -> Option<u64> {
    let store = context.cache.store();
    let visit = store.entry(key, store.hash(key));
    let (lookup, cas) = (visit.lookup(), visit.item().map(|item| item.header().cas()));
    drop(visit);
    context.log(3, || {
        let (what, why) = match lookup {
            Lookup::Missing => ("NOT FOUND", ""),
            Lookup::Found => ("FOUND KEY", ""),
            Lookup::Flushed => ("FOUND KEY", " -removed by flush"),
            Lookup::Expired => ("FOUND KEY", " -removed by expire"),
        };
        format!("> {what} {}{why}", String::from_utf8_lossy(key))
    });
    cas
}

/// Logs, at `-vvv`, the lookups of memcached for `request`.
#[inline]
pub(super) fn request(context: &ServerState, request: &Request<'_, Operation>) {
    if !context.logs(3) {
        return;
    }
    let key = request.key;
    let is_missing = found(context, key).is_none();
    // memcached then adds an item, and looks it up first.
    if let (true, Operation::Delta(DeltaOperation { vivify: Some(_), .. })) = (is_missing, &request.operation)
    {
        found(context, key);
    }
}

/// Logs the lookups of memcached for a store, and at `-vv` a CAS that differs from the item's.
#[inline]
pub(super) fn store(context: &ServerState, request: &Request<'_, StoreOperation>) {
    let operation = &request.operation;
    let is_cas = operation.mode == Mode::Cas;
    if !(context.logs(3) || is_cas && context.logs(2)) {
        return;
    }
    let Some(cas) = found(context, request.key) else { return };
    let compare = operation.compare;
    let is_stale = operation.allow_stale && compare != 0 && compare < cas;
    if is_cas && compare != cas && !is_stale {
        context.log(2, || format!("CAS:  failure: expected {cas}, got {compare}"));
    }
}

/// Logs the text reply since `mark` to a command that begins with `word`, if memcached does.
///
/// memcached logs no replies of several lines. Of the replies of its newer parser, it logs only
/// errors.
pub(super) fn answer(context: &ServerState, fd: i32, word: &[u8], out: &Output, mark: &Mark) {
    let Some(line) = only_line(out.since(mark)) else { return };
    let logged = match word {
        b"mg" | b"ms" | b"md" | b"ma" | b"incr" | b"decr" | b"touch" | b"delete" => {
            line.starts_with(b"CLIENT_ERROR bad")
        }
        b"me" => !line.starts_with(b"ME "),
        _ => {
            !line.starts_with(b"SERVER_ERROR object too large")
                && !line.starts_with(b"SERVER_ERROR out of memory s")
        }
    };
    if logged {
        context.log(2, || format!(">{fd} {}", String::from_utf8_lossy(line)));
    }
}

/// Logs a reply that the client has asked not to receive, as [`answer`] does.
pub(crate) fn no_reply(context: &ServerState, fd: i32, out: &Output, mark: &Mark) {
    if let Some(line) = only_line(out.since(mark)) {
        context.log(2, || format!(">{fd} NOREPLY {}", String::from_utf8_lossy(line)));
    }
}

/// Returns `bytes` without their line end if they are a single line.
fn only_line(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.strip_suffix(b"\r\n")?;
    // One error has two line ends, both in memcached's log and in its reply.
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    memchr(b'\n', text).is_none().then_some(line)
}

/// Logs a received header of a packet.
pub(super) fn header(context: &ServerState, fd: i32, packet: &[u8]) {
    context.log(2, || dump(&format!("<{fd} Read binary protocol data:"), &format!("<{fd}   "), packet));
}

/// Logs a packet whose header, extras and key are complete.
pub(super) fn packet(context: &ServerState, fd: i32, header: &PacketHeader, packet: &[u8]) {
    let key = String::from_utf8_lossy(packet.get(header.key()).unwrap_or_default());
    let number = |at| {
        packet.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_be_bytes(*eight))
    };
    let length = header.value();
    let line = match header.echo().name() {
        "get" => format!("<{fd} GET {key}"),
        "touch" | "gat" => format!("<{fd} TOUCH {key}"),
        "set" => format!("<{fd} SET {key} Value len is {length}"),
        "add" => format!("<{fd} ADD {key} Value len is {length}"),
        "replace" => format!("<{fd} REPLACE {key} Value len is {length}"),
        "append" | "prepend" => format!("Value len is {length}"),
        "incr" | "decr" => {
            // The last four bytes of the extras.
            let exptime = number(HEADER + 12) as i32;
            format!("incr {key} {}, {}, {exptime}", number(HEADER).cast_signed(), number(HEADER + 8))
        }
        "delete" => format!("Deleting {key}"),
        _ if packet.get(1) == Some(&STAT) => format!("<{fd} STATS {key}"),
        _ => return,
    };
    context.log(2, || line);
}

/// Returns whether a packet asks for statistics. Their replies are not logged, except for errors.
pub(super) fn is_stat(packet: &[u8], answer: &[u8]) -> bool {
    packet.get(1) == Some(&STAT) && !is_bare_error(answer)
}

/// Logs whether the client of a packet may send its command, if SASL is on.
pub(super) fn authenticated(context: &ServerState, packet: &[u8], admits: bool) {
    let opcode = packet.get(1).copied().unwrap_or_default();
    context.log(2, || format!("authenticated() in cmd 0x{opcode:02x} is {admits}"));
}

/// Logs a received step of SASL.
pub(super) fn mechanism(context: &ServerState, mechanism: &[u8], length: usize) {
    context
        .log(1, || format!("mech:  ``{}'' with {length} bytes of data", String::from_utf8_lossy(mechanism)));
}

/// Logs that a later step of SASL arrived before the first.
pub(super) fn not_begun(context: &ServerState, fd: i32) {
    context
        .log(1, || format!("{fd}: SASL_STEP called but sasl_server_start not called for this connection!"));
}

/// Logs the result of a step of SASL.
pub(super) fn sasl_result(context: &ServerState, result: i32) {
    context.log(1, || format!("sasl result code:  {result}"));
    if !matches!(result, sasl::OK | sasl::CONTINUE) {
        context.log(1, || format!("Unknown sasl response:  {result}"));
    }
}

/// Logs the binary reply since `mark`, if there is one. With `item`, the reply is for an item,
/// whose CAS memcached fills in later.
pub(super) fn response(context: &ServerState, fd: i32, item: bool, out: &Output, mark: &Mark) {
    let bytes = out.since(mark);
    let Some(mut head) = bytes.first_chunk::<HEADER>().copied() else { return };
    let [_, _, _, _, _, _, _, _, b0, b1, b2, b3, _, _, _, _, cas @ ..] = &mut head;
    let length = u32::from_be_bytes([*b0, *b1, *b2, *b3]) as usize;
    if length > 0
        && is_bare_error(bytes)
        && let Some(words) = bytes.get(HEADER..HEADER + length)
    {
        context.log(2, || format!(">{fd} Writing an error: {}", String::from_utf8_lossy(words)));
    }
    if item {
        *cas = [0; 8];
    }
    context.log(2, || dump(&format!(">{fd} Writing bin response:"), &format!(">{fd}  "), &head));
}

/// Formats a title and the bytes of a header, four in each line.
fn dump(title: &str, prefix: &str, bytes: &[u8]) -> String {
    let mut text = title.to_owned();
    for four in bytes.iter().take(HEADER).collect::<Vec<_>>().chunks(4) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{prefix}");
        for byte in four {
            let _ = write!(text, " 0x{byte:02x}");
        }
    }
    text
}
