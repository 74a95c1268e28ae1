//! The configurations of proxies: the same pools, routes and timeouts in each language.
//!
//! A backend that has failed three times in a row is left alone for a second. Nothing here writes a
//! file.

/// The pools and routes of a case.
#[derive(Debug)]
pub struct Plan {
    /// The address of the proxy.
    pub listen: String,
    /// The backends of the pools.
    pub main: Vec<String>,
    pub spare: Vec<String>,
    /// Whether requests go to `spare` when those to `main` fail.
    pub failover: bool,
}

/// A language of configurations.
#[derive(Debug)]
pub struct Format {
    /// The word in the arguments of a server that stands for the file.
    pub word: &'static str,
    /// The ending of the name of the file.
    pub ending: &'static str,
    /// Whether the language has failover.
    pub failover: bool,
    pub text: fn(&Plan) -> String,
}

/// All languages. No word is a part of a later one.
pub const FORMATS: [Format; 4] = [
    Format { word: "TOML", ending: "toml", failover: true, text: toml },
    Format { word: "LUA", ending: "lua", failover: true, text: lua },
    Format { word: "ROUTELIB", ending: "routes.lua", failover: true, text: routelib },
    Format { word: "YML", ending: "yml", failover: false, text: yml },
];

/// Native routes of memcached-rs.
pub fn toml(plan: &Plan) -> String {
    let route = if plan.failover { r#"{ failover = ["main", "spare"] }"# } else { r#""main""# };
    let pool = |name: &str, backends: &[String]| {
        format!(
            "\n[pools.{name}]\nbackends = {backends:?}\nconnect_timeout_ms = 100\nread_timeout_ms = 100\n\
             failure_limit = 3\nretry_ms = 1000\n"
        )
    };
    format!("route = {route}\n{}{}", pool("main", &plan.main), pool("spare", &plan.spare))
}

/// A program for memcached's API, as short as possible.
pub fn lua(plan: &Plan) -> String {
    let pool = |backends: &[String]| {
        let backends = backends.iter().filter_map(|backend| backend.rsplit_once(':'));
        let backends = backends.map(|(host, port)| format!("mcp.backend('b{port}', '{host}', {port})"));
        format!("mcp.pool({{ {} }})", backends.collect::<Vec<_>>().join(", "))
    };
    let route = if plan.failover {
        "local reply = context:enqueue_and_wait(request, main)
                if reply:ok() then return reply end
                return context:enqueue_and_wait(request, spare)"
    } else {
        "return context:enqueue_and_wait(request, main)"
    };
    format!(
        "function mcp_config_pools()
    mcp.backend_connect_timeout(0.1)
    mcp.backend_read_timeout(0.1)
    mcp.backend_failure_limit(3)
    mcp.backend_retry_timeout(1)
    return {{ main = {}, spare = {} }}
end

function mcp_config_routes(pools)
    local generator = mcp.funcgen_new()
    local main, spare = generator:new_handle(pools.main), generator:new_handle(pools.spare)
    generator:ready({{
        n = 'route',
        f = function(context)
            return function(request)
                {route}
            end
        end,
    }})
    mcp.attach(mcp.CMD_ANY_STORAGE, generator)
end
",
        pool(&plan.main),
        pool(&plan.spare)
    )
}

/// A configuration of routelib, the library of memcached.
fn routelib(plan: &Plan) -> String {
    let route = if plan.failover {
        "route_failover{ children = { 'main', 'spare' } }"
    } else {
        "route_direct{ child = 'main' }"
    };
    let pool = |backends: &[String]| format!("{{ backends = {{ '{}' }} }}", backends.join("', '"));
    format!(
        "settings{{
    backend_connect_timeout = 0.1,
    backend_read_timeout = 0.1,
    backend_failure_limit = 3,
    backend_retry_waittime = 1,
}}
pools{{ main = {}, spare = {} }}
routes{{ default = {route} }}
",
        pool(&plan.main),
        pool(&plan.spare)
    )
}

/// A configuration of twemproxy, which has no failover. It moves the keys of a backend that fails.
fn yml(plan: &Plan) -> String {
    format!(
        "main:
  listen: {}
  hash: md5
  distribution: ketama
  timeout: 100
  preconnect: true
  auto_eject_hosts: true
  server_failure_limit: 3
  server_retry_timeout: 1000
  servers:
    - {}:1
",
        plan.listen,
        plan.main.join(":1\n    - ")
    )
}

#[cfg(test)]
mod tests {
    use super::{FORMATS, Plan};

    #[test]
    fn each_language_names_all_backends_that_it_uses() {
        let plan = |failover| Plan {
            listen: "127.0.0.1:1".to_owned(),
            main: vec!["127.0.0.1:2001".to_owned(), "127.0.0.1:2002".to_owned()],
            spare: vec!["127.0.0.1:2003".to_owned()],
            failover,
        };
        for format in FORMATS {
            let text = (format.text)(&plan(false));
            assert!(["2001", "2002"].iter().all(|port| text.contains(port)), "{text}");
            assert!(!format.failover || (format.text)(&plan(true)).contains("2003"), "{}", format.word);
        }
    }
}
