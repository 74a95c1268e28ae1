//! Parts of keys: keys that agree in such a part are on the same backend.

use memchr::{memchr, memmem};

/// The part of a key that its pool hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFilter {
    /// The part before the first occurrence of a text, or all of a key without it.
    Stop(String),
    /// The part between the first opening character and the next closing one. It may be empty. All
    /// of a key that lacks one of them.
    Tag(u8, u8),
}

impl KeyFilter {
    /// Returns the part of a key.
    pub fn part<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        match self {
            Self::Stop(text) => memmem::find(key, text.as_bytes()).map_or(key, |end| &key[..end]),
            Self::Tag(open, close) => {
                let inside = memchr(*open, key).map(|at| &key[at + 1..]);
                inside.and_then(|rest| Some(&rest[..memchr(*close, rest)?])).unwrap_or(key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let (stop, tag) = (KeyFilter::Stop("|#".into()), KeyFilter::Tag(b'{', b'}'));
        let cases: [(&KeyFilter, &str, &str); 8] = [
            (&stop, "a:b|#c|#d", "a:b"),
            (&stop, "|#c", ""),
            (&stop, "a|b#", "a|b#"),
            (&tag, "user:{7}:x{8}", "7"),
            (&tag, "a{}b", ""),
            (&tag, "a}{b", "a}{b"),
            (&tag, "a}{b}", "b"),
            (&tag, "a{b", "a{b"),
        ];
        for (filter, key, part) in cases {
            assert_eq!(filter.part(key.as_bytes()), part.as_bytes(), "{key}");
        }
    }
}
