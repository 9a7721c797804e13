"""UDP flows of the first UDP service, in whichever mode.

    start -f scripts/trex/udp.py -p 0 -m 10mpps -t --service NAME --flows 60000 --clients 250 --size 64
"""

from evenkeel_load import Profile, flow_streams


def register():
    return Profile(flow_streams, protocol="udp")
