map["some-longer-key"] = cmdmap{
    get = route_failover{ children = { "internal", "b1" }, miss = true },
    delete = route_allsync{ children = { "internal", "b1" } },
    -- memcached reads a replace of its own cache as a cas, and refuses it.
    replace = route_direct{ child = "b1" },
    [mcp.CMD_ANY_STORAGE] = route_direct{ child = "internal" },
}
map.some = cmdmap{ get = route_null{} }

routes{
    map = map,
    cmap = { gat = route_direct{ child = "b0" }, [mcp.CMD_MD] = route_direct{ child = "b1" } },
    default = route_direct{ child = "all" },
}
