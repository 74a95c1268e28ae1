//! Programs that route requests, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bench;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::channel;

use bench::{Bench, Manual, Program, address};
use memcache_core::{Hooks, Listen, Protocol, Server, ServerConfig, TlsConfig, TlsMode, Ttl, VerifyMode};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Forwards everything to the first backend.
const DIRECT: &str = "
function mcp_config_pools() return pool(1) end
function mcp_config_routes(p)
    attach_all(p, function(rctx, r, h) return rctx:enqueue_and_wait(r, h) end)
end";

#[test]
fn a_direct_route() {
    let bench = Bench::new(1, DIRECT);
    let mut client = bench.client();
    client.asks("get k\r\n", "END\r\n");
    client.asks("set k 5 0 2\r\nhi\r\n", "STORED\r\n");
    client.asks("get k\r\n", "VALUE k 5 2\r\nhi\r\nEND\r\n");
    client.asks("mg k v f\r\nmg none v\r\n", "VA 2 f5\r\nhi\r\nEN\r\n");
    client.asks("set n 0 0 1 noreply\r\n5\r\nincr n 2\r\n", "7\r\n");
    client
        .asks("get k none n k\r\n", "VALUE k 5 2\r\nhi\r\nVALUE n 0 1\r\n7\r\nVALUE k 5 2\r\nhi\r\nEND\r\n");
    client.asks("mg none q\r\nms k 1 q\r\nx\r\nmg k q v\r\nmn\r\n", "VA 1\r\nx\r\nMN\r\n");
    client.asks("delete k\r\nget k\r\n", "DELETED\r\nEND\r\n");
    assert_eq!(bench.backends[0].cache().get("n").as_deref(), Some(&b"7"[..]));
    assert_eq!(bench.server.cache().get("n"), None);
    let big = "x".repeat(500_000);
    client.asks(&format!("set big 0 0 {}\r\n{big}\r\n", big.len()), "STORED\r\n");
    client.asks("get big\r\n", &format!("VALUE big 0 {}\r\n{big}\r\nEND\r\n", big.len()));
}

/// Workers share the connections of the I/O thread, unless a pool has its own.
#[test]
fn an_io_thread_has_the_connections() {
    let bench = Bench::new(
        2,
        "
        function mcp_config_pools()
            mcp.backend_use_iothread(true)
            return { pool(1), pool(2, { iothread = false }) }
        end
        function mcp_config_routes(pools)
            local fgen = mcp.funcgen_new()
            local shared, own = fgen:new_handle(pools[1]), fgen:new_handle(pools[2])
            fgen:ready({ f = function(rctx) return function(r)
                rctx:enqueue(r, { shared, own })
                rctx:wait_cond(2, mcp.WAIT_ANY)
                return rctx:best_result({ shared, own })
            end end })
            mcp.attach(mcp.CMD_ANY_STORAGE, fgen)
        end",
    );
    let mut clients: Vec<_> = (0..4).map(|_| bench.client()).collect();
    for client in &mut clients {
        client.asks("set k 0 0 1\r\nv\r\nmg k v\r\n", "STORED\r\nVA 1\r\nv\r\n");
    }
    let stats = bench.server.proxy_stats().unwrap();
    let connections: Vec<_> =
        stats.backends.iter().map(|backend| (backend.name.as_str(), backend.open)).collect();
    assert_eq!(connections, [("b1", 1), ("b2", 2)]);
}

/// The program sees a delete, because the old item must not remain.
#[test]
fn a_store_of_a_value_that_is_too_large_is_refused() {
    let bench = Bench::new(1, DIRECT);
    let mut client = bench.client();
    let value = "x".repeat(2_000_000);
    for store in ["set k 0 0 2000000", "ms k 2000000 T30"] {
        bench.backends[0].cache().set("k", "old", Ttl::Never).unwrap();
        client.asks(&format!("{store}\r\n{value}\r\n"), "SERVER_ERROR object too large for cache\r\n");
        client.asks("get k\r\n", "END\r\n");
    }
}

/// Deletes may go elsewhere, or nowhere.
#[test]
fn a_store_of_a_value_that_is_too_large_takes_the_route_of_its_command() {
    let bench = Bench::new(
        2,
        "
        function mcp_config_pools() return { pool(1), pool(2) } end
        function mcp_config_routes(pools)
            local function direct(pool)
                local fgen = mcp.funcgen_new()
                local h = fgen:new_handle(pool)
                fgen:ready({ f = function(rctx) return function(r)
                    return rctx:enqueue_and_wait(r, h)
                end end })
                return fgen
            end
            mcp.attach(mcp.CMD_SET, direct(pools[1]))
            mcp.attach(mcp.CMD_MS, direct(pools[1]))
            mcp.attach(mcp.CMD_DELETE, direct(pools[2]))
        end",
    );
    let mut client = bench.client();
    let value = "x".repeat(2_000_000);
    for store in ["set k 0 0 2000000", "ms k 2000000"] {
        bench.backends.iter().for_each(|backend| backend.cache().set("k", "old", Ttl::Never).unwrap());
        client.asks(&format!("{store}\r\n{value}\r\n"), "SERVER_ERROR object too large for cache\r\n");
        let has = |index: usize| bench.backends[index].cache().get("k").is_some();
        assert_eq!([has(0), has(1)], [false, true], "{store}");
    }
}

#[test]
fn commands_without_a_route_are_answered_by_the_cache_of_the_server() {
    let bench = Bench::new(1, "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            local fgen = mcp.funcgen_new()
            local h = fgen:new_handle(p)
            fgen:ready({ f = function(rctx) return function(r) return rctx:enqueue_and_wait(r, h) end end })
            mcp.attach(mcp.CMD_MG, fgen)
            mcp.attach(mcp.CMD_TOUCH, function(r) return 'SERVER_ERROR no touch of ' .. r:key() .. '\\r\\n' end)
        end");
    bench.backends[0].cache().set("k", "there", Ttl::Never).unwrap();
    let mut client = bench.client();
    client.asks("set k 0 0 4\r\nhere\r\n", "STORED\r\n");
    client.asks("get k\r\nmg k v\r\n", "VALUE k 0 4\r\nhere\r\nEND\r\nVA 5\r\nthere\r\n");
    client.asks("touch k 0\r\n", "SERVER_ERROR no touch of k\r\n");
}

/// A function per prefix of the key, each with one way to use its handles.
const WAYS: &str = r#"
function mcp_config_pools() return { a = pool(1), b = pool(2), dead = mcp.pool({
    mcp.backend({ label = "dead", host = "127.0.0.1", port = 1, down = true }) }) } end
function mcp_config_routes(pools)
    local function child(name, f)
        local fgen = mcp.funcgen_new()
        local a, b = fgen:new_handle(pools.a), fgen:new_handle(pools.b)
        fgen:ready({ n = name, f = function(rctx) return function(r) return f(rctx, r, a, b) end end })
        return fgen
    end
    local text = child("text", function() return "SERVER_ERROR own text\r\n" end)
    local broken = child("broken", function() error("broken on purpose") end)
    local slow = child("slow", function(rctx, r, a, b)
        rctx:enqueue(r, { a, b })
        rctx:wait_cond(2, mcp.WAIT_ANY)
        return rctx:best_result({ a, b })
    end)
    local fgen = mcp.funcgen_new()
    local a, b, dead = fgen:new_handle(pools.a), fgen:new_handle(pools.b), fgen:new_handle(pools.dead)
    local t, x, s = fgen:new_handle(text), fgen:new_handle(broken), fgen:new_handle(slow)
    local own = fgen:new_handle(mcp.internal_handler)
    local calls = 0
    local ways = {
        failover = function(rctx, r)
            local res = rctx:enqueue_and_wait(r, dead)
            assert(not res:ok())
            return rctx:enqueue_and_wait(r, b)
        end,
        all = function(rctx, r)
            rctx:enqueue(r, { a, b })
            local done = rctx:wait_cond(2, mcp.WAIT_OK)
            assert(done == 2, "not all")
            return (rctx:worst_result({ a, b }))
        end,
        fast = function(rctx, r)
            rctx:enqueue(r, { dead, a, b })
            rctx:wait_cond(3, mcp.WAIT_FASTGOOD)
            local res, mark = rctx:best_result({ dead, a, b })
            return res
        end,
        dead = function(rctx, r) return rctx:enqueue_and_wait(r, dead) end,
        text = function(rctx, r)
            local res = rctx:enqueue_and_wait(r, t)
            return res
        end,
        broken = function(rctx, r)
            local res = rctx:enqueue_and_wait(r, x)
            assert(res:ok() == false)
            return res
        end,
        slow = function(rctx, r) return rctx:enqueue_and_wait(r, s) end,
        own = function(rctx, r) return rctx:enqueue_and_wait(r, own) end,
        internal = function(rctx, r) return mcp.internal(r) end,
        fails = function() error("on purpose") end,
        nothing = function() end,
        number = function() return 5 end,
        loops = function() while true do end end,
        loops_on = function() while true do pcall(function() while true do end end) end end,
        yields = function() coroutine.yield(1) end,
        sleeps = function(rctx, r) rctx:sleep(0.01) return "HD slept\r\n" end,
        late = function(rctx, r)
            local count, timed_out = rctx:wait_cond(1, mcp.WAIT_ANY, 0.01)
            return "HD " .. count .. " " .. tostring(timed_out) .. "\r\n"
        end,
        later = function(rctx, r)
            rctx:enqueue(r, a)
            assert(rctx:wait_cond(0, mcp.WAIT_ANY) == 0)
            return rctx:wait_handle(a)
        end,
        calls = function() return "HD " .. calls .. "\r\n" end,
        arguments = function(rctx, r)
            local texts = {}
            local function try(name, ...)
                local ok, text = pcall(rctx[name], rctx, ...)
                texts[#texts + 1] = ok and "ok" or text
            end
            try("enqueue", r, 99) try("enqueue", r, "x") try("enqueue", r, { "x" })
            try("wait_cond") try("wait_cond", -1) try("wait_cond", 1, 9)
            try("wait_handle", 99) try("wait_handle", a) try("result", -1) try("best_result", 1)
            try("worst_result", { 99 }) try("request_new") try("sleep") try("handle_set_cb", 99, print)
            return table.concat(texts, ";") .. "\r\n"
        end,
    }
    fgen:ready({ n = "ways", f = function(rctx)
        rctx:handle_set_cb(a, function(res, req) calls = calls + 1 end)
        return function(r) return ways[r:key():match("^[^:]*")](rctx, r) end
    end })
    mcp.attach(mcp.CMD_ANY_STORAGE, fgen)
end"#;

#[test]
fn functions_wait_for_what_they_ask() {
    let bench = Bench::new(2, WAYS);
    for key in ["failover:k", "all:k", "fast:k", "slow:k", "later:k"] {
        bench.backends[1].cache().set(key, "b", Ttl::Never).unwrap();
    }
    for key in ["all:k", "later:k"] {
        bench.backends[0].cache().set(key, "a", Ttl::Never).unwrap();
    }
    let mut client = bench.client();
    for _ in 0..3 {
        client.asks("mg failover:k v\r\n", "VA 1\r\nb\r\n");
        client.asks("mg all:k v\r\nmg all:none v\r\n", "VA 1\r\nb\r\nEN\r\n");
        client.asks("mg fast:k v\r\nmg fast:none v\r\n", "VA 1\r\nb\r\nEN\r\n");
        client.asks("mg dead:k v\r\n", "SERVER_ERROR backend failure\r\n");
        client.asks("mg text:k v\r\n", "SERVER_ERROR own text\r\n");
        client.asks("mg broken:k v\r\n", "SERVER_ERROR backend failure\r\n");
        client.asks("mg slow:k v\r\n", "VA 1\r\nb\r\n");
        client.asks("mg later:k v\r\n", "VA 1\r\na\r\n");
        client.asks("mg fails v\r\n", "SERVER_ERROR lua failure\r\n");
        client.asks("mg nothing v\r\nmg number v\r\n", &"SERVER_ERROR bad response\r\n".repeat(2));
        client.asks("mg yields v\r\n", "SERVER_ERROR lua failure\r\n");
        client.asks("mg sleeps v\r\nmg late v\r\n", "HD slept\r\nHD 0 true\r\n");
    }
    client.asks("mg loops v\r\n", "SERVER_ERROR lua failure\r\n");
    client.asks("mg loops_on v\r\n", "SERVER_ERROR lua failure\r\n");
    client.asks("set own:k 0 0 1\r\nx\r\n", "STORED\r\n");
    client.asks("mg internal:none v\r\nset internal:k 0 0 1\r\ny\r\n", "EN\r\nSTORED\r\n");
    client.asks(
        "mg own:k v\r\nmg internal:k v\r\nme own:k\r\n",
        "VA 1\r\nx\r\nVA 1\r\ny\r\nSERVER_ERROR backend failure\r\n",
    );
    assert_eq!(bench.server.cache().get("own:k").as_deref(), Some(&b"x"[..]));
    client.asks("mg calls v\r\n", "HD 15\r\n");
    let texts = [
        "attempted to enqueue an invalid handle",
        "must pass a handle or a table to queue",
        "invalid handle passed to queue via array table",
        "must pass at least count to wait_cond",
        "wait count for wait_cond must be a positive integer",
        "invalid mode sent to wait_cond",
        "invalid handle passed to wait_handle",
        "wait_handle called on unqueued handle",
        "invalid queue handle passed to :good/:ok:/:any",
        "must pass a table to :best_result",
        "invalid queue handle passed to worst_result",
        "rctx request new: object count limit reached",
        "timeout argument to wait or sleep must be a number",
        "invalid handle passed to queue_set_cb",
    ];
    client.asks("mg arguments v\r\n", &format!("{}\r\n", texts.join(";")));
}

#[test]
fn a_reload_changes_all_workers_or_none() {
    let bench = Bench::new(2, DIRECT);
    bench.backends[0].cache().set("k", "one", Ttl::Never).unwrap();
    bench.backends[1].cache().set("k", "two", Ttl::Never).unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| bench.client()).collect();
    let mut expect = |value: &str| {
        clients.iter_mut().for_each(|client| client.asks("mg k v\r\n", &format!("VA 3\r\n{value}\r\n")));
    };
    expect("one");
    bench.reload(&DIRECT.replace("pool(1)", "pool(2)")).unwrap();
    expect("two");
    for (program, line) in [
        ("x = ", "ERROR: Failed to load proxy_startfile: "),
        ("error('no')", "ERROR: Failed to load data into lua config state: "),
        ("mcp_config_pools = nil", "ERROR: Configuration file missing 'mcp_config_pools' function"),
        ("function mcp_config_pools() error('no') end", "ERROR: Failed to execute mcp_config_pools: "),
        ("function mcp_config_pools() end", "Configuration file missing 'mcp_config_routes' function"),
        (
            "function mcp_config_pools() return pool(1) end function mcp_config_routes(p) error('no') end",
            "Failed to execute mcp_config_routes: ",
        ),
    ] {
        let fault = bench.reload(program).unwrap_err();
        assert!(fault.starts_with(line), "{fault}");
        expect("two");
    }
    for _ in 0..5 {
        bench.reload(DIRECT).unwrap();
        expect("one");
        bench.reload(&DIRECT.replace("pool(1)", "pool(2)")).unwrap();
        expect("two");
    }
    let connected = |at: usize| -> u64 {
        bench.backends[at].context().workers.iter().map(|worker| worker.connections.get()).sum()
    };
    // The connections to the backend that is not used any more are closed.
    while connected(0) > 0 {
        expect("two");
    }
    assert_eq!(connected(1), 2);
}

#[test]
fn a_server_does_not_start_with_a_bad_program() {
    let fault = Bench::with(0, "error('no')", ServerConfig::default()).err().unwrap();
    assert!(fault.contains("Failed to load data into lua config state"), "{fault}");
    let fault = Bench::with(0, "function mcp_config_pools() end", ServerConfig::default()).err().unwrap();
    assert!(fault.contains("mcp_config_routes"), "{fault}");
}

#[test]
fn a_program_counts_and_logs() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools()
            mcp.add_stat(1, 'hits')
            mcp.add_stat(2, 'misses')
            return mcp.pool({ mcp.backend({ label = 'b', host = '127.0.0.1', port = ports[1],
                log = { rate = 1, tag = 'each' } }) })
        end
        function mcp_config_routes(p)
            attach_all(p, function(rctx, r, h)
                local res = rctx:enqueue_and_wait(r, h)
                mcp.stat(res:hit() and 1 or 2, 1)
                mcp.log('saw\\n' .. r:key())
                mcp.log_req(r, res, 'own detail', 7)
                mcp.log_reqsample(0, 0, true, r, res, 'never')
                mcp.log_reqsample(0, 1, false, r, res, 'always')
                if r:key() == 'fails' then error('on purpose') end
                return res
            end)
        end",
    );
    let mut watchers = ["proxyuser", "proxyreqs", "proxyevents"].map(|kinds| {
        let mut watcher = bench.client();
        watcher.asks(&format!("watch {kinds}\r\n"), "OK\r\n");
        watcher
    });
    let mut client = bench.client();
    client.asks("mg k v\r\nset k 0 0 1\r\nx\r\nmg fails\r\n", "EN\r\nSTORED\r\nSERVER_ERROR lua failure\r\n");
    let mut next = |at: usize| {
        let line = watchers[at].line();
        let at = line.find("type=").unwrap();
        let line = line[at..].trim_end().to_owned();
        match line.split_once("elapsed=") {
            Some((_, rest)) => rest.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned(),
            None => line,
        }
    };
    assert_eq!(next(0), r"type=proxy_user msg=saw\nk");
    let port = bench.port(0);
    // Those of the miss.
    for detail in ["each", "own detail", "always"] {
        let line = next(1);
        assert!(
            line.contains(" res=ok ") && line.contains(&format!(" detail={detail} req=mg k v")),
            "{line}"
        );
    }
    let line = next(1);
    assert!(line.starts_with(" type=104 code=8 status=0 res=good cfd="), "{line}");
    assert!(line.ends_with(&format!(" be=127.0.0.1:{port} detail=each req=set k 0 0 1")), "{line}");
    assert_eq!(
        next(1),
        format!(
            " type=104 code=8 status=0 res=good cfd=7 be=127.0.0.1:{port} detail=own detail req=set k 0 0 1"
        )
    );
    // The next event follows at once: a traceback would be lines of its own.
    client.asks("mg fails\r\n", "SERVER_ERROR lua failure\r\n");
    for _ in 0..2 {
        let line = next(2);
        assert!(line.starts_with("type=proxy_error msg=") && line.ends_with("on purpose"), "{line}");
    }
    let stats = bench.server.stats("proxy").unwrap();
    let user: Vec<_> = stats.iter().filter(|(name, _)| name.starts_with("user_")).collect();
    assert_eq!(user, [&("user_hits".into(), "1".into()), &("user_misses".into(), "3".into())]);
    let functions = bench.server.stats("proxyfuncs").unwrap();
    assert!(functions.contains(&("funcs_all".into(), "2".into())), "{functions:?}");
}

#[test]
fn limits_of_requests_and_of_memory() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools()
            mcp.active_req_limit(4)
            mcp.buffer_memory_limit(20)
            return pool(1)
        end
        function mcp_config_routes(p)
            attach_all(p, function(rctx, r, h)
                if r:key() == 'slow' then rctx:sleep(0.05) end
                return rctx:enqueue_and_wait(r, h)
            end)
        end",
    );
    let mut client = bench.client();
    let refused = "SERVER_ERROR active request limit reached\r\n";
    client.asks(&"mg slow\r\n".repeat(6), &format!("{}{}", "EN\r\n".repeat(4), refused.repeat(2)));
    let value = "x".repeat(6000);
    client.asks(&format!("set k 0 0 6000\r\n{value}\r\n"), "STORED\r\n");
    client.asks("get k\r\n", &format!("VALUE k 0 6000\r\n{value}\r\nEND\r\n"));
    let large = "x".repeat(11_000);
    bench.backends[0].cache().set("large", &large, Ttl::Never).unwrap();
    client.asks("get large\r\n", &format!("VALUE large 0 11000\r\n{large}\r\nEND\r\n"));
    let stats = bench.server.stats("proxy").unwrap();
    assert!(stats.contains(&("buffer_memory_used".into(), "0".into())), "{stats:?}");
}

/// As in memcached, one value may exceed the limit. Then values of requests are refused, and
/// replies end the connection to their backend.
#[test]
fn one_value_may_exceed_the_limit_of_memory() {
    let manual = Manual::new();
    let program = format!(
        "
        function mcp_config_pools()
            mcp.buffer_memory_limit(20)
            return mcp.pool({{ mcp.backend('m', '127.0.0.1', {}) }})
        end
        function mcp_config_routes(p)
            attach_all(p, function(rctx, r, h) return rctx:enqueue_and_wait(r, h) end)
        end",
        manual.port,
    );
    let bench = Bench::new(0, &program);
    let mut watcher = bench.client();
    watcher.asks("watch proxyevents\r\n", "OK\r\n");
    let mut client = bench.client();
    let large = "x".repeat(11_000);
    client.send(&format!("ms large 11000\r\n{large}\r\nms k 1\r\nv\r\nmg k\r\n"));
    let (line, mut socket) = manual.ask();
    assert_eq!(line, "ms large 11000");
    assert_eq!(manual.ask().0, large);
    assert_eq!(manual.ask().0, "mg k", "a request without a value takes no memory");
    socket.write_all(b"HD\r\n").unwrap();
    assert_eq!(client.line(), "SERVER_ERROR backend failure\r\n");
    assert_eq!(client.line(), "SERVER_ERROR out of memory\r\n");
    assert_eq!(client.line(), "SERVER_ERROR backend failure\r\n");
    let line = watcher.line();
    assert!(line.contains(" type=proxy_backend error=outofmemory name=127.0.0.1 "), "{line}");
    client.send("ms k 1\r\nv\r\n");
    assert_eq!(manual.ask().0, "ms k 1");
    let (line, mut socket) = manual.ask();
    assert_eq!(line, "v");
    socket.write_all(b"HD\r\n").unwrap();
    assert_eq!(client.line(), "HD\r\n");
    let stats = bench.server.stats("proxy").unwrap();
    assert!(stats.contains(&("buffer_memory_used".into(), "0".into())), "{stats:?}");
}

/// Globals of the configuration outlive a reload, which a timed function may ask for.
#[test]
fn a_timed_function_reloads_the_configuration() {
    let bench = Bench::new(
        0,
        "
        loads = (loads or 0) + 1
        function mcp_config_pools()
            mcp.add_stat(1, 'load_' .. loads)
            if loads < 3 then
                mcp.register_cron('again', { every = 1, func = mcp.schedule_config_reload })
            end
            return { load = loads }
        end
        function mcp_config_routes(result)
            mcp.attach(mcp.CMD_MG, function(r) return 'HD load ' .. result.load .. '\\r\\n' end)
        end",
    );
    let mut client = bench.client();
    client.send("mg k\r\n");
    let mut line = client.line();
    while line != "HD load 3\r\n" {
        assert!(["HD load 1\r\n", "HD load 2\r\n"].contains(&line.as_str()), "{line}");
        client.send("mg k\r\n");
        line = client.line();
    }
    let stats = bench.server.stats("").unwrap();
    let value = |name: &str| stats.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    assert_eq!(value("proxy_config_reloads").as_deref(), Some("3"));
    assert_eq!(value("proxy_config_cron_runs").as_deref(), Some("2"));
    let stats = bench.server.stats("proxy").unwrap();
    assert!(stats.contains(&("user_load_3".into(), "0".into())), "{stats:?}");
}

#[test]
fn a_configuration_reads_statistics_and_watchers_see_reloads() {
    let program = "
        function mcp_config_pools()
            if is_loaded then mcp.log('threads ' .. mcp.server_stats('settings').num_threads) end
            is_loaded = true
        end
        function mcp_config_routes() end";
    let bench = Bench::new(0, program);
    let mut watcher = bench.client();
    watcher.asks("watch proxyuser proxyevents\r\n", "OK\r\n");
    let mut sees = |lines: &[&str]| {
        for expected in lines {
            let line = watcher.line();
            assert_eq!(line.trim_end().split_once(" type=").map(|(_, rest)| rest), Some(*expected));
        }
    };
    bench.reload(program).unwrap();
    sees(&["proxy_user msg=threads 2", "proxy_conf status=start", "proxy_conf status=done"]);
    bench.reload("function mcp_config_pools() error('on purpose') end").unwrap_err();
    sees(&["proxy_conf status=failed"]);
    bench.reload("function").unwrap_err();
    sees(&["proxy_conf status=start", "proxy_conf status=failed"]);
}

/// As in memcached, certificates of backends are not verified.
#[test]
fn backends_with_tls() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["other".into()]).unwrap().self_signed(&key).unwrap();
    let files = [certificate.pem(), key.serialize_pem()].map(|text| Program::new(&text));
    let [chain_cert, key] = files.each_ref().map(|file| Some(file.0.clone()));
    let tls = Some(TlsConfig { chain_cert, key, ..TlsConfig::default() });
    let addr = ([127, 0, 0, 1], 0).into();
    let listen =
        vec![Listen::Tcp { addr, protocol: Protocol::Negotiating, tls: TlsMode::Default, tag: None }];
    let backend = Server::start(ServerConfig { listen, tls, threads: 1, ..ServerConfig::default() }).unwrap();
    backend.cache().set("k", "v", Ttl::Never).unwrap();
    let port = address(&backend).port();
    let program = |first: &str, options: &str| {
        format!(
            "function mcp_config_pools()
                {first}
                return mcp.pool({{ mcp.backend({{ label = 'b', host = '127.0.0.1', port = {port}{options} }}) }})
            end
            function mcp_config_routes(p)
                attach_all(p, function(rctx, r, h) return rctx:enqueue_and_wait(r, h) end)
            end"
        )
    };
    let of_backend = program("mcp.init_tls()", ", tls = true");
    let (log, lines) = channel();
    let log = move |_, line: &str| drop(log.send(line.to_owned()));
    let hooks = Hooks { log: Some(Arc::new(log)), ..Hooks::default() };
    let config = ServerConfig { hooks, verbosity: 1, ..ServerConfig::default() };
    let bench = Bench::with(0, &of_backend, config).unwrap();
    bench.client().asks("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
    let warning = lines.iter().find(|line| line.contains("init_tls"));
    assert_eq!(
        warning.as_deref(),
        Some("PROXY WARNING: mcp.init_tls: certificates of backends are not verified")
    );
    bench.reload(&program("mcp.backend_use_tls(true)", "")).unwrap();
    bench.client().asks("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
    for early in [program("", ", tls = true"), program("mcp.backend_use_tls(true)", "")] {
        let fault = Bench::with(0, &early, ServerConfig::default()).err().unwrap();
        assert!(fault.contains("TLS requested but not initialized: call mcp.init_tls()"), "{fault}");
    }
}

/// The function of a request ends in the middle of a wait, while other requests are under way.
#[test]
fn a_late_reply_does_not_reach_the_next_client() {
    let (first, second) = (Manual::new(), Manual::new());
    let program = "
        function mcp_config_pools()
            local function one(name, port) return mcp.pool({ mcp.backend(name, '127.0.0.1', port) }) end
            return { pool(1), one('first', FIRST), one('second', SECOND) }
        end
        function mcp_config_routes(pools)
            local seen = 0
            local fgen = mcp.funcgen_new()
            local a, first, second =
                fgen:new_handle(pools[1]), fgen:new_handle(pools[2]), fgen:new_handle(pools[3])
            fgen:ready({ f = function(rctx)
                rctx:handle_set_cb(first, function() seen = seen + 1 end)
                return function(r)
                    if r:key() == 'two' then return rctx:enqueue_and_wait(r, second) end
                    rctx:enqueue(r, { a, first, second })
                    rctx:wait_cond(1, mcp.WAIT_ANY)
                    local text = ('x'):gsub('.', function() rctx:wait_cond(1, mcp.WAIT_ANY) end)
                end
            end })
            mcp.attach(mcp.CMD_MG, fgen)
            mcp.attach(mcp.CMD_TOUCH, function() return 'HD ' .. seen .. '\\r\\n' end)
        end";
    let ports = [("FIRST", first.port), ("SECOND", second.port)];
    let program = ports.iter().fold(program.to_owned(), |p, (name, port)| p.replace(name, &port.to_string()));
    let bench = Bench::new(1, &program);
    let mut client = bench.client();
    client.asks("mg one Oone\r\n", "SERVER_ERROR lua failure\r\n");
    let (mut to_first, mut to_second) = (first.ask().1, second.ask().1);
    to_first.write_all(b"HD Oone\r\n").unwrap();
    let mut seen = String::new();
    while seen != "HD 1\r\n" {
        client.send("touch k 0\r\n");
        seen = client.line();
    }
    client.send("mg two Otwo\r\n");
    assert_eq!(second.ask().0, "mg two Otwo");
    to_second.write_all(b"HD Oone\r\nHD Otwo\r\n").unwrap();
    assert_eq!(client.line(), "HD Otwo\r\n");
}

#[test]
fn a_function_waits_in_its_own_coroutine_and_context() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            local saved
            local function text(...) return select(2, pcall(...)) .. '\\r\\n' end
            attach_all(p, function(rctx, r, h)
                if r:key() == 'save' then saved = rctx return 'HD\\r\\n' end
                if r:key() == 'wraps' then
                    return text(coroutine.wrap(function() rctx:sleep(0) end))
                        .. text(coroutine.wrap(function() mcp.internal(r) end))
                end
                if r:key() == 'sorts' then
                    local failed = text(table.sort, { 1, 2 }, function() rctx:sleep(0) end)
                    return failed .. rctx:enqueue_and_wait(r, h):raw_string()
                end
                local called
                rctx:handle_set_cb(h, function() called = text(rctx.wait_handle, rctx, h) end)
                rctx:enqueue_and_wait(r, h)
                return called
            end)
            local other = mcp.funcgen_new()
            other:ready({ f = function() return function(r)
                return text(saved.cfd, saved) .. text(saved.sleep, saved, 0)
            end end })
            mcp.attach(mcp.CMD_TOUCH, other)
        end",
    );
    let mut client = bench.client();
    let refused = "a function waits only in its own coroutine\r\n";
    client.asks("mg wraps\r\n", &refused.repeat(2));
    // The next wait is not ended by the one that failed.
    client.asks("mg sorts\r\n", "attempt to yield across a C-call boundary\r\nEN\r\n");
    client.asks("mg calls\r\nmg save\r\n", &format!("{refused}HD\r\n"));
    client.asks("touch k 0\r\n", &"a request context works only in its own functions\r\n".repeat(2));
}

/// The coroutine has ended, or begun, without the machine.
#[test]
fn a_program_that_resumes_coroutines_of_contexts_fails_alone() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            local saved
            attach_all(p, function(rctx, r, h)
                local key = r:key()
                if key == 'resumes' then return 'HD ' .. tostring(coroutine.resume(saved, r)) .. '\\r\\n' end
                if key == 'sleeps' then rctx:sleep(0.05) return 'HD\\r\\n' end
                saved = coroutine.running()
                if key == 'waits' then rctx:sleep(0.05) return 'HD\\r\\n' end
                return rctx:enqueue_and_wait(r, h)
            end)
        end",
    );
    let mut client = bench.client();
    for _ in 0..3 {
        client.asks("mg waits\r\nmg resumes\r\nmg k v\r\n", "SERVER_ERROR lua failure\r\nHD true\r\nEN\r\n");
        // The context that is free and not the one that runs.
        client.asks("mg sleeps\r\nmg k v\r\n", "HD\r\nEN\r\n");
        client.send("mg resumes\r\n");
        assert!(client.line().starts_with("HD "));
        client.asks(&"mg k v\r\n".repeat(3), &"EN\r\n".repeat(3));
    }
}

#[test]
fn a_function_may_raise_any_value() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            local raises = {
                text = function() error('a text', 0) end,
                null = function() error() end,
                speaks = function() error(setmetatable({}, { __tostring = function() return 'an object' end })) end,
                fails = function() error(setmetatable({}, { __tostring = function() error('no text', 0) end })) end,
                api = function(rctx, r) r:ltrimkey(100) end,
                wait = function(rctx, r, h) rctx:enqueue_and_wait(r, 99) end,
                self = function(rctx, r, h) rctx.enqueue_and_wait() end,
                call = function(rctx, r, h) mcp.internal() end,
            }
            attach_all(p, function(rctx, r, h)
                rctx:enqueue_and_wait(r, h)
                raises[r:key()](rctx, r, h)
            end)
        end",
    );
    let mut watcher = bench.client();
    watcher.asks("watch proxyevents\r\n", "OK\r\n");
    let mut client = bench.client();
    for (key, text) in [
        ("text", "a text"),
        ("null", "nil"),
        ("speaks", "an object"),
        ("fails", "no text"),
        ("api", "ltrimkey cannot zero out key"),
        ("wait", "attempted to enqueue an invalid handle"),
        ("self", "a request context works only in its own functions"),
        ("call", "bad argument #1 to 'internal' (mcp.request expected)"),
    ] {
        client.asks(&format!("mg {key}\r\n"), "SERVER_ERROR lua failure\r\n");
        let line = watcher.line();
        assert!(line.trim_end().ends_with(&format!(" type=proxy_error msg={text}")), "{line}");
    }
}

/// A client gets no part of the traceback, and the log gets all.
#[test]
fn the_log_has_the_traceback_of_a_function() {
    let (log, lines) = channel();
    let log = move |_, line: &str| drop(log.send(line.to_owned()));
    let hooks = Hooks { log: Some(Arc::new(log)), ..Hooks::default() };
    let config = ServerConfig { hooks, verbosity: 1, ..ServerConfig::default() };
    let program = "
        function mcp_config_pools() end
        local function inner() error('on purpose') end
        function mcp_config_routes() mcp.attach(mcp.CMD_MG, function(r) inner() return 'HD' end) end";
    let bench = Bench::with(0, program, config).unwrap();
    bench.client().asks("mg k\r\n", "SERVER_ERROR lua failure\r\n");
    let line = lines.recv().unwrap();
    let parts = ["proxy_lua_error: ", "on purpose\nstack traceback:\n", "in upvalue 'inner'"];
    assert!(parts.iter().all(|part| line.contains(part)), "{line}");
}

#[test]
fn a_function_fails_without_harm_to_the_next() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        local function endless() while true do pcall(function() while true do end end) end end
        local function object(event, f) return setmetatable({}, { [event] = f }) end
        function mcp_config_routes(p)
            local ways = {
                deep = function() local function f() return 1 + f() end return f() end,
                wraps = function() local function f() return coroutine.wrap(f)() end return f() end,
                matches = function() local function f(s) return (s:gsub('.', f)) end return f('a') end,
                endless = function() error(object('__tostring', endless)) end,
                closes = function()
                    local own = coroutine.running()
                    error(object('__tostring', function() return tostring(coroutine.close(own)) end))
                end,
                many = function()
                    local list = {}
                    for i = 1, 900000 do list[i] = i end
                    return table.unpack(list)
                end,
                raises = function()
                    local variable <close> = object('__close', function() error('again') end)
                    error('on purpose')
                end,
                waits = function(rctx, r, h)
                    local variable <close> = object('__close', function() rctx:enqueue_and_wait(r, h) end)
                    error('on purpose')
                end,
            }
            attach_all(p, function(rctx, r, h) return (ways[r:key()] or rctx.enqueue_and_wait)(rctx, r, h) end)
        end",
    );
    let mut client = bench.client();
    for key in ["deep", "wraps", "matches", "endless", "closes", "raises", "waits"] {
        client.asks(&format!("mg {key}\r\nmg k\r\n"), "SERVER_ERROR lua failure\r\nEN\r\n");
    }
    client.asks("mg many\r\nmg k\r\n", "SERVER_ERROR bad response\r\nEN\r\n");
}

#[test]
fn a_function_waits_where_lua_can_yield() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            local ways = {
                meta = function(ask)
                    local object = setmetatable({}, { __add = function() return ask() end })
                    return object + 1
                end,
                iterator = function(ask)
                    for res in function(_, last) return not last and ask() or nil end do return res end
                end,
                protected = function(ask) return select(2, pcall(ask)) end,
                variable = function(ask)
                    local res
                    do local one <close> = setmetatable({}, { __close = function() res = ask() end }) end
                    return res
                end,
            }
            attach_all(p, function(rctx, r, h)
                return ways[r:key()](function() return rctx:enqueue_and_wait(r, h) end)
            end)
        end",
    );
    let mut client = bench.client();
    for key in ["meta", "iterator", "protected", "variable"] {
        bench.backends[0].cache().set(key, "v", Ttl::Never).unwrap();
        client.asks(&format!("mg {key} v\r\n"), "VA 1\r\nv\r\n");
    }
}

/// A function that writes lines without end would keep all workers waiting for their lock.
#[test]
fn one_run_of_a_function_writes_lines_up_to_a_limit() {
    let bench = Bench::new(
        0,
        "
        function mcp_config_pools() end
        function mcp_config_routes()
            mcp.attach(mcp.CMD_MG, function(r)
                for i = 1, tonumber(r:key()) do mcp.log('line ' .. i) end
                return 'HD\\r\\n'
            end)
        end",
    );
    let mut watcher = bench.client();
    watcher.asks("watch proxyuser\r\n", "OK\r\n");
    bench.client().asks("mg 1001\r\nmg 1\r\n", "HD\r\nHD\r\n");
    for number in (1..=1000).chain([1]) {
        let line = watcher.line();
        assert!(line.ends_with(&format!("msg=line {number}\n")), "{line}");
    }
}

#[test]
fn a_program_cannot_end_the_process() {
    let bench = Bench::new(
        0,
        "
        assert(os.exit == nil)
        function mcp_config_pools() end
        function mcp_config_routes()
            local fails = true
            local function f() return not fails and function() return 'HD\\r\\n' end end
            local g, h = mcp.funcgen_new(), mcp.funcgen_new()
            local refused = 'cannot use a function in new_handle before it is ready'
            assert(select(2, pcall(g.new_handle, g, g)) == refused)
            -- A function that was not made in the end is not ready.
            assert(not pcall(g.ready, g, { f = f }))
            assert(select(2, pcall(h.new_handle, h, g)) == refused)
            fails = false
            g:ready({ f = f })
            mcp.attach(mcp.CMD_MG, g)
        end",
    );
    bench.client().asks("mg k\r\n", "HD\r\n");
}

/// Each level of functions takes room on the stack of the worker.
#[test]
fn functions_lead_to_each_other_up_to_a_limit() {
    let program = "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(to)
            for _ = 1, LEVELS do
                local fgen = mcp.funcgen_new()
                local h = fgen:new_handle(to)
                fgen:ready({ f = function(rctx) return function(r) return rctx:enqueue_and_wait(r, h) end end })
                to = fgen
            end
            mcp.attach(mcp.CMD_MG, to)
        end";
    let bench = Bench::new(1, &program.replace("LEVELS", "100"));
    bench.client().asks("mg k v\r\n", "EN\r\n");
    let fault = bench.reload(&program.replace("LEVELS", "101")).unwrap_err();
    assert!(fault.ends_with("functions lead to each other over at most 100 levels"), "{fault}");
    bench.client().asks("mg k v\r\n", "EN\r\n");
}

/// They were closed when the next request of the context began, which was in the object then.
#[test]
fn variables_of_a_function_are_closed_before_its_answer() {
    let bench = Bench::new(
        1,
        "
        function mcp_config_pools() return pool(1) end
        function mcp_config_routes(p)
            local closed = 'nothing'
            local ends = {
                fails = function() error('on purpose', 0) end,
                yields = function() coroutine.yield(1) end,
                internal = function() mcp.internal(mcp.request('me k\\r\\n')) end,
                returns = function() return 'HD\\r\\n' end,
            }
            attach_all(p, function(rctx, r, h)
                local variable <close> = setmetatable({}, { __close = function(_, e)
                    closed = r:key() .. ' ' .. tostring(e) .. ' ' .. tostring(pcall(rctx.cfd, rctx))
                    if r:key() == 'fails' then while true do pcall(function() while true do end end) end end
                end })
                return ends[r:key()]()
            end)
            mcp.attach(mcp.CMD_MD, function(r)
                local text = closed
                closed = 'nothing'
                return 'HD ' .. text .. '\\r\\n'
            end)
        end",
    );
    let mut client = bench.client();
    for _ in 0..2 {
        for (key, answer, error) in [
            ("fails", "SERVER_ERROR lua failure", "on purpose"),
            ("yields", "SERVER_ERROR lua failure", "nil"),
            ("internal", "SERVER_ERROR bad request", "nil"),
            ("returns", "HD", "nil"),
        ] {
            client.asks(&format!("mg {key}\r\n"), &format!("{answer}\r\n"));
            client.asks("md k\r\n", &format!("HD {key} {error} true\r\n"));
        }
        client.asks("md k\r\n", "HD nothing\r\n");
    }
}

/// Lua cannot yield in most of these places.
#[test]
fn functions_that_never_end_are_stopped_anywhere() {
    let endless = "local function endless() while true do pcall(function() while true do end end) end end";
    let bench = Bench::new(
        1,
        &format!(
            "
            {endless}
            function mcp_config_pools() return pool(1) end
            function mcp_config_routes(p)
                attach_all(p, function(rctx, r, h)
                    if r:key() == 'calls' then
                        rctx:handle_set_cb(h, endless)
                        return rctx:enqueue_and_wait(r, h)
                    end
                    table.sort({{ 2, 1 }}, function() pcall(coroutine.wrap(endless)) endless() end)
                end)
                local made = 0
                local fgen = mcp.funcgen_new()
                fgen:ready({{ f = function(rctx)
                    made = made + 1
                    if made > 1 then endless() end
                    return function() rctx:sleep(0.1) return 'HD\\r\\n' end
                end }})
                mcp.attach(mcp.CMD_TOUCH, fgen)
            end"
        ),
    );
    let mut client = bench.client();
    client.asks("mg calls v\r\n", "EN\r\n");
    client.asks("mg sorts v\r\n", "SERVER_ERROR lua failure\r\n");
    // The second one needs another context.
    client.asks("touch a 0\r\ntouch b 0\r\n", "HD\r\nSERVER_ERROR lua start failure\r\n");
    client.asks("mg calls v\r\n", "EN\r\n");
    for (program, line) in [
        ("function mcp_config_pools() endless() end", "ERROR: Failed to execute mcp_config_pools: "),
        (
            "function mcp_config_pools() end function mcp_config_routes() endless() end",
            "Failed to execute mcp_config_routes: ",
        ),
    ] {
        let fault = bench.reload(&format!("{endless} {program}")).unwrap_err();
        assert!(fault.starts_with(line) && fault.ends_with("a function runs without end"), "{fault}");
    }
}

/// The worker carried out their steps without an end, and read no more requests.
#[test]
fn functions_that_ask_again_and_again_do_not_hold_up_others() {
    let backend = Manual::new();
    let program = "
        function mcp_config_pools() return mcp.pool({ mcp.backend('b', '127.0.0.1', PORT) }) end
        function mcp_config_routes(p)
            local seen = {}
            attach_all(p, function(rctx, r, h)
                seen[r:key()] = true
                if r:key() == 'internal' then while true do mcp.internal(r) end end
                rctx:enqueue(r, h)
                if r:key() == 'handle' then while true do rctx:wait_handle(h) end end
                repeat rctx:wait_cond(0, mcp.WAIT_ANY) until rctx:res_any(h)
                return rctx:res_any(h)
            end)
            mcp.attach(mcp.CMD_TOUCH, function(r) return seen[r:key()] and 'HD\\r\\n' or 'EN\\r\\n' end)
        end";
    let bench = Bench::new(1, &program.replace("PORT", &backend.port.to_string()));
    // One of each worker.
    let mut others = [bench.client(), bench.client()];
    for key in ["polls", "handle", "internal"] {
        let mut client = bench.client();
        client.send(&format!("mg {key}\r\n"));
        let mut socket = (key != "internal").then(|| backend.ask().1);
        if key == "handle" {
            socket.as_mut().unwrap().write_all(b"EN\r\n").unwrap();
        }
        let mut sees = |other: &mut bench::Client| {
            other.send(&format!("touch {key} 0\r\n"));
            other.line() == "HD\r\n"
        };
        while !others.iter_mut().any(&mut sees) {}
        if key == "polls" {
            socket.unwrap().write_all(b"EN\r\n").unwrap();
            assert_eq!(client.line(), "EN\r\n");
        }
    }
}

/// Neither of the functions waits, and the memory of a request is not that of Lua.
#[test]
fn garbage_is_collected() {
    let bench = Bench::new(
        0,
        "
        function mcp_config_pools() end
        function mcp_config_routes()
            mcp.attach(mcp.CMD_TOUCH, function(r)
                local text = ('x'):rep(10000) .. r:key()
                return 'HD\\r\\n'
            end)
            local value = ('x'):rep(10000) .. '\\r\\n'
            mcp.attach(mcp.CMD_MG, function(r)
                mcp.request('ms k 10000\\r\\n', value)
                return 'HD\\r\\n'
            end)
        end",
    );
    let mut client = bench.client();
    let mut before = 0;
    for request in ["touch k 0\r\n", "mg k\r\n"] {
        client.asks(&request.repeat(1000), &"HD\r\n".repeat(1000));
        let stats = bench.server.stats("proxy").unwrap();
        let runs = stats.iter().find(|(name, _)| name == "vm_gc_runs").unwrap().1.parse::<u64>().unwrap();
        assert!(runs > before, "{runs} collections");
        before = runs;
    }
}

#[test]
fn a_wait_ends_when_no_result_can_count() {
    let last = Manual::new();
    let program = "
        function mcp_config_pools()
            mcp.backend_read_timeout(60)
            return { pool(1), mcp.pool({ mcp.backend('last', '127.0.0.1', PORT) }) }
        end
        function mcp_config_routes(pools)
            local child = mcp.funcgen_new()
            local a, last = child:new_handle(pools[1]), child:new_handle(pools[2])
            child:ready({ f = function(rctx) return function(r)
                rctx:enqueue(r, { a, last })
                return rctx:wait_handle(a)
            end end })
            local fgen = mcp.funcgen_new()
            local h = fgen:new_handle(child)
            fgen:ready({ f = function(rctx) return function(r)
                rctx:enqueue(r, h)
                return 'HD ' .. rctx:wait_cond(1, mcp.WAIT_GOOD) .. '\\r\\n'
            end end })
            mcp.attach(mcp.CMD_MG, fgen)
        end";
    let bench = Bench::new(1, &program.replace("PORT", &last.port.to_string()));
    let mut client = bench.client();
    client.send("mg k\r\n");
    let (_, mut to_last) = last.ask();
    assert_eq!(client.line(), "HD 0\r\n");
    to_last.write_all(b"EN\r\n").unwrap();
}

#[test]
fn a_get_of_several_keys_keeps_an_error_that_ends_like_its_end() {
    let bench = Bench::new(
        0,
        "
        function mcp_config_pools() end
        function mcp_config_routes()
            mcp.attach(mcp.CMD_GET, function(r)
                return r:key() == 'a' and 'END\\r\\n' or 'SERVER_ERROR no BACKEND\\r\\n'
            end)
        end",
    );
    bench.client().asks("get a b\r\n", "SERVER_ERROR no BACKEND\r\nEND\r\n");
}

#[test]
fn functions_that_a_program_has_lost_are_gone() {
    let bench = Bench::new(
        0,
        "
        function mcp_config_pools() end
        local function new(name, child)
            local fgen = mcp.funcgen_new()
            if child then fgen:new_handle(child) end
            fgen:ready({ n = name, f = function()
                return function(r)
                    collectgarbage()
                    return 'HD ' .. name .. '\\r\\n'
                end
            end })
            return fgen
        end
        function mcp_config_routes()
            new('lost', new('child'))
            mcp.attach(mcp.CMD_MG, new('used', new('inner')))
        end",
    );
    let functions = || {
        let stats = bench.server.stats("proxyfuncs").unwrap();
        stats.into_iter().map(|(name, _)| name).filter(|name| name.starts_with("funcs_")).collect::<Vec<_>>()
    };
    let mut client = bench.client();
    // A function may hold its objects until the second collection.
    for _ in 0..4 {
        // Both workers have a client in turn.
        bench.client().asks("mg k\r\n", "HD used\r\n");
        client.asks("mg k\r\n", "HD used\r\n");
    }
    assert_eq!(functions(), ["funcs_inner", "funcs_used"]);
}

/// They stayed in the statistics for good.
#[test]
fn functions_of_a_failed_load_are_not_counted() {
    let bench = Bench::new(1, DIRECT);
    let counts = || bench.server.stats("proxyfuncs").unwrap();
    let before = counts();
    assert!(before.contains(&("funcs_all".into(), "2".into())), "{before:?}");
    let fails = DIRECT.replace("end)\nend", "end)\nerror('no')\nend");
    assert!(bench.reload(&fails).is_err());
    assert_eq!(counts(), before);
}

#[test]
fn a_program_sees_the_name_of_a_client() {
    let identity = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec!["localhost".into()]).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        (parameters.self_signed(&key).unwrap(), key)
    };
    let ((own, own_key), (client, client_key)) = (identity("server"), identity("Ann B."));
    let files = [own.pem(), own_key.serialize_pem(), client.pem()].map(|text| Program::new(&text));
    let [chain_cert, key, ca_cert] = files.each_ref().map(|file| Some(file.0.clone()));
    let tls =
        TlsConfig { chain_cert, key, ca_cert, verify_mode: VerifyMode::Request, ..TlsConfig::default() };
    let bench = Bench::with(
        0,
        "
        function mcp_config_pools() end
        function mcp_config_routes()
            local function name(rctx) return function() return 'HD ' .. tostring(rctx:tls_peer_cn()) .. '\\r\\n' end end
            local inner, outer = mcp.funcgen_new(), mcp.funcgen_new()
            inner:ready({ f = name })
            local h = outer:new_handle(inner)
            outer:ready({ f = function(rctx) return function(r) return rctx:enqueue_and_wait(r, h) end end })
            mcp.attach(mcp.CMD_MG, outer)
            local direct = mcp.funcgen_new()
            direct:ready({ f = name })
            mcp.attach(mcp.CMD_MD, direct)
        end",
        ServerConfig { tls: Some(tls), ..ServerConfig::default() },
    )
    .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.der().clone()).unwrap();
    let rules = || ClientConfig::builder().with_root_certificates(roots.clone());
    let key = PrivateKeyDer::try_from(client_key.serialize_der()).unwrap();
    let named = rules().with_client_auth_cert(vec![client.der().clone()], key).unwrap();
    for (rules, reply) in [(named, "HD Ann B.\r\n"), (rules().with_no_client_auth(), "HD nil\r\n")] {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(rules), name).unwrap();
        let mut client = StreamOwned::new(connection, bench.client().0);
        client.write_all(b"mg k\r\nmd k\r\n").unwrap();
        let mut got = vec![0; 2 * reply.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), reply.repeat(2));
    }
}
