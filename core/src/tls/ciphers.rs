//! Parses lists of cipher suites in OpenSSL's form into the suites of rustls.
//!
//! A list is a sequence of words with colons, commas or blanks between them. A word is the name of
//! a suite, OpenSSL's or IANA's, or properties joined by `+`. A suite matches if it has all of
//! them.
//!
//! `!` and `-` remove suites. `@…` and a leading `+` only give an order, which is the client's
//! here. As in OpenSSL, a list that names no suite of TLS 1.3 applies to older ones only.

use rustls::SupportedCipherSuite;

/// OpenSSL's name, IANA's name, and properties in OpenSSL's words.
const SUITES: [(&str, &str, &[&str]); 9] = [
    ("TLS_AES_256_GCM_SHA384", "TLS13_AES_256_GCM_SHA384", &["TLSv1.3"]),
    ("TLS_AES_128_GCM_SHA256", "TLS13_AES_128_GCM_SHA256", &["TLSv1.3"]),
    ("TLS_CHACHA20_POLY1305_SHA256", "TLS13_CHACHA20_POLY1305_SHA256", &["TLSv1.3"]),
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        &["ECDSA", "aECDSA", "AES256", "AES", "AESGCM", "SHA384"],
    ),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        &["ECDSA", "aECDSA", "AES128", "AES", "AESGCM", "SHA256"],
    ),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        &["ECDSA", "aECDSA", "CHACHA20", "SHA256"],
    ),
    (
        "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        &["RSA", "aRSA", "AES256", "AES", "AESGCM", "SHA384"],
    ),
    (
        "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        &["RSA", "aRSA", "AES128", "AES", "AESGCM", "SHA256"],
    ),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        &["RSA", "aRSA", "CHACHA20", "SHA256"],
    ),
];

/// Properties of all suites before TLS 1.3.
const COMMON: [&str; 9] = ["ALL", "DEFAULT", "HIGH", "FIPS", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2"];

/// The result of a list.
pub(super) struct Chosen {
    /// The available suites that the list selects.
    pub(super) suites: Vec<SupportedCipherSuite>,
    /// Words that match no available suite.
    pub(super) unknown: Vec<String>,
}

/// Selects suites of `all` by `list`. Returns `None` if it selects none of them.
pub(super) fn choose(list: &str, all: &[SupportedCipherSuite]) -> Option<Chosen> {
    let mut suites: Vec<SupportedCipherSuite> = Vec::new();
    let mut removed: Vec<SupportedCipherSuite> = Vec::new();
    let mut unknown = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty() && !word.starts_with(['@', '+'])) {
        let name = word.trim_start_matches(['!', '-']);
        let meant = || all.iter().copied().filter(|suite| is_meant(*suite, name));
        if word.len() == name.len() {
            let new: Vec<_> = meant().filter(|s| !suites.contains(s) && !removed.contains(s)).collect();
            if meant().next().is_none() {
                unknown.push(word.to_owned());
            }
            suites.extend(new);
        } else {
            suites.retain(|suite| !is_meant(*suite, name));
            if word.starts_with('!') {
                removed.extend(meant());
            }
        }
    }
    if suites.is_empty() {
        return None;
    }
    let is_new = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    if !suites.iter().any(is_new) {
        suites.extend(all.iter().copied().filter(|suite| is_new(suite) && !removed.contains(suite)));
    }
    Some(Chosen { suites, unknown })
}

fn is_meant(suite: SupportedCipherSuite, word: &str) -> bool {
    let own = format!("{:?}", suite.suite());
    let Some((openssl, iana, properties)) = SUITES.iter().find(|(_, iana, _)| *iana == own) else {
        return false;
    };
    if word == *openssl || word == *iana {
        return true;
    }
    let common = if suite.tls13().is_some() { &[][..] } else { &COMMON[..] };
    word.split('+').all(|part| properties.contains(&part) || common.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring::ALL_CIPHER_SUITES;

    /// Returns the names of the suites before TLS 1.3, the number of those of 1.3, and the unknown
    /// words.
    fn read(list: &str) -> (Vec<String>, usize, Vec<String>) {
        let Some(Chosen { suites, unknown }) = choose(list, ALL_CIPHER_SUITES) else {
            return Default::default();
        };
        let (new, old): (Vec<SupportedCipherSuite>, Vec<_>) =
            suites.into_iter().partition(|suite| suite.tls13().is_some());
        let old = old.iter().map(|suite| format!("{:?}", suite.suite()).replace("TLS_ECDHE_", ""));
        (old.collect(), new.len(), unknown)
    }

    #[test]
    fn every_suite_has_a_name() {
        for suite in ALL_CIPHER_SUITES {
            let own = format!("{:?}", suite.suite());
            assert!(SUITES.iter().any(|(_, iana, _)| *iana == own), "{own}");
        }
        assert_eq!(SUITES.len(), ALL_CIPHER_SUITES.len());
    }

    #[test]
    fn lists_are_read_as_openssl_reads_them() {
        let cases: &[(&str, &[&str], usize, &[&str])] = &[
            ("ECDHE-RSA-AES128-GCM-SHA256", &["RSA_WITH_AES_128_GCM_SHA256"], 3, &[]),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", &["RSA_WITH_AES_128_GCM_SHA256"], 3, &[]),
            (
                "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:RC4",
                &["RSA_WITH_AES_128_GCM_SHA256"],
                3,
                &["AES128-SHA", "RC4"],
            ),
            ("aRSA+CHACHA20", &["RSA_WITH_CHACHA20_POLY1305_SHA256"], 3, &[]),
            (
                "HIGH:!aNULL:!MD5:!ECDSA:-CHACHA20:@STRENGTH",
                &["RSA_WITH_AES_256_GCM_SHA384", "RSA_WITH_AES_128_GCM_SHA256"],
                3,
                &[],
            ),
            ("!AES:ALL:!ECDSA", &["RSA_WITH_CHACHA20_POLY1305_SHA256"], 3, &[]),
            ("TLS_AES_128_GCM_SHA256", &[], 1, &[]),
            ("RC4:AES128-SHA", &[], 0, &[]),
            ("!AES:AES", &[], 0, &[]),
            ("", &[], 0, &[]),
        ];
        for (list, old, new, unknown) in cases {
            let expected = (
                old.iter().map(ToString::to_string).collect::<Vec<_>>(),
                *new,
                unknown.iter().map(ToString::to_string).collect::<Vec<_>>(),
            );
            assert_eq!(read(list), expected, "{list}");
        }
    }
}
