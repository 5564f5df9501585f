"""The rules of the journal, as pure functions: a store reads what they ask for, and applies the rest.

`order` says who has a turn, `admission` what an order makes of a new execution, `beginning` whether a
new one is claimed at once, `turn` whether a worker may write what it brings, `state` what its writes
to the state come to, `cause` by what failures group, `continuing` what the next of a chain inherits.
Which of two callers is first (dedupe keys, fences, claims) the database decides.
"""
