"""SYNs from random clients to a TCP service: what a flood does to the flow table.

    start -f scripts/trex/syn_flood.py -p 0 -m 1mpps -t --service NAME --flows 60000 --clients 250 --size 64
"""

from evenkeel_load import Profile, flood_streams


def register():
    return Profile(flood_streams, protocol="tcp")
