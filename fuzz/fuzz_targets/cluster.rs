//! Nodes of a cluster: a parsed node is written as it was. Also the upload of a list, cut into
//! pieces.
//!
//! ```text
//! | number of cuts 1 | cuts | a node, or input of a client |
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::state::cluster::TEXT_MAX;
use memcache_core::{ClusterNode, Protocol};
use memcache_fuzz::{Course, context, is_loud, is_steady, talk};

fuzz_target!(|input: &[u8]| {
    let [count, rest @ ..] = input else { return };
    let Some((cuts, bytes)) = rest.split_at_checked(usize::from(count & 15)) else { return };
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(node) = text.parse::<ClusterNode>()
    {
        let written = node.to_string();
        assert!(!written.contains([' ', '\n', '\r']));
        assert_eq!(written.parse(), Ok(node));
    }
    if is_loud(bytes) {
        return;
    }
    let (whole, cut) = (context(None, true, None), context(None, true, None));
    let course = |cuts| Course { protocol: Protocol::Ascii, cuts, budget: 20, direct: false };
    let answers = (talk(&whole, &course(&[]), bytes), talk(&cut, &course(cuts), bytes));
    if is_steady(bytes) {
        assert!(answers.0 == answers.1);
        assert_eq!(whole.cluster.get(), cut.cluster.get());
    }
    assert!(whole.cluster.get().is_none_or(|(_, text)| text.len() <= TEXT_MAX));
});
