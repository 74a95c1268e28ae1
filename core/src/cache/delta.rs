//! incr and decr.

use super::{Cache, DeltaOperation, Number, Request, item_cas};
use crate::base::error::DeltaError;
use crate::store::{LockedEntry, NewItem, Reservation, bit};

impl Cache {
    /// Adds to or subtracts from the number that an item holds.
    ///
    /// # Errors
    /// See [`DeltaError`].
    #[doc(hidden)]
    pub fn add_delta(&self, request: &Request<'_, DeltaOperation>) -> Result<Number, DeltaError> {
        let operation = &request.operation;
        let hash = self.store.hash(request.key);
        let mut attempts = self.store.attempts(hash);
        let mut again = false;
        loop {
            let mut entry = self.reopen(request.key, hash.into(), request.client, again);
            let Some(item) = entry.item() else {
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
                let class = self
                    .store
                    .class_for(request.key.len(), 0, digits.len())
                    .map_err(|_| DeltaError::NoMemory)?;
                let new = NewItem { key: request.key, flags: 0, expiry, class, bits: 0 };
                let cas = operation.cas.unwrap_or_else(|| self.store.next_cas());
                if entry.publish(&new, &[digits], cas).is_err() {
                    drop(entry);
                    attempts.make_room(class).map_err(|_| DeltaError::NoMemory)?;
                    again = true;
                    continue;
                }
                return Ok(Number { value, cas: item_cas(&entry), expiry, old_expiry: 0, created: true });
            };
            let header = item.header();
            if item.is_empty()
                || self.store.is_chunked_in_memcached(request.key.len(), item.flags(), item.len())
            {
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
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(value).as_bytes();
            let old_expiry = header.expiry();
            let expiry = operation.expiry.unwrap_or(old_expiry);
            let (length, flags, class) = (item.len(), item.flags(), header.class());
            let fits = digits.len() <= length;
            let new_class = if fits {
                class
            } else {
                self.store
                    .class_for(request.key.len(), flags, digits.len())
                    .map_err(|_| DeltaError::NoMemory)?
            };
            if header.has(bit::CHUNKED) {
                // A number with many trailing blanks.
                let mut padded = digits.to_vec();
                padded.resize(length, b' ');
                let compare = header.cas();
                drop(entry);
                let new = NewItem { key: request.key, flags, expiry, class, bits: 0 };
                let mut draft = Reservation::new(&self.store, hash, &new, length, true)
                    .map_err(|_| DeltaError::NoMemory)?;
                draft.write(&padded).map_err(|_| DeltaError::NoMemory)?;
                let mut entry = self.store.entry(request.key, hash);
                again = true;
                // The reservation depends on these alone. The item's place is not among them: the
                // reservation itself may have made the store move the item.
                let same = entry.item().filter(|item| {
                    item.header().cas() == compare
                        && (item.len(), item.flags()) == (length, flags)
                        && item.slices().next().and_then(parse_number) == Some(old)
                });
                let Some(item) = same else {
                    // The reservation is dropped after the lock.
                    drop(entry);
                    attempts.again().map_err(|_| DeltaError::NoMemory)?;
                    continue;
                };
                let kept = bit::FETCHED | bit::ACTIVE | bit::WIN | bit::STALE | bit::KEY_BINARY;
                let state = item.header().state() & kept;
                // The item may have been touched since.
                let old_expiry = item.header().expiry();
                let expiry = operation.expiry.unwrap_or(old_expiry);
                draft.set_expiry(expiry);
                entry.publish_reservation(
                    draft,
                    state,
                    operation.cas.unwrap_or_else(|| self.store.next_cas()),
                );
                count_delta(&mut entry, class, operation.increment);
                return Ok(Number { value, cas: item_cas(&entry), expiry, old_expiry, created: false });
            }
            // A shorter number keeps its length and is padded with spaces. A longer one is a new
            // item. As in memcached, it gets the next CAS and keeps its expiry even if the request
            // gave others. The reply repeats those of the request.
            let written = if fits {
                entry.rewrite(digits, operation.cas.unwrap_or_else(|| self.store.next_cas()))
            } else {
                let new = NewItem { key: request.key, flags, expiry: old_expiry, class: new_class, bits: 0 };
                entry.publish(&new, &[digits], self.store.next_cas())
            };
            if written.is_err() {
                drop(entry);
                attempts.make_room(new_class).map_err(|_| DeltaError::NoMemory)?;
                again = true;
                continue;
            }
            count_delta(&mut entry, class, operation.increment);
            if fits {
                entry.set_expiry(expiry);
                return Ok(Number { value, cas: item_cas(&entry), expiry, old_expiry, created: false });
            }
            let cas = operation
                .cas
                .map_or_else(|| item_cas(&entry), |cas| if self.config.use_cas { cas } else { 0 });
            return Ok(Number { value, cas, expiry, old_expiry, created: false });
        }
    }
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
