routes{
    map = map,
    cmap = {
        get = route_failover{ children = { "b0", "b1", "b2" }, miss = true },
        mg = route_failover{ children = { "b2", "b1", "b0" }, miss = true, failover_count = 2 },
    },
    default = route_failover{ children = { "all", "b1" } },
}
