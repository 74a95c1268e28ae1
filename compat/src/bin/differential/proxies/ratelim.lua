-- No token comes back during a run.
local function limited(limit)
    return route_ratelim{ limit = limit, fillrate = 1, tickrate = 1000000000, child = "all" }
end

routes{
    map = map,
    cmap = { get = limited(40), set = limited(500), incr = limited(2), mg = limited(100), ms = limited(90) },
    default = route_direct{ child = "all" },
}
