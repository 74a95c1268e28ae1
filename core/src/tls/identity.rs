//! The names in the certificate of a client, for the setting `tls_user`.
//!
//! The certificate is valid: rustls has checked it against the authorities of the server. webpki
//! reads it. It does not read the fields of a subject, which [`common_name`] does.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::config::TlsUser;

/// Tags of ASN.1.
mod tag {
    pub const OBJECT_IDENTIFIER: u8 = 0x06;
    pub const UTF8_STRING: u8 = 0x0C;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
}

/// The object identifier of a common name, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Returns the names that may be the user, in their order. There is none if the certificate has no
/// such name, or two common names.
pub(super) fn names(certificate: &CertificateDer<'_>, user: TlsUser) -> Vec<String> {
    let Ok(read) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    match user {
        TlsUser::None => Vec::new(),
        TlsUser::Cn => common_name(read.subject()).map(str::to_owned).into_iter().collect(),
        TlsUser::San => read.valid_dns_names().chain(read.valid_uri_names()).map(str::to_owned).collect(),
    }
}

/// Returns the first common name of a certificate, of any kind of text, as memcached does.
pub(crate) fn first_common_name(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let read = EndEntityCert::try_from(certificate).ok()?;
    common_names(read.subject())?.first().map(|(_, text)| text.to_vec())
}

/// Returns the only common name of a subject.
fn common_name(subject: &[u8]) -> Option<&str> {
    match common_names(subject)?[..] {
        [(tag::UTF8_STRING | tag::PRINTABLE_STRING, text)] => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// Returns the kinds and texts of the common names of a subject, which is a list of sets of pairs.
/// Returns `None` if it is none.
fn common_names(subject: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    let mut sets = subject;
    while !sets.is_empty() {
        let mut pairs = take(&mut sets, tag::SET)?;
        while !pairs.is_empty() {
            let mut pair = take(&mut pairs, tag::SEQUENCE)?;
            if take(&mut pair, tag::OBJECT_IDENTIFIER)? != COMMON_NAME {
                continue;
            }
            let kind = *pair.first()?;
            found.push((kind, take(&mut pair, kind)?));
            if !pair.is_empty() {
                return None;
            }
        }
    }
    Some(found)
}

/// Takes a value of the kind `tag` from the start of `input`. Returns its content.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (length, rest) = match *input {
        [first, length @ 0..=0x7F, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x81, length, rest @ ..] if *first == tag => (usize::from(*length), rest),
        [first, 0x82, high, low, rest @ ..] if *first == tag => {
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a set with one pair.
    fn part(identifier: &[u8], kind: u8, text: &[u8]) -> Vec<u8> {
        let value = [&[kind, text.len() as u8], text].concat();
        let oid = [&[tag::OBJECT_IDENTIFIER, identifier.len() as u8], identifier].concat();
        let pair = [&[tag::SEQUENCE, (oid.len() + value.len()) as u8], &oid[..], &value].concat();
        [&[tag::SET, pair.len() as u8], &pair[..]].concat()
    }

    #[test]
    fn a_subject_has_at_most_one_user() {
        let cn = |text: &str| part(COMMON_NAME, tag::UTF8_STRING, text.as_bytes());
        let organisation = part(&[0x55, 0x04, 0x0A], tag::UTF8_STRING, b"Ann Ltd");
        assert_eq!(common_name(&cn("ann")), Some("ann"));
        assert_eq!(common_name(&[organisation.clone(), cn("Ann B.")].concat()), Some("Ann B."));
        assert_eq!(common_name(&part(COMMON_NAME, tag::PRINTABLE_STRING, b"bob")), Some("bob"));
        assert_eq!(common_name(&organisation), None);
        assert_eq!(common_name(&[]), None);
        assert_eq!(common_name(&[cn("ann"), cn("root")].concat()), None);
        // UTF-16 is not compared with the names of users.
        assert_eq!(common_name(&part(COMMON_NAME, 0x1E, b"\0a")), None);
        assert_eq!(common_name(&part(COMMON_NAME, tag::UTF8_STRING, b"\xFF")), None);
        let two = [cn("ann"), cn("root")].concat();
        let texts =
            common_names(&two).map(|names| names.into_iter().map(|(_, text)| text).collect::<Vec<_>>());
        assert_eq!(texts, Some(vec![&b"ann"[..], b"root"]));
    }

    #[test]
    fn a_subject_that_is_cut_or_changed_names_no_other_user() {
        let whole = part(COMMON_NAME, tag::UTF8_STRING, b"ann");
        for end in 0..whole.len() {
            assert_eq!(common_name(&whole[..end]), None, "{end}");
        }
        for at in 0..whole.len() - 3 {
            for byte in 0..=u8::MAX {
                let mut odd = whole.clone();
                odd[at] = byte;
                assert!(common_name(&odd).is_none_or(|name| name == "ann"), "{at} {byte}");
            }
        }
    }
}
