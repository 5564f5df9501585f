"""Peers, measured in the same run: Node-RED as it comes, n8n as it comes and n8n at its fastest.

`python -m bench --peers` (`make bench PEERS=1`) installs them from the lock beside this file into
`node_modules` here, which git ignores, and runs each of our workloads on each of them: the same
bodies from the same load generator, the same fields to the same destination. Each gets its own
natural, fastest flow for that: the fewest nodes, kept-alive connections, a flood before the
measured one for its compiler. What differs from ours to a peer's favour stands in `Peer.differs`.
"""
