"""Durable execution: what was accepted is run, recorded step by step, resumed, and ended visibly.

There is one engine, the `JournalEngine`; the seam is the store below it. It never sees HTTP, and
hands each execution, as a `Turn`, to an `Executor`, which runs the author's flow.
"""
