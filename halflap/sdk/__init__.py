"""The author's API: components, connections, integrations and the context of a flow.

Nothing here does I/O but the one egress client. `halflap` re-exports the author's vocabulary.
"""
