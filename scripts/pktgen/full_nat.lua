-- TCP flows of a service in mode full-nat: a SYN each, then their packets in turn.
--   BALANCER_MAC=… pktgen -l 0-2 -n 4 -- -P -m "1.0,2.1" -f scripts/pktgen/full_nat.lua

local folder = debug.getinfo(1, "S").source:match("^@?(.*/)") or "./"
dofile(folder .. "lib/load.lua").run({ vip = "192.0.2.10", port = 443, protocol = "tcp", established = true })
