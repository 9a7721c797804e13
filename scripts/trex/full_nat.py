"""TCP flows of a service in mode full-nat: a SYN each, then their packets in turn.

    start -f scripts/trex/full_nat.py -p 0 -m 10mpps -t --service NAME --flows 60000 --clients 250 --size 64
"""

from evenkeel_load import Profile, flow_streams


def register():
    return Profile(flow_streams, mode="full-nat", protocol="tcp")
