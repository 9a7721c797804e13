-- What Pktgen sends to Evenkeel's services: one function that every profile here calls.
--
-- For Pktgen-DPDK 23.03 and later, which has TCP flags as commands but not as Lua functions. Port 0 is the clients' side
-- and sends; port 1 is the backends' and only counts. From the environment:
--   BALANCER_MAC    Ethernet address of the balancer's port on the clients' side (evenkeel port list); required
--   EVENKEEL_VIP, EVENKEEL_PORT   another service than the profile's (config/example.toml has those)
--   RATE, SECONDS, SIZE           percent of line rate (10), how long (10), octets of a frame (64)

local load = {}

local CLIENTS, BACKENDS = "0", "1"

-- Every step moves address and port by one, so there are as many flows as the smallest number that both divide: two
-- primes give their product, 59,989. Addresses are from the range for benchmarks (RFC 2544).
local ADDRESSES, PORTS = 251, 239
local FIRST_ADDRESS, LAST_ADDRESS = "198.18.0.1", "198.18.0." .. ADDRESSES
local FIRST_PORT = 1025

local function number(name, default)
    local text = os.getenv(name)
    return text and (tonumber(text) or error(name .. " is not a number: " .. text)) or default
end

local function range(field, first, last, step)
    field(CLIENTS, "start", first)
    field(CLIENTS, "min", first)
    field(CLIENTS, "max", last)
    field(CLIENTS, "inc", step)
end

-- Pktgen's commands, for what Lua has no function for.
local function commands(lines)
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(table.concat(lines, "\n"), "\n")
    file:close()
    pktgen.load(name)
    os.remove(name)
end

local function tcp_flag(flag)
    commands({ "range " .. CLIENTS .. " tcp flag clr all", "range " .. CLIENTS .. " tcp flag set " .. flag })
end

local function totals()
    local stats = pktgen.portStats("all", "port")
    return stats[tonumber(CLIENTS)].opackets, stats[tonumber(BACKENDS)].ipackets
end

local function send(count, rate, milliseconds)
    pktgen.set(CLIENTS, "count", count)
    pktgen.set(CLIENTS, "rate", rate)
    pktgen.start(CLIENTS)
    pktgen.delay(milliseconds)
    pktgen.stop(CLIENTS)
    pktgen.delay(1000)
end

-- service: { vip, port, protocol = "tcp" or "udp", established = true for flows that go on after their SYN, last_address
-- and last_port where the clients are more than usual }
function load.run(service)
    local balancer = assert(os.getenv("BALANCER_MAC"), "BALANCER_MAC must be the balancer's Ethernet address")
    local vip = os.getenv("EVENKEEL_VIP") or service.vip
    local port = number("EVENKEEL_PORT", service.port)
    local size = number("SIZE", 64)

    pktgen.stop("all")
    pktgen.clr()
    range(pktgen.range.dst_mac, balancer, balancer, "00:00:00:00:00:00")
    range(pktgen.range.src_ip, FIRST_ADDRESS, service.last_address or LAST_ADDRESS, "0.0.0.1")
    range(pktgen.range.dst_ip, vip, vip, "0.0.0.0")
    range(pktgen.range.src_port, FIRST_PORT, service.last_port or FIRST_PORT + PORTS - 1, 1)
    range(pktgen.range.dst_port, port, port, 0)
    range(pktgen.range.pkt_size, size, size, 0)
    pktgen.range.ip_proto(CLIENTS, service.protocol)
    pktgen.set_range(CLIENTS, "on")

    local milliseconds = number("SECONDS", 10) * 1000
    if service.protocol == "tcp" then
        tcp_flag("syn")
        if service.established then
            -- Each flow's first packet, slowly enough for none to be lost: a lost one leaves its flow unknown.
            send(ADDRESSES * PORTS, 1, 5000)
            tcp_flag("ack")
        end
    end
    send(0, number("RATE", 10), milliseconds)

    local sent, arrived = totals()
    print(string.format("sent %d, arrived at the backends %d, missing %d", sent, arrived, sent - arrived))
end

return load
