-- memcached 1.6.45 cuts the flags of an ms.
local short = route_ttl{ ttl = 3600, child = "all" }

routes{
    map = map,
    cmap = { set = short, add = short, cas = short },
    default = route_direct{ child = "all" },
}
