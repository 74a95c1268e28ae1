routes{
    map = map,
    cmap = { get = route_split{ child_a = "b1", child_b = "all" } },
    default = route_split{ child_a = "b0", child_b = route_split{ child_a = "b1", child_b = "b2" } },
}
