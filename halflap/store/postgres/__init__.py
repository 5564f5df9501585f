"""The store in PostgreSQL: many processes on many hosts, one database.

`PostgresDatabase` is the way in: its connections, transactions and time. `PostgresJournal` keeps the
verbs of store/protocol.py over it; schema.py opens with what its tables are.
"""
