//! incr and decr.

use super::{Access, Cache, DeltaOperation, Number, Request, item_cas};
use crate::base::error::DeltaError;
use crate::store::{LockedEntry, NewItem, Reservation, bit};

impl Cache {
    /// Adds to or subtracts from the number that an item holds.
    ///
    /// # Errors
    /// See [`DeltaError`].
    #[doc(hidden)]
    pub fn add_delta(&self, request: &Request<'_, DeltaOperation>) -> Result<Number, DeltaError> {
        self.sample(request.key, Access::Write, request.client);
        let hash = self.store.hash(request.key);
        let mut attempts = self.store.attempts(hash);
        let mut again = false;
        loop {
            let attempt = {
                let mut entry = self.reopen(request.key, hash.into(), request.client, again);
                match self.sum(&entry, request)? {
                    None => self.vivify(&mut entry, request),
                    Some(sum) if sum.chunked => {
                        drop(entry);
                        self.write_chunked(request, hash, &sum)
                    }
                    Some(sum) => match self.write(&mut entry, request, &sum) {
                        // With the results of the other steps, it would be copied twice.
                        Ok(Attempt::Done(number)) => {
                            drop(entry);
                            self.store.keep_quota(request.key);
                            return Ok(number);
                        }
                        attempt => attempt,
                    },
                }
            };
            again = true;
            let begin_again = match attempt? {
                Attempt::Done(number) => {
                    self.store.keep_quota(request.key);
                    return Ok(number);
                }
                Attempt::Full(class) => attempts.make_room(class),
                Attempt::Changed => attempts.again(),
            };
            begin_again.map_err(|_| DeltaError::NoMemory)?;
        }
    }

    /// Computes the new number of an item. Returns `None` if there is no item.
    #[inline]
    fn sum(
        &self,
        entry: &LockedEntry<'_>,
        request: &Request<'_, DeltaOperation>,
    ) -> Result<Option<Sum>, DeltaError> {
        let operation = &request.operation;
        let Some(item) = entry.item() else { return Ok(None) };
        let header = item.header();
        let (length, flags) = (item.len(), item.flags());
        if item.is_empty() || self.store.is_chunked_in_memcached(request.key.len(), flags, length) {
            return Err(DeltaError::NonNumeric);
        }
        if operation.compare != 0 && header.cas() != operation.compare {
            return Err(DeltaError::CasMismatch);
        }
        let old = item.slices().next().and_then(parse_number).ok_or(DeltaError::NonNumeric)?;
        let value = if operation.increment {
            old.wrapping_add(operation.delta)
        } else {
            old.saturating_sub(operation.delta)
        };
        Ok(Some(Sum {
            old,
            value,
            length,
            flags,
            class: header.class(),
            cas: header.cas(),
            expiry: header.expiry(),
            chunked: header.has(bit::CHUNKED),
        }))
    }

    /// Creates the item with the initial number of the request, or counts a miss.
    fn vivify(
        &self,
        entry: &mut LockedEntry<'_>,
        request: &Request<'_, DeltaOperation>,
    ) -> Result<Attempt, DeltaError> {
        let operation = &request.operation;
        let Some((value, expiry)) = operation.vivify else {
            let commands = entry.commands();
            if operation.increment {
                commands.incr_misses += 1;
            } else {
                commands.decr_misses += 1;
            }
            return Err(DeltaError::NotFound);
        };
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let class = self.class_of_number(request, 0, digits)?;
        let new = NewItem { key: request.key, flags: 0, expiry, class, bits: 0 };
        if entry.publish(&new, digits, self.cas_for(operation)).is_err() {
            return Ok(Attempt::Full(class));
        }
        Ok(Attempt::Done(Number { value, cas: item_cas(entry), expiry, old_expiry: 0, created: true }))
    }

    /// Writes the new number.
    ///
    /// A shorter number keeps its length and is padded with spaces. A longer one is a new item. As
    /// in memcached, that gets the next CAS and keeps its expiry even if the request gave others.
    /// The reply repeats those of the request.
    #[inline]
    fn write(
        &self,
        entry: &mut LockedEntry<'_>,
        request: &Request<'_, DeltaOperation>,
        sum: &Sum,
    ) -> Result<Attempt, DeltaError> {
        let operation = &request.operation;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(sum.value).as_bytes();
        let expiry = operation.expiry.unwrap_or(sum.expiry);
        let cas = if digits.len() <= sum.length {
            if entry.rewrite(digits, self.cas_for(operation)).is_err() {
                return Ok(Attempt::Full(sum.class));
            }
            entry.set_expiry(expiry);
            item_cas(entry)
        } else {
            let class = self.class_of_number(request, sum.flags, digits)?;
            let new = NewItem { key: request.key, flags: sum.flags, expiry: sum.expiry, class, bits: 0 };
            if entry.publish(&new, digits, self.store.next_cas()).is_err() {
                return Ok(Attempt::Full(class));
            }
            let own = item_cas(entry);
            operation.cas.map_or(own, |cas| if self.config.use_cas { cas } else { 0 })
        };
        count_delta(entry, sum.class, operation.increment);
        Ok(Attempt::Done(Number { value: sum.value, cas, expiry, old_expiry: sum.expiry, created: false }))
    }

    /// Writes the new number to a chunked item, which has many trailing blanks.
    ///
    /// The new item is written without the lock, because that may wait for memory.
    fn write_chunked(
        &self,
        request: &Request<'_, DeltaOperation>,
        hash: u64,
        sum: &Sum,
    ) -> Result<Attempt, DeltaError> {
        let operation = &request.operation;
        let Sum { old, value, length, flags, class, .. } = *sum;
        let mut digits = itoa::Buffer::new();
        let mut padded = digits.format(value).as_bytes().to_vec();
        padded.resize(length, b' ');
        let new = NewItem { key: request.key, flags, expiry: sum.expiry, class, bits: 0 };
        let mut draft = Reservation::new(&self.store, hash, &new, length, true)
            .and_then(|mut draft| draft.write(&padded).map(|()| draft))
            .map_err(|_| DeltaError::NoMemory)?;
        let mut entry = self.store.entry(request.key, hash);
        // The reservation depends on these alone. The item's place is not among them: the
        // reservation itself may have made the store move the item.
        let same = entry.item().filter(|item| {
            item.header().cas() == sum.cas
                && (item.len(), item.flags()) == (length, flags)
                && item.slices().next().and_then(parse_number) == Some(old)
        });
        let Some(item) = same else {
            // The reservation is dropped after the lock.
            drop(entry);
            return Ok(Attempt::Changed);
        };
        let kept = bit::FETCHED | bit::ACTIVE | bit::WIN | bit::STALE | bit::KEY_BINARY;
        let state = item.header().state() & kept;
        // The item may have been touched since.
        let old_expiry = item.header().expiry();
        let expiry = operation.expiry.unwrap_or(old_expiry);
        draft.set_expiry(expiry);
        entry.publish_reservation(draft, state, self.cas_for(operation));
        // memcached changes the number in place, and counts no item.
        entry.commands().total_items -= 1;
        count_delta(&mut entry, class, operation.increment);
        Ok(Attempt::Done(Number { value, cas: item_cas(&entry), expiry, old_expiry, created: false }))
    }

    /// Returns the CAS that the request gives the item, or else the next one.
    fn cas_for(&self, operation: &DeltaOperation) -> u64 {
        operation.cas.unwrap_or_else(|| self.store.next_cas())
    }

    fn class_of_number(
        &self,
        request: &Request<'_, DeltaOperation>,
        flags: u32,
        digits: &[u8],
    ) -> Result<u8, DeltaError> {
        let class = self.store.admit(request.key, flags, digits.len());
        class.map_err(|_| DeltaError::NoMemory)
    }
}

/// The new number of an item, and what the item was.
struct Sum {
    old: u64,
    value: u64,
    /// Length of the item's value.
    length: usize,
    flags: u32,
    class: u8,
    cas: u64,
    expiry: u32,
    chunked: bool,
}

/// The end of an attempt to write a number.
enum Attempt {
    Done(Number),
    /// There is no memory for an item of this class.
    Full(u8),
    /// Another client changed the item.
    Changed,
}

fn count_delta(entry: &mut LockedEntry<'_>, class: u8, increment: bool) {
    let stats = entry.stats(class);
    if increment {
        stats.incr_hits += 1;
    } else {
        stats.decr_hits += 1;
    }
}

/// Parses the number at the start of a value, by the rules of `strtoull` as memcached applies it:
/// leading white space, a sign, digits, then the end or white space.
fn parse_number(value: &[u8]) -> Option<u64> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = value.iter().position(|byte| !is_space(byte))?;
    let rest = value.get(start..)?;
    let (negative, digits) = match rest.first()? {
        b'-' => (true, rest.get(1..)?),
        b'+' => (false, rest.get(1..)?),
        _ => (false, rest),
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || digits.get(count).is_some_and(|byte| !is_space(byte) && *byte != 0) {
        return None;
    }
    let mut number = 0u64;
    for digit in digits.get(..count)? {
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    if negative {
        number = number.wrapping_neg();
        if (number as i64) < 0 {
            return None;
        }
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn numbers_as_strtoull_reads_them() {
        assert_eq!(parse_number(b"12"), Some(12));
        assert_eq!(parse_number(b" 12 "), Some(12));
        assert_eq!(parse_number(b"+7\r"), Some(7));
        assert_eq!(parse_number(b"12a"), None);
        assert_eq!(parse_number(b""), None);
        assert_eq!(parse_number(b"  "), None);
        assert_eq!(parse_number(b"-5"), None);
        assert_eq!(parse_number(b"-0"), Some(0));
        assert_eq!(parse_number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_number(b"18446744073709551616"), None);
    }
}
