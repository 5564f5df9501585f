"""The stores that a measurement can be of: a file of SQLite, or a PostgreSQL server of its own.

Each gives fresh stores to servers, counts what is in them from outside, and knows the raw rate of
shared commits that it reaches with nothing of ours above it.
"""

from bench.stores.store import Keeper, Kind, Sizes, Store, Stored, keeper

__all__ = ["Keeper", "Kind", "Sizes", "Store", "Stored", "keeper"]
