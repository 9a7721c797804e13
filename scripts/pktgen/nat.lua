-- TCP flows of a service in mode nat: a SYN each, then their packets in turn.
--   BALANCER_MAC=… pktgen -l 0-2 -n 4 -- -P -m "1.0,2.1" -f scripts/pktgen/nat.lua

local folder = debug.getinfo(1, "S").source:match("^@?(.*/)") or "./"
dofile(folder .. "lib/load.lua").run({ vip = "192.0.2.11", port = 25, protocol = "tcp", established = true })
