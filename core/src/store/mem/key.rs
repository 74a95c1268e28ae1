//! The comparison of keys.

/// Returns whether two keys are equal. Most keys are short, so it compares two overlapping words in
/// place of a call.
#[inline]
pub(in crate::store) fn same_key(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.first_chunk::<8>(), other.first_chunk::<8>(), one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(a), Some(b), Some(c), Some(d)) if one.len() <= 16 => a == b && c == d,
        (Some(a), Some(b), ..) if a != b => false,
        _ => one == other,
    }
}
