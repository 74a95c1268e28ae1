-- memcached's proxy in front of three nodes, for its built-in library routelib:
--   memcached -p 22122 -o proxy_config=routelib,proxy_arg=proxy.lua
-- The ring is that of `ketama_weighted` in pylibmc and of libmemcached's clients.
settings{
    backend_connect_timeout = 1,
    backend_read_timeout = 1,
    backend_retry_waittime = 1,
    backend_failure_limit = 2,
}

pools{
    cache = {
        options = { dist = mcp.dist_ring_hash, hash = mcp.dist_ring_hash.hash, omode = "twemproxy" },
        backends = {
            "127.0.0.1:11211",
            "127.0.0.1:11212",
            "127.0.0.1:11213",
        },
    },
}

routes{
    default = route_direct{ child = "cache" },
}
