-- UDP flows of a service in mode dsr-mac.
--   BALANCER_MAC=… pktgen -l 0-2 -n 4 -- -P -m "1.0,2.1" -f scripts/pktgen/dsr_udp.lua

local folder = debug.getinfo(1, "S").source:match("^@?(.*/)") or "./"
dofile(folder .. "lib/load.lua").run({ vip = "192.0.2.53", port = 53, protocol = "udp" })
