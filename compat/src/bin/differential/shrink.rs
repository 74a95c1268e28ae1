//! Shortens the list of commands before a difference.

use std::time::{Duration, Instant};

use memcache_compat::escape::shorten;
use memcache_compat::link::Received;
use memcache_compat::packet;
use memcache_compat::server::Target;

use crate::group::Group;
use crate::run::{Difference, Pair};
use crate::side::Subject;

/// Time limit for shrinking.
const BUDGET: Duration = Duration::from_secs(40);

/// Number of commands that are printed if the difference does not appear again.
const RECENT: usize = 12;

/// Number of older commands of the same key, and flushes, that are printed then.
const RELATED: usize = 30;

/// Prints the shortest list found that shows the difference again, or else the recent commands.
pub fn report(left: &Subject, right: &Subject, history: &[Group], difference: &Difference, shrink: bool) {
    let begin = Instant::now();
    let fresh = matches!((&left.target, &right.target), (Target::Program(..), Target::Program(..)));
    if shrink && fresh {
        let mut window = 1;
        while begin.elapsed() < BUDGET {
            let tail = &history[history.len().saturating_sub(window)..];
            if let Some(found) = replay(left, right, tail) {
                let (short, found) = reduce(left, right, tail.to_vec(), found, begin);
                println!("repeated with {} commands:", short.len());
                show(&short, &found);
                return;
            }
            if window >= history.len() || window > 20_000 {
                break;
            }
            window *= 4;
        }
        println!("it did not show again with one command at a time; the last commands were:");
    }
    let recent = history.len().saturating_sub(RECENT);
    let related: Vec<Group> =
        history[..recent].iter().filter(|group| related(group, history)).cloned().collect();
    let from = related.len().saturating_sub(RELATED);
    show(&[&related[from..], &history[recent..]].concat(), difference);
}

/// Returns whether a command may have touched the keys of the last one.
fn related(group: &Group, history: &[Group]) -> bool {
    if let Some(last) = history.last().filter(|last| last.is_binary()) {
        return group.key.is_some() && group.key == last.key;
    }
    let text = group.show();
    let last = history.last().map(Group::show).unwrap_or_default();
    let mut words = last.split([' ', '\\']).filter(|word| !word.is_empty());
    let key = match words.next() {
        Some("gat" | "gats") => words.nth(1),
        _ => words.next(),
    };
    text.starts_with("flush_all") || key.is_some_and(|key| text.split([' ', '\\']).any(|word| word == key))
}

/// Removes halves, quarters, and at last single commands, as long as the difference stays.
fn reduce(
    left: &Subject,
    right: &Subject,
    groups: Vec<Group>,
    found: Difference,
    begin: Instant,
) -> (Vec<Group>, Difference) {
    let (mut groups, mut found) = (groups, found);
    let mut piece = groups.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at + 1 < groups.len() {
            if begin.elapsed() > BUDGET {
                return (groups, found);
            }
            let mut fewer = groups.clone();
            fewer.drain(at..(at + piece).min(groups.len() - 1));
            match replay(left, right, &fewer) {
                Some(again) => {
                    groups = fewer;
                    found = again;
                }
                None => at += piece,
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    (groups, found)
}

/// Runs the groups one at a time against newly started servers. Returns the difference if it is in
/// the last of them.
fn replay(left: &Subject, right: &Subject, groups: &[Group]) -> Option<Difference> {
    let last = groups.len().checked_sub(1)?;
    let mut pair = Pair::start(left, right).ok()?;
    for (at, group) in groups.iter().enumerate() {
        if let Err(difference) = pair.replay(group) {
            // An earlier difference is another one, caused by the removed groups.
            return (at == last).then_some(Difference { at, ..*difference });
        }
    }
    None
}

/// Prints commands and the two replies to the last of them.
pub fn show(groups: &[Group], difference: &Difference) {
    for group in groups {
        println!("  [{}] {}", group.id, group.show());
    }
    println!("  {}", difference.what);
    println!("  left:  {}", describe(&difference.left));
    println!("  right: {}", describe(&difference.right));
}

fn describe(received: &Received) -> String {
    let text = |bytes: &[u8]| match bytes.first() {
        Some(&packet::REPLY) => packet::show(bytes),
        _ => shorten(bytes, 1200),
    };
    match received {
        Received::Reply(bytes) => text(bytes),
        Received::Closed(bytes) => format!("{} (closed)", text(bytes)),
        Received::Silence(bytes) => format!("{} (then silence)", text(bytes)),
    }
}
