-- No wait ends, and no token comes back, during a run.
local function limited(options)
    options.fillrate, options.tickrate, options.child = 1, 1000000000, "all"
    return route_ratelim(options)
end

routes{
    map = map,
    cmap = {
        gets = limited{ limit = 60, global = true, fail_until_limit = true },
        incr = limited{ limit = 20, fail_until_limit = true },
        ms = route_allfastest{ children = { "all" }, wait = 600 },
    },
    default = route_failover{ children = { "all", "b0" }, wait = 600, stats = true, stats_name = "own" },
}
