"""Durable execution: what was accepted is run, recorded step by step, resumed, and ended visibly.

The door is the `Engine` protocol (protocol.py). `JournalEngine` keeps it over a store; the
`MemoryEngine` keeps it by passing messages and nothing else, and so keeps the seam honest. The
engine never sees HTTP; an `Executor` runs an author's flow for a `Turn` that an engine hands out.
"""
