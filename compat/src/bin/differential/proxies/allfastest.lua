routes{
    map = map,
    cmap = { gets = route_allfastest{ children = { "b0", "b1", "b2" }, miss = true } },
    default = route_allfastest{ children = { "b0", "b1", "b2" } },
}
