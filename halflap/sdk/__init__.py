"""What authors write with: components, connections, integrations and what a flow sees.

Nothing here does I/O but the one egress client. `halflap` re-exports the author's vocabulary.
"""
