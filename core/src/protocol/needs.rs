//! The right and the key that a request needs.
//!
//! The table of commands states the least right of each word. The arguments of a command can only
//! raise it. Packets have no table: the compiler checks that each kind of packet is listed here.

use super::binary::Packet;
use super::commands::{Admin, Command, Kind};
use super::line::Line;
use super::tokens::Tokens;
use crate::cache::{MetaGet, Operation};
use crate::config::Need;

/// The right that a request needs, and the key that it names. A `get` of many keys names them
/// later.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The right.
    pub need: Need,
    /// The key, or the prefix of keys.
    pub key: Option<&'a [u8]>,
}

/// Returns the demand of a parsed line with the command of `row`.
pub fn of_line<'a>(row: &Command, line: &'a Line<'a>, tokens: &Tokens<'a>) -> Demand<'a> {
    let (need, key) = match line {
        Line::Gets { touch: Some(_), .. } => (Need::Write, None),
        Line::Gets { touch: None, .. } | Line::Noop | Line::Bad { .. } => (Need::Nothing, None),
        Line::Store { key, .. } | Line::Late { key, .. } => (Need::Write, Some(key.bytes())),
        Line::Data { key, operation, .. } => (of_operation(operation), Some(key.bytes())),
        Line::Other => match row.kind {
            Kind::Admin(command) => of_arguments(command, tokens),
            Kind::Classic | Kind::Meta => (Need::Nothing, None),
        },
    };
    Demand { need: need.max(row.need), key }
}

/// Returns the demand of a packet.
pub fn of_packet<'a>(packet: &Packet<'a>) -> Demand<'a> {
    let (need, key) = match packet {
        Packet::Data(key, operation) => (of_operation(operation), Some(key.bytes())),
        Packet::Store { key, .. } => (Need::Write, Some(key.bytes())),
        Packet::Flush(_) => (Need::Admin, None),
        Packet::Stat(group) => (of_statistics(group), None),
        Packet::Noop
        | Packet::Version
        | Packet::Quit
        | Packet::SaslList
        | Packet::Sasl(_)
        | Packet::Unknown(_)
        | Packet::Malformed => (Need::Nothing, None),
    };
    Demand { need, key }
}

/// A new expiry is a change. So is the right to recache an item, which `R` and `N` hand out.
fn of_operation(operation: &Operation) -> Need {
    match operation {
        Operation::Get { touch: None }
        | Operation::MetaGet(MetaGet { expiry: None, recache: None, vivify: None, .. })
        | Operation::Inspect => Need::Read,
        Operation::Get { touch: Some(_) }
        | Operation::MetaGet(_)
        | Operation::Delete { .. }
        | Operation::Touch { .. }
        | Operation::Delta(_)
        | Operation::MetaDelete(_) => Need::Write,
    }
}

/// Returns the demand of a command about the server, as far as its arguments raise it.
fn of_arguments<'a>(command: Admin, tokens: &Tokens<'a>) -> (Need, Option<&'a [u8]>) {
    match command {
        Admin::Stats if tokens.len() == 1 => (Need::Read, None),
        Admin::Stats if tokens.len() == 2 => (of_statistics(tokens.get(1).unwrap_or_default()), None),
        Admin::Config if tokens.get(1) == Some(b"get") => (Need::Read, None),
        Admin::Stats | Admin::Config => (Need::Admin, None),
        Admin::FlushPrefix => (Need::Write, tokens.get(1)),
        _ => (Need::Nothing, None),
    }
}

/// Returns the right that a group of statistics needs. Other groups change the server, or show keys
/// and addresses.
fn of_statistics(group: &[u8]) -> Need {
    match group {
        b"" | b"items" | b"slabs" | b"sizes" | b"settings" => Need::Read,
        _ => Need::Admin,
    }
}
