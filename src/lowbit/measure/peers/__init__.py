"""Other people's runtimes on the same network, inputs and threads: the company every figure needs."""

from lowbit.measure.peers.table import PEERS, Peer, build_peers, check_peers

__all__ = ["PEERS", "Peer", "build_peers", "check_peers"]
