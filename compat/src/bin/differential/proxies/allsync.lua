routes{
    map = map,
    cmap = { get = route_direct{ child = "b0" }, mg = route_direct{ child = "b2" } },
    default = route_allsync{ children = { "b0", "b1", "b2" } },
}
