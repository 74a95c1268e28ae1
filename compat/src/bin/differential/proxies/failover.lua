routes{ map = map, default = route_failover{ children = { "b0", "b1", "b2" } } }
