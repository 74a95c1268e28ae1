//! Jump hash by Lamping and Veach, the default of memcached's proxy. The order of the backends
//! counts: a pool grows at its end.

/// Returns the index of the backend for a hash, out of `count`.
pub fn index(mut hash: u64, count: u32) -> u32 {
    let (mut index, mut next) = (0, 0i64);
    while next < i64::from(count) {
        index = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((index + 1) as f64 * ((1u64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as i64;
    }
    index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key moves to the new backend or not at all.
    #[test]
    fn growing_moves_keys_to_the_new_backend_only() {
        let hashes = (0..2000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut moved = 0;
        for hash in hashes {
            let (before, after) = (index(hash, 9), index(hash, 10));
            assert!(before < 9 && (after == before || after == 9));
            moved += u32::from(after == 9);
        }
        assert!((150..250).contains(&moved), "{moved} of 2000, about a tenth was expected");
    }
}
