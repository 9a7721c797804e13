"""Checks every load profile against a configuration: see scripts/trex/check, which runs this."""

import base64
import glob
import json
import logging
import os
import struct
import subprocess
import sys
import tempfile
import tomllib

logging.getLogger("scapy").setLevel(logging.ERROR)
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import evenkeel_load as load  # noqa: E402
from scapy.layers.inet import IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402
from trex_stl_lib.trex_stl_streams import STLProfile  # noqa: E402

FAULTS = []
CHECKED = {"profiles": 0, "packets": 0}
PACKETS = []
BALANCER = bytes.fromhex("02000000000a")


def expect(condition, what):
    if not condition:
        FAULTS.append(what)


def ends_of(instructions):
    """The values that the variables of a field engine take at their beginnings and at their ends."""
    first, last = {}, {}
    for one in instructions:
        if one["type"] == "tuple_flow_var":
            name = one["name"]
            first[name + ".ip"], last[name + ".ip"] = one["ip_min"], one["ip_max"]
            first[name + ".port"], last[name + ".port"] = one["port_min"], one["port_max"]
        elif one["type"] == "flow_var":
            first[one["name"]], last[one["name"]] = int(one["min_value"]), int(one["max_value"])
    return first, last


def sizes_of(instructions):
    sizes = {}
    for one in instructions:
        if one["type"] == "tuple_flow_var":
            sizes[one["name"] + ".ip"], sizes[one["name"] + ".port"] = 4, 2
        elif one["type"] == "flow_var":
            sizes[one["name"]] = one["size"]
    return sizes


def internet_sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fix_checksums(packet, instruction):
    """What the card does for `fix_checksum_hw`: both checksums, from the offsets that the instruction gives."""
    network, length = instruction["l2_len"], instruction["l3_len"]
    transport = network + length
    if packet[network] >> 4 == 4:
        packet[network + 10 : network + 12] = b"\0\0"
        packet[network + 10 : network + 12] = struct.pack("!H", internet_sum(bytes(packet[network:transport])))
        end = network + struct.unpack("!H", packet[network + 2 : network + 4])[0]
        addresses, protocol = bytes(packet[network + 12 : network + 20]), packet[network + 9]
    else:
        end = transport + struct.unpack("!H", packet[network + 4 : network + 6])[0]
        addresses, protocol = bytes(packet[network + 8 : network + 40]), packet[network + 6]
    field = transport + {11: 6, 13: 16}[instruction["l4_type"]]
    packet[field : field + 2] = b"\0\0"
    pseudo = addresses + struct.pack("!HH", protocol, end - transport)
    packet[field : field + 2] = struct.pack("!H", internet_sum(pseudo + bytes(packet[transport:end])) or 0xFFFF)


def run_engine(stream, values):
    """The packet that TRex's field engine makes of a stream for these values of its variables."""
    packet = bytearray(base64.b64decode(stream["packet"]["binary"]))
    sizes = sizes_of(stream["vm"]["instructions"])
    for one in stream["vm"]["instructions"]:
        if one["type"] == "write_flow_var":
            size, at = sizes[one["name"]], one["pkt_offset"]
            value = (values[one["name"]] + int(one["add_value"])) % (1 << 8 * size)
            expect(one["is_big_endian"], "a variable is written in the wrong order of octets")
            packet[at : at + size] = value.to_bytes(size, "big")
        elif one["type"] == "fix_checksum_hw":
            fix_checksums(packet, one)
        else:
            expect(one["type"] in ("flow_var", "tuple_flow_var"), f"an instruction {one['type']} that is not known here")
    return bytes(packet)


def check_packet(where, service, data, address, port, flags, size):
    """Takes a packet apart with Scapy, which knows nothing of our offsets."""
    packet = Ether(data)
    network = packet.getlayer(IP if service.family == 4 else IPv6)
    transport = packet.getlayer(UDP if service.protocol == "udp" else TCP)
    if network is None or transport is None:
        FAULTS.append(f"{where}: no {service.protocol} over IPv{service.family}")
        return
    client = load.ipaddress.ip_address(network.src)
    expect(client in load.CLIENTS[service.family] and int(client) & 0xFFFFFFFF == address, f"{where}: source {client}")
    expect(load.ipaddress.ip_address(network.dst) == service.address, f"{where}: destination {network.dst}")
    expect((transport.sport, transport.dport) == (port, service.port), f"{where}: ports {transport.sport}, {transport.dport}")
    expect(service.protocol == "udp" or transport.flags == flags, f"{where}: flags {getattr(transport, 'flags', '')}")
    expect(len(data) == max(size - 4, len(data) - len(transport.payload)), f"{where}: {len(data)} octets")
    again = Ether(data)
    for layer in (again.getlayer(type(network)), again.getlayer(type(transport))):
        if "chksum" in layer.fields:
            del layer.chksum
    expect(bytes(again) == data, f"{where}: a checksum is wrong")
    CHECKED["packets"] += 1


def check_profile(path):
    name = os.path.basename(path)[:-3]
    wanted = STLProfile.load_py(path) and sys.modules[name].register().wanted
    fitting = [s for s in load.services() if all(getattr(s, key) == value for key, value in wanted.items())]
    expect(fitting, f"{name}: the configuration has no service that it fits")
    for service in fitting:
        for size in (64, 512, 1518):
            profile = STLProfile.load_py(path, service=service.name, flows=1000, clients=50, size=size)
            streams = [stream.to_json() for stream in profile.get_streams()]
            names = [stream.get_name() for stream in profile.get_streams()]
            expect(names in (["data"], ["open", "data"], ["flood"]), f"{name}: streams {names}")
            expect(("open" in names) == (service.protocol == "tcp" and name != "syn_flood"), f"{name}: streams {names}")
            for label, stream in zip(names, streams):
                where = f"{name}, service {service.name}, {size} octets, {label}"
                expect(stream["flags"] & 7 == 0, f"{where}: the Ethernet addresses are not those of TRex's configuration")
                for values in ends_of(stream["vm"]["instructions"]):
                    address = next(value for key, value in values.items() if key in ("client.ip", "address"))
                    port = next(value for key, value in values.items() if key in ("client.port", "port"))
                    flags = "A" if label == "data" else "S"
                    packet = run_engine(stream, values)
                    check_packet(where, service, packet, address, port, flags, size)
                    PACKETS.append(BALANCER + packet[6:])
    expect(not STLProfile.load_py(path, direction=1).get_streams(), f"{name}: the backends' port must not send")
    CHECKED["profiles"] += 1


def check_pktgen(path):
    """Runs a Lua profile against a recorder and compares what it would send with the configuration."""
    name = os.path.basename(path)
    result = subprocess.run(
        ["lua5.4", os.path.join(HERE, "../pktgen/lib/recorder.lua"), path],
        capture_output=True,
        text=True,
        env={**os.environ, "BALANCER_MAC": "02:00:00:00:00:99"},
        check=False,
    )
    if result.returncode:
        FAULTS.append(f"{name}: {result.stderr.strip()}")
        return
    sent = dict(line.split("=", 1) for line in result.stdout.splitlines())
    fitting = [s for s in load.services() if (str(s.address), str(s.port), s.protocol) == (sent["dst_ip"], sent["dst_port"], sent["ip_proto"])]
    expect(fitting, f"{name}: sends to {sent['dst_ip']}, {sent['ip_proto']} port {sent['dst_port']}, which is no service")
    for end in ("min", "max"):
        client = load.ipaddress.ip_address(sent[f"src_ip.{end}"])
        expect(client in load.CLIENTS[4], f"{name}: clients from {client}")
    expect(sent["dst_mac"] == "02:00:00:00:00:99", f"{name}: does not send to BALANCER_MAC")
    expect(sent["flags"].startswith("syn") == (sent["ip_proto"] == "tcp"), f"{name}: flags {sent['flags']}")
    expect(sent["range"] == "on" and sent["started"] == "0", f"{name}: does not send the range from port 0")
    CHECKED["profiles"] += 1


def replay_configuration():
    """The configuration's services, with the generator as the static neighbour for everything, as in the README."""
    with open(load.CONFIGURATION, "rb") as file:
        whole = tomllib.load(file)
    wan, lan = whole["port"][0], whole["port"][-1]
    lines = ["[balancer]", "workers = [0]", "[full_nat]"]
    lines.append(f"local_addresses = {json.dumps(whole['full_nat']['local_addresses'])}")
    for port in whole["port"]:
        lines += ["[[port]]", f'name = "{port["name"]}"', f'device = "net_null_{port["name"]}"', 'mac = "02:00:00:00:00:0a"']
        lines.append(f"addresses = {json.dumps(port['addresses'])}")
    neighbors = {}
    for route in whole["route"]:
        lines += ["[[route]]", f'to = "{route["to"]}"', f'via = "{route["via"]}"']
        neighbors[route["via"]] = (wan["name"], "02:00:00:00:00:a0")
    # The others end their connections in the balancer, and have no backends.
    forwarded = [service for service in whole["service"] if service["mode"] != "l7"]
    for service in forwarded:
        for backend in service["backend"]:
            address = backend["address"].rpartition(":")[0].strip("[]")
            neighbors[address] = (lan["name"], "02:00:00:00:00:a1")
    for address, (port, mac) in neighbors.items():
        lines += ["[[neighbor]]", f'address = "{address}"', f'mac = "{mac}"', f'port = "{port}"']
    for service in forwarded:
        lines.append("[[service]]")
        lines += [f'{key} = "{service[key]}"' for key in ("name", "vip", "protocol", "mode")]
        for backend in service["backend"]:
            lines += ["[[service.backend]]", f'address = "{backend["address"]}"']
    return "\n".join(lines) + "\n"


def replay(program):
    """Sends the packets of every profile through the balancer's own datapath: all must go on, to every service."""
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("load.toml", "in.pcap", "out.pcap")]
        with open(names[0], "w", encoding="ascii") as file:
            file.write(replay_configuration())
        with open(names[1], "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for index, packet in enumerate(PACKETS):
                file.write(struct.pack("<IIII", 1, index, len(packet), len(packet)) + packet)
        words = [program, "replay", names[1], "-o", names[2], "--config", names[0], "--json"]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode:
        FAULTS.append(f"{program} replay: {result.stderr.strip()}")
        return
    report = json.loads(result.stdout)
    sent = report["counters"]["sent"]
    expect(sent == len(PACKETS) and not report["drops"], f"replay: {sent} of {len(PACKETS)} sent, dropped {report['drops']}")
    for service in report["services"]:
        expect(service["counters"]["packets_in"], f"replay: nothing reached {service['service']}")
    print(f"{sent} packets of {len(PACKETS)} forwarded by {os.path.basename(program)} replay")


for profile in sorted(glob.glob(os.path.join(HERE, "*.py"))):
    if os.path.basename(profile) not in ("check.py", "evenkeel_load.py"):
        check_profile(profile)
for profile in sorted(glob.glob(os.path.join(HERE, "../pktgen/*.lua"))):
    check_pktgen(profile)
if os.environ.get("EVENKEEL_PROGRAM"):
    replay(os.environ["EVENKEEL_PROGRAM"])
for fault in sorted(set(FAULTS)):
    print(f"FAILED  {fault}")
print(f"{CHECKED['profiles']} profiles, {CHECKED['packets']} packets of TRex's: {len(set(FAULTS))} faults")
sys.exit(1 if FAULTS else 0)
