"""The rules of the journal, as pure functions: a store reads what they ask for, and applies the rest.

`order` says who has a turn, `admission` what an order makes of a new execution, `duplicate` whose
duplicate one is, `beginning` whether it is claimed at once, `turn` whether a worker may write what it
brings, `ending` what follows from an end, `state` what writes to the state come to, `cause` by what
failures group, `continuing` what the next of a chain inherits. Which of two callers is first (dedupe
keys, fences, claims) the database decides.
"""
