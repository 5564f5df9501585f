"""The benchmark: three workloads through real HTTP on loopback, durable, every step recorded.

`make bench` measures each against a server process on a fresh store and prints one line of JSON a
workload; `python -m bench --help` has the rest. What the keys mean stands in bench/report.py.
"""
