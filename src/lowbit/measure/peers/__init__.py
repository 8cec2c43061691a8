"""Other people's runtimes on the same network, inputs and threads: the company every figure needs."""

from lowbit.measure.peers.table import PEERS, Peer, PeerModels, build_models, build_peers, check_peers, load_peers

__all__ = ["PEERS", "Peer", "PeerModels", "build_models", "build_peers", "check_peers", "load_peers"]
