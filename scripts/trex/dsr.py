"""Flows of a service in mode dsr-mac; TCP ones begin with a SYN each.

    start -f scripts/trex/dsr.py -p 0 -m 10mpps -t --service NAME --flows 60000 --clients 250 --size 64
"""

from evenkeel_load import Profile, flow_streams


def register():
    return Profile(flow_streams, mode="dsr-mac")
