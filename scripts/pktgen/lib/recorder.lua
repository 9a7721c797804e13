-- Stands in Pktgen's place for scripts/trex/check: runs a profile and prints what it would have sent.
--   lua5.4 recorder.lua PROFILE
-- Only functions that Pktgen 23.03 has are here, so that a call to any other is an error.

local record, flags, started, time = {}, {}, {}, 0

local function ranged(name)
    return function(port, what, value)
        assert(port == "0", "a range for port " .. tostring(port))
        assert(({ start = 1, min = 1, max = 1, inc = 1 })[what], "no such end of a range: " .. tostring(what))
        record[name .. "." .. what] = value
    end
end

pktgen = {
    range = {
        ip_proto = function(_, protocol)
            record.ip_proto = protocol
        end,
    },
    set = function(_, what, value)
        assert(what == "count" or what == "rate", what)
        assert(math.type(value) == "integer", what .. " must be a whole number")
        record[what] = value
    end,
    set_range = function(_, state)
        record.range = state
    end,
    start = function(port)
        started[#started + 1] = port
    end,
    stop = function() end,
    clr = function() end,
    delay = function(milliseconds)
        time = time + milliseconds
    end,
    load = function(name)
        for line in io.lines(name) do
            local verb, flag = line:match("^range 0 tcp flag (%l+) (%l+)$")
            assert(verb == "clr" and flag == "all" or verb == "set" and (flag == "syn" or flag == "ack"), line)
            if verb == "set" then
                flags[#flags + 1] = flag
            end
        end
    end,
    portStats = function()
        return { [0] = { opackets = 0 }, { ipackets = 0 } }
    end,
}
for _, name in ipairs({ "dst_mac", "src_ip", "dst_ip", "src_port", "dst_port", "pkt_size" }) do
    pktgen.range[name] = ranged(name)
end

local out, real_print = io.stdout, print
print = function() end
dofile(arg[1])
print = real_print

for _, name in ipairs({ "dst_mac", "dst_ip", "dst_port" }) do
    assert(record[name .. ".min"] == record[name .. ".max"], name .. " must be one")
    record[name] = record[name .. ".start"]
end
record.flags, record.started = table.concat(flags, ","), started[#started]
for name, value in pairs(record) do
    out:write(name, "=", tostring(value), "\n")
end
