//! Injected faults: rules that tests set, and a check for each command of a client. Calls of
//! [`crate::cache::Cache`] in this process meet no faults. Without rules the check is one relaxed
//! load.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use ahash::RandomState;

use crate::base::sync::Mutex;

/// The effect of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command waits this long, then is carried out.
    Delay(Duration),
    /// The command is carried out, but its reply leaves only after this time. Later commands of the
    /// connection are carried out in between, and their replies wait behind this one. In a get of
    /// several keys, the reply of the matching key waits. A reply to a datagram, or of a proxy, is
    /// delayed as by [`Fault::Delay`].
    DelayReply(Duration),
    /// The connection is closed, and the command is not carried out.
    Drop,
    /// The command is answered with `SERVER_ERROR` and this text, and is not carried out.
    Error(String),
    /// A read finds no item.
    Miss,
    /// The command is carried out, but its reply ends after this many bytes, and the connection is
    /// closed. In a get of several keys, the server counts from the first byte of the matching
    /// key's reply. A proxy sends the whole reply, then closes.
    Truncate(usize),
}

/// A fault and its conditions. All conditions must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// The fault.
    pub fault: Fault,
    /// Only this command, by its name in the protocol: `get`, `set`, `mg`, and so on.
    pub command: Option<String>,
    /// Only keys that match this pattern, in which `*` stands for any bytes.
    pub key: Option<Vec<u8>>,
    /// At most this many times; `None` is without limit.
    pub times: Option<u64>,
    /// With this probability, 0 to 1.
    pub probability: f64,
}

impl FaultRule {
    /// A rule without conditions.
    pub fn new(fault: Fault) -> Self {
        Self { fault, command: None, key: None, times: None, probability: 1.0 }
    }
}

/// Identifies a rule, to remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRuleId(pub u64);

/// The fault rules of a cache. A command meets the first rule, in order of addition, whose
/// conditions all hold.
#[derive(Default)]
pub struct Faults {
    armed: AtomicBool,
    rules: Mutex<Rules>,
}

opaque_debug!(Faults);

#[derive(Default)]
struct Rules {
    list: Vec<(FaultRuleId, FaultRule, u64)>,
    next: u64,
    random: RandomState,
    rolls: u64,
}

impl Faults {
    /// Returns whether there are rules.
    #[inline]
    pub fn armed(&self) -> bool {
        self.armed.load(Relaxed)
    }

    /// Adds a rule after those that are there.
    pub fn add(&self, rule: FaultRule) -> FaultRuleId {
        let mut rules = self.rules.lock();
        rules.next += 1;
        let id = FaultRuleId(rules.next);
        rules.list.push((id, rule, 0));
        self.armed.store(true, Relaxed);
        id
    }

    /// Removes a rule. Returns how often it applied, or `None` if there is no such rule.
    pub fn remove(&self, id: FaultRuleId) -> Option<u64> {
        let mut rules = self.rules.lock();
        let at = rules.list.iter().position(|(other, ..)| *other == id)?;
        let (.., applied) = rules.list.remove(at);
        self.armed.store(!rules.list.is_empty(), Relaxed);
        Some(applied)
    }

    /// Removes all rules.
    pub fn clear(&self) {
        self.rules.lock().list.clear();
        self.armed.store(false, Relaxed);
    }

    /// Returns all rules in order, each with how often it applied.
    pub fn rules(&self) -> Vec<(FaultRuleId, FaultRule, u64)> {
        self.rules.lock().list.clone()
    }

    /// Returns the fault that `command` meets with `key`, if any, and counts it.
    pub fn check(&self, command: &str, key: &[u8]) -> Option<Fault> {
        let mut rules = self.rules.lock();
        let Rules { list, random, rolls, .. } = &mut *rules;
        for (_, rule, applied) in list {
            if rule.times.is_some_and(|times| *applied >= times)
                || rule.command.as_deref().is_some_and(|name| name != command)
                || rule.key.as_deref().is_some_and(|pattern| !matches(pattern, key))
            {
                continue;
            }
            if rule.probability < 1.0 {
                *rolls += 1;
                let roll = (random.hash_one(*rolls) >> 11) as f64 / (1u64 << 53) as f64;
                if roll >= rule.probability {
                    continue;
                }
            }
            *applied += 1;
            return Some(rule.fault.clone());
        }
        None
    }
}

/// Returns whether `key` matches `pattern`, in which `*` stands for any bytes.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (mut p, mut k) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while k < key.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, k));
            p += 1;
        } else if pattern.get(p) == key.get(k) {
            p += 1;
            k += 1;
        } else if let Some((after, from)) = star {
            p = after;
            k = from + 1;
            star = Some((after, k));
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches(b"user:*", b"user:12"));
        assert!(matches(b"*:x*z", b"a:b:xyz"));
        assert!(!matches(b"user:*", b"item:12"));
        assert!(matches(b"*", b""));
        assert!(!matches(b"", b"a"));
    }

    #[test]
    fn rules_hold_as_often_as_said() {
        let faults = Faults::default();
        let id = faults.add(FaultRule {
            times: Some(2),
            command: Some("get".into()),
            ..FaultRule::new(Fault::Miss)
        });
        assert!(faults.armed());
        assert_eq!(faults.check("set", b"a"), None);
        assert_eq!(faults.check("get", b"a"), Some(Fault::Miss));
        assert_eq!(faults.check("get", b"a"), Some(Fault::Miss));
        assert_eq!(faults.check("get", b"a"), None);
        let of_rules: Vec<_> =
            faults.rules().into_iter().map(|(id, rule, applied)| (id, rule.fault, applied)).collect();
        assert_eq!(of_rules, [(id, Fault::Miss, 2)]);
        assert_eq!(faults.remove(id), Some(2));
        assert!(!faults.armed());
    }

    #[test]
    fn probability_is_about_right() {
        let faults = Faults::default();
        faults.add(FaultRule { probability: 0.25, ..FaultRule::new(Fault::Drop) });
        let hits = (0..4000).filter(|_| faults.check("get", b"a").is_some()).count();
        assert!((700..1300).contains(&hits), "{hits}");
    }
}
