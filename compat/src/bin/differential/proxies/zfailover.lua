-- One far zone each. Of several, memcached takes the reply that the order of a table gives.
local_zone("east")

local zones = { west = "b0", east = "b1" }

routes{
    map = map,
    cmap = {
        get = route_zfailover{ children = zones },
        gets = route_zfailover{ children = zones, miss = true },
        mg = route_zfailover{ children = zones, miss = false },
    },
    default = route_zfailover{ children = { east = "b1", north = "b2" }, local_zone = "north" },
}
