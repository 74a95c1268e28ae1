//! What memcached writes to the log about requests and their answers.
//!
//! `daemon/tests/verbose.rs` compares the lines with those of 1.6.45. `trace` has the lines about
//! states. Functions that do not check the verbosity are called only where `-vv` is logged.

use std::fmt::Write as _;

use memchr::memchr;

use super::gate::sasl;
use super::request_key;
use crate::cache::{DeltaRequest, Mode, StoreRequest};
use crate::config::Protocol;
use crate::context::ServerState;
use crate::output::{Mark, Output};
use crate::protocol::binary::{HEADER, PacketHeader, STAT, is_bare_error};
use crate::request::Request;
use crate::store::Lookup;

/// Negotiation has ended.
pub(super) fn protocol(context: &ServerState, fd: i32, protocol: Protocol) {
    let name = if protocol == Protocol::Binary { "binary" } else { "ascii" };
    context.log(2, || format!("{fd}: Client using the {name} protocol"));
}

/// A line has come.
pub(super) fn line(context: &ServerState, fd: i32, line: &[u8]) {
    context.log(2, || format!("<{fd} {}", String::from_utf8_lossy(line)));
}

/// An item is sent.
pub(super) fn key(context: &ServerState, fd: i32, key: &[u8]) {
    context.log(2, || format!(">{fd} sending key {}", String::from_utf8_lossy(key)));
}

/// Logs, at `-vvv`, that a key is looked up and with which result.
///
/// This looks the key up once more. An item that this finds expired or flushed is gone then.
#[inline]
pub(super) fn lookup(context: &ServerState, key: &[u8]) {
    if context.logs(3) {
        found(context, key);
    }
}

/// The same; returns the CAS number of the item.
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

/// Logs, at `-vvv`, what memcached looks up for `request`.
#[inline]
pub(super) fn request(context: &ServerState, request: &Request<'_>) {
    if !context.logs(3) {
        return;
    }
    let key = request_key(request);
    let is_missing = found(context, key).is_none();
    // memcached then adds an item, and looks for one first.
    if let (true, Request::Delta(DeltaRequest { vivify: Some(_), .. })) = (is_missing, request) {
        found(context, key);
    }
}

/// Logs what memcached looks up to store an item, and at `-vv` a CAS number that is not the item's.
#[inline]
pub(super) fn store(context: &ServerState, request: &StoreRequest<'_>) {
    let is_cas = request.mode == Mode::Cas;
    if !(context.logs(3) || is_cas && context.logs(2)) {
        return;
    }
    let Some(cas) = found(context, request.key) else { return };
    let compare = request.compare;
    let is_stale = request.allow_stale && compare != 0 && compare < cas;
    if is_cas && compare != cas && !is_stale {
        context.log(2, || format!("CAS:  failure: expected {cas}, got {compare}"));
    }
}

/// Logs the answer in text since `mark` to a command that begins with `word`, if
/// memcached does: it logs neither answers of several lines nor what its newer parser
/// answers, but for its errors.
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

/// The same for an answer that the client has asked not to be sent.
pub(crate) fn no_reply(context: &ServerState, fd: i32, out: &Output, mark: &Mark) {
    if let Some(line) = only_line(out.since(mark)) {
        context.log(2, || format!(">{fd} NOREPLY {}", String::from_utf8_lossy(line)));
    }
}

/// The line that `bytes` are, without its end, if they are one.
fn only_line(bytes: &[u8]) -> Option<&[u8]> {
    let line = bytes.strip_suffix(b"\r\n")?;
    // One error ends twice, in memcached's log as on the wire.
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    memchr(b'\n', text).is_none().then_some(line)
}

/// The header of a packet has come.
pub(super) fn header(context: &ServerState, fd: i32, packet: &[u8]) {
    context.log(2, || dump(&format!("<{fd} Read binary protocol data:"), &format!("<{fd}   "), packet));
}

/// A packet with all of its header, extras and key is carried out.
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

/// Whether a packet asks for statistics, whose answers are not logged, but for errors.
pub(super) fn is_stat(packet: &[u8], answer: &[u8]) -> bool {
    packet.get(1) == Some(&STAT) && !is_bare_error(answer)
}

/// Whether the client of a packet may give its command, where SASL is on.
pub(super) fn authenticated(context: &ServerState, packet: &[u8], admits: bool) {
    let opcode = packet.get(1).copied().unwrap_or_default();
    context.log(2, || format!("authenticated() in cmd 0x{opcode:02x} is {admits}"));
}

/// A step of SASL has come.
pub(super) fn mechanism(context: &ServerState, mechanism: &[u8], length: usize) {
    context
        .log(1, || format!("mech:  ``{}'' with {length} bytes of data", String::from_utf8_lossy(mechanism)));
}

/// A step of SASL has come before the first.
pub(super) fn not_begun(context: &ServerState, fd: i32) {
    context
        .log(1, || format!("{fd}: SASL_STEP called but sasl_server_start not called for this connection!"));
}

/// A step of SASL has this result.
pub(super) fn sasl_result(context: &ServerState, result: i32) {
    context.log(1, || format!("sasl result code:  {result}"));
    if !matches!(result, sasl::OK | sasl::CONTINUE) {
        context.log(1, || format!("Unknown sasl response:  {result}"));
    }
}

/// Logs the answer in binary since `mark`, if there is one. `item`: it is for an item,
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

/// A title, and the bytes of a header, four a line.
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
