//! The reply of an endpoint of ElastiCache. A list that is read can be written and read again. It
//! has one backend for each node, or a reason why it cannot be used.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::proxy::elasticache::parse;
use memcache_core::internal::proxy::source::of_nodes;

fuzz_target!(|reply: &str| {
    let (version, nodes) = match parse(reply) {
        Ok(list) => list,
        Err(reason) => {
            assert!(!reason.is_empty() && reason.len() < 1000 && !reason.contains(['\r', '\n']), "{reason}");
            return;
        }
    };
    let texts: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let list = format!("{version}\n{}\n", texts.join(" "));
    let again = format!("CONFIG cluster 0 {}\r\n{list}\r\nEND\r\n", list.len());
    assert_eq!(parse(&again), Ok((version, nodes.clone())));
    match of_nodes(&nodes) {
        Ok(backends) => {
            let names: HashSet<String> = backends.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), backends.len());
            assert!(backends.len() <= nodes.len());
        }
        Err(reason) => assert!(!reason.is_empty() && !reason.contains(['\r', '\n']), "{reason}"),
    }
});
