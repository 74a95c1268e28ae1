-- Keys that begin with bN/ go to backend N, so that each can be asked.

settings{ backend_retry_waittime = 1 }

pools{
    all = { backends = { "127.0.0.1:$0", "127.0.0.1:$1", "127.0.0.1:$2" } },
    b0 = { backends = { "127.0.0.1:$0" } },
    b1 = { backends = { "127.0.0.1:$1" } },
    b2 = { backends = { "127.0.0.1:$2" } },
}

map = {
    b0 = route_direct{ child = "b0" },
    b1 = route_direct{ child = "b1" },
    b2 = route_direct{ child = "b2" },
}

