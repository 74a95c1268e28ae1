//! The configuration of a proxy: a mistake is one line with a place in the text. A configuration
//! that is accepted answers each request once, with few sends.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memcache_core::internal::proxy::command::COMMANDS;
use memcache_core::internal::proxy::config::{MAX_SENDS, parse};
use memcache_core::internal::proxy::explain::{Event, Pretence, explain};
use memcache_core::internal::proxy::run::Request;

fuzz_target!(|text: &str| {
    let routes = match parse(text) {
        Ok(routes) => routes,
        Err(fault) => {
            assert!((1..=text.split('\n').count()).contains(&fault.line), "{fault}");
            assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault}");
            return;
        }
    };
    let pools = || routes.pools.iter().map(|pool| pool.name.clone());
    for command in &COMMANDS {
        let request = Request { key: b"user:1", command, draw: text.len() as u64 };
        let down = pools().step_by(2).collect();
        let pretence = Pretence { down, missing: pools().collect(), time: 1_796_083_200 };
        let events = explain(&routes, routes.root, request, &pretence);
        let answers = events.iter().filter(|event| matches!(event, Event::Answered(_))).count();
        let sends = events.iter().filter(|event| matches!(event, Event::Replied(..))).count();
        assert_eq!(answers, 1);
        assert!(sends <= routes.most_sends() && routes.most_sends() <= MAX_SENDS);
    }
});
