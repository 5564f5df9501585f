"""Whole systems, run from a seed: real workers, gateways and flows in a loop without time or chance.

`python -m tests.simulation --seed N` replays one. What happens is drawn from the seed alone: what
runs next, where a process is cut, which commit fails, what the app answers, how clocks jump. The
journal is watched as it commits (`truth.py`), and every promise of the engine is checked there.
"""
