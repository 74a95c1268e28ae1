-- Sends each key to the backend that has it, and keys that begin with bN/ to backend N.

local ports = { "$0", "$1", "$2" }

function mcp_config_pools()
    mcp.backend_retry_waittime(1)
    local pools, all = {}, {}
    for i, port in ipairs(ports) do
        local name = "b" .. (i - 1)
        all[i] = mcp.backend(name, "127.0.0.1", port)
        pools[name] = mcp.pool({ all[i] })
    end
    pools.all = mcp.pool(all)
    return pools
end

local function direct(pool)
    local generator = mcp.funcgen_new()
    local backend = generator:new_handle(pool)
    local function route(context)
        return function(request)
            return context:enqueue_and_wait(request, backend)
        end
    end
    generator:ready({ f = route })
    return generator
end

function mcp_config_routes(pools)
    local map = {}
    for name, pool in pairs(pools) do
        map[name] = direct(pool)
    end
    mcp.attach(mcp.CMD_ANY_STORAGE, mcp.router_new({ map = map, default = map.all }))
end
