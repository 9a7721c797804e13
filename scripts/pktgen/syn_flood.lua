-- SYNs to a TCP service from 131,070 addresses and 64,511 ports: what a flood does to the flow table.
--   BALANCER_MAC=… pktgen -l 0-2 -n 4 -- -P -m "1.0,2.1" -f scripts/pktgen/syn_flood.lua

local folder = debug.getinfo(1, "S").source:match("^@?(.*/)") or "./"
dofile(folder .. "lib/load.lua").run({
    vip = "192.0.2.10",
    port = 443,
    protocol = "tcp",
    last_address = "198.19.255.254",
    last_port = 65535,
})
