"""What TRex sends to Evenkeel's services: the services of a configuration, and streams of their clients' packets.

Clients come from the ranges for benchmarks: 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180). Ethernet addresses are
those of TRex's own configuration (dest_mac), whatever the packets here say. Offsets are numbers and not names ("IP.src"),
since names need the Scapy that TRex brings, and the client on PyPI must be able to build the same streams.
"""

import argparse
import ipaddress
import os
import tomllib

from trex_stl_lib.api import (
    IP,
    TCP,
    UDP,
    CTRexVmInsFixHwCs,
    Ether,
    IPv6,
    STLPktBuilder,
    STLScVmRaw,
    STLStream,
    STLTXCont,
    STLTXSingleBurst,
    STLVmFixChecksumHw,
    STLVmFlowVar,
    STLVmTupleGen,
    STLVmWrFlowVar,
)

ETHERNET = 14
FRAME_CHECK = 4
FROM_TREX_CONFIGURATION = 0  # STLStreamDstMAC_CFG_FILE
CLIENTS = {4: ipaddress.ip_network("198.18.0.0/15"), 6: ipaddress.ip_network("2001:2::/48")}
FIRST_PORT, LAST_PORT = 1025, 65535
CONFIGURATION = os.environ.get(
    "EVENKEEL_CONFIG", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../config/example.toml")
)


class Service:
    """A service as the configuration has it: what its clients send to."""

    def __init__(self, table):
        host, _, port = table["vip"].rpartition(":")
        self.name = table["name"]
        self.address = ipaddress.ip_address(host.strip("[]"))
        self.port = int(port)
        self.protocol = table["protocol"]
        self.mode = table["mode"]

    @property
    def family(self):
        return self.address.version


def services(path=CONFIGURATION):
    """Every service of a configuration file whose packets are forwarded: connections to the others end in the balancer."""
    with open(path, "rb") as file:
        return [Service(table) for table in tomllib.load(file).get("service", []) if table["mode"] != "l7"]


def choose(name, **wanted):
    """The service of that name, or else the first with the wanted attributes (mode, protocol)."""
    for service in services():
        if service.name == name if name else all(getattr(service, key) == value for key, value in wanted.items()):
            return service
    raise SystemExit(f"{CONFIGURATION} has no service {name or wanted} (EVENKEEL_CONFIG names another file)")


def arguments(tunables, given):
    """The tunables of every profile: from a list of words (TRex 2.90 and later) or from keywords (earlier)."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--service", default="", help="a service's name; otherwise the first that fits the profile")
    parser.add_argument("--flows", type=int, default=60_000, help="how many flows there are")
    parser.add_argument("--clients", type=int, default=250, help="how many client addresses they come from")
    parser.add_argument("--size", type=int, default=64, help="size of a frame with its check sequence")
    values = parser.parse_args(list(tunables))
    for key in vars(values):
        if key in given:
            setattr(values, key, type(parser.get_default(key))(given[key]))
    if not 0 < values.clients <= values.flows <= values.clients * (LAST_PORT - FIRST_PORT + 1):
        raise SystemExit("flows must be at least as many as clients, and at most 64,511 for each")
    return values


def frame(service, flags, size):
    """One packet of the first client: with payload up to the size, and with right checksums."""
    first = str(CLIENTS[service.family][1])
    ethernet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if service.family == 4:
        network = IP(src=first, dst=str(service.address))
    else:
        network = IPv6(src=first, dst=str(service.address))
    if service.protocol == "udp":
        transport = UDP(sport=FIRST_PORT, dport=service.port)
    else:
        sequence, acknowledged = (1, 0) if flags == "S" else (2, 1)
        transport = TCP(sport=FIRST_PORT, dport=service.port, flags=flags, seq=sequence, ack=acknowledged)
    packet = ethernet / network / transport
    return packet / (b"\x55" * max(0, size - FRAME_CHECK - len(packet)))


def stream(service, packet, variables, address, port, **how):
    """A stream of one packet whose client's address and port are variables of TRex's field engine."""
    network = 20 if service.family == 4 else 40
    # The last four octets of the source address, in either family.
    source = ETHERNET + (12 if service.family == 4 else 8 + 12)
    kind = CTRexVmInsFixHwCs.L4_TYPE_UDP if service.protocol == "udp" else CTRexVmInsFixHwCs.L4_TYPE_TCP
    checksums = STLVmFixChecksumHw(l3_offset=ETHERNET, l4_offset=ETHERNET + network, l4_type=kind)
    checksums.l2_len = ETHERNET  # the client sets it for names only
    engine = STLScVmRaw(
        variables
        + [
            STLVmWrFlowVar(fv_name=address, pkt_offset=source),
            STLVmWrFlowVar(fv_name=port, pkt_offset=ETHERNET + network),
            checksums,
        ]
    )
    return STLStream(
        packet=STLPktBuilder(pkt=packet, vm=engine),
        mac_src_override_by_pkt=False,
        mac_dst_override_mode=FROM_TREX_CONFIGURATION,
        **how,
    )


def client_range(service, count):
    """The first and last client address, as the numbers that the field engine writes."""
    first = int(CLIENTS[service.family][1]) & 0xFFFFFFFF
    return first, first + count - 1


def flow_streams(service, values):
    """Flows that stay: for TCP a SYN for each first, then packets of all in turn for ever."""
    first, last = client_range(service, values.clients)

    def flows():
        return [
            STLVmTupleGen(
                name="client",
                ip_min=first,
                ip_max=last,
                port_min=FIRST_PORT,
                port_max=LAST_PORT,
                limit_flows=values.flows,
            )
        ]

    def of(flags, **how):
        return stream(service, frame(service, flags, values.size), flows(), "client.ip", "client.port", **how)

    if service.protocol == "udp":
        return [of("", name="data", mode=STLTXCont(pps=1000))]
    return [
        of("S", name="open", mode=STLTXSingleBurst(pps=50_000, total_pkts=values.flows), next="data"),
        of("A", name="data", self_start=False, mode=STLTXCont(pps=1000)),
    ]


def flood_streams(service, values):
    """SYNs from clients and ports drawn at random, for ever."""
    first, last = client_range(service, values.clients)
    variables = [
        STLVmFlowVar(name="address", size=4, op="random", min_value=first, max_value=last),
        STLVmFlowVar(name="port", size=2, op="random", min_value=FIRST_PORT, max_value=LAST_PORT),
    ]
    packet = frame(service, "S", values.size)
    return [stream(service, packet, variables, "address", "port", name="flood", mode=STLTXCont(pps=1000))]


class Profile:
    """What a profile's register() returns: TRex asks it for the streams of each port."""

    def __init__(self, make, **wanted):
        self.make = make
        self.wanted = wanted

    def get_streams(self, direction=0, tunables=(), **given):
        """Clients send from the even ports; the odd ones stand for the backends and only receive."""
        if direction:
            return []
        values = arguments(tunables, given)
        return self.make(choose(values.service, **self.wanted), values)
