"""The only room that speaks SQL: the schema and its migrations, the catalogue, the journal.

`Store.open` opens one SQLite file for one server process. The journal's verbs stand in
protocol.py, which PostgreSQL will have to keep too (tests/conformance/test_journal.py).
"""
