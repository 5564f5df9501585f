"""Row-level security: what the API's transactions see, by the scope that they are in.

What the API does for a customer it does in transactions that take the role `halflap_api` and name the
customer, both for the transaction alone, so that no connection that goes back to its pool keeps
either. The role owns nothing and may not log in; what it sees is what the policies here say, and
where no customer is named it sees no rows. There is no name that stands for all: who is to see the
whole tenant does not take the role. The engine's transactions stay those of the user who owns the
tables; its exemption is a policy as well, because row-level security is forced on the owner too.
Superusers are bound by none of it.

Foreign keys, and rows that cascade, are the server's own business and looked after past all policies.
A view is not: it sees what its owner sees, so the role may read none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, sql

from halflap.errors import StoreError
from halflap.store.scope import MADE, SEEN, rule

ROLE = "halflap_api"
SETTING = "halflap.customer"
ME = f"current_setting('{SETTING}', true)"
"""In no sub-select, and in no OR: so it is what an index is searched for, and the planner knows as it
plans of how many rows it is true (bench/experiments/row_security.py)."""
OWNER = "split_part(convert_from(state.scope, 'UTF8'), ':', 2)"

ENTER = f"SELECT set_config('role', '{ROLE}', true), set_config('{SETTING}', %s, true)"
LEAVE = "SELECT set_config('role', 'none', true)"
"""Has a transaction in a scope write as the engine does from then on."""

OURS = ("bulks", "tokens", "dedupe", "callers", "shared_endpoints")
"""Tables with rows of customers that nothing done for a customer has a use for, nor a right to."""
OURS_SINCE_2 = ("audit", "audit_objects")
"""The same, of tables that the second migration made."""
NOBODYS = (
    "answers",
    "changes",
    "oauth_apps",
    "unrouted_events",
    "event_types",
    "drafts",
    "component_sets",
    "draft_edits",
    "draft_editors",
    "draft_writers",
    "draft_pins",
    "listener_owners",
    "users",
    "sign_in_links",
    "sessions",
    "sign_ins",
    "keys",
    "settings",
    "writers",
    "processes",
    "migrations",
)
"""Tables without rows of customers; every other one is guarded."""

FORCED = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY engine ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
"""
SEES = f"""
CREATE POLICY sees ON {{table}} FOR SELECT TO {ROLE} USING ({{seen}});
GRANT SELECT ON {{table}} TO {ROLE};
"""
MAKES = f"""
CREATE POLICY makes ON {{table}} TO {ROLE} USING ({{made}});
GRANT INSERT, UPDATE, DELETE ON {{table}} TO {ROLE};
"""
AROUND = f"""
GRANT SELECT, UPDATE ON changes TO {ROLE};
DO $$ BEGIN
    IF NOT has_schema_privilege('{ROLE}', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', current_schema());
    END IF;
END $$;
"""

ABOUT_ROLE = f"""
SELECT rolsuper OR rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = '{ROLE}'
"""
MAY_TAKE = f"SELECT pg_has_role(current_user, '{ROLE}', %s)"
MAKE_ROLE = f"CREATE ROLE {ROLE} NOLOGIN NOINHERIT NOBYPASSRLS"
GRANTED = 160000
"""From PostgreSQL 16 on, a role may be taken by whoever does not inherit its rights."""


UNGUARDED = """
SELECT c.relname::text FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relname <> ALL(%s)
    AND NOT (c.relrowsecurity AND c.relforcerowsecurity
        AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
ORDER BY 1
"""
# Whether this user passes: as a superuser, by BYPASSRLS, or by the engine's policy.
HIDDEN = """
SELECT c.relname::text FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND row_security_active(c.oid) AND NOT EXISTS (
        SELECT FROM pg_policy, unnest(polroles) AS may WHERE polrelid = c.oid
            AND polname = 'engine' AND (may = 0 OR pg_has_role(current_user, may, 'USAGE')))
ORDER BY 1
"""
UNSEEN = f"""
SELECT name FROM unnest(%s::text[]) AS name
WHERE NOT has_table_privilege('{ROLE}', to_regclass(name), 'SELECT') ORDER BY 1
"""


def unguarded(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables that have rows of customers, and are not under row-level security."""
    return [name for (name,) in connection.execute(UNGUARDED, (list(NOBODYS),))]


def hidden(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables whose rows this user, who runs the engine, does not see."""
    return [name for (name,) in connection.execute(HIDDEN)]


def unseen(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables that the API's role needs, and may not read."""
    return [name for (name,) in connection.execute(UNSEEN, (list(SEEN),))]


def role(connection: psycopg.Connection[Any]) -> DatabaseRole | None:
    """The API's role; None where there is none."""
    row = connection.execute(ABOUT_ROLE).fetchone()
    return None if row is None else DatabaseRole(*row, may_take=_may_take(connection))


def forced(table: str) -> str:
    """SQL that puts a table under row-level security, which the engine passes."""
    return FORCED.format(table=table)


def shown(rules: Mapping[str, str]) -> list[str]:
    """Return SQL that guards tables which customers only read, by rules such as `SEEN`."""
    script = [forced(each) for each in rules]
    return script + [SEES.format(table=each, seen=rule(each, rules, ME, OWNER)) for each in rules]


def guarded(rules: Mapping[str, str], *partitions: str) -> str:
    """Return SQL that guards tables by rules such as `SEEN`, those of `OURS`, and partitions of them."""
    script = [forced(each) for each in (*rules, *OURS, *partitions)]
    script += [SEES.format(table=each, seen=rule(each, rules, ME, OWNER)) for each in rules]
    script += [MAKES.format(table=each, made=rule(each, MADE, ME, OWNER)) for each in MADE]
    return "".join(script) + AROUND


def entering(customer: str) -> str:
    """`ENTER` with its value in it, to be sent together with other statements."""
    return ENTER.replace("%s", sql.Literal(customer).as_string())


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """The API's role as it is: whether nothing binds it, it may log in, this user may take it."""

    passes: bool
    logs_in: bool
    may_take: bool


def have_role(connection: psycopg.Connection[Any]) -> None:
    """See to it that there is the API's role, and that this user may take it.

    Raises `StoreError`, with the SQL that somebody else has to run, where this user may not make it.
    """
    user = sql.Identifier(connection.info.user).as_string(connection)
    how = " WITH INHERIT FALSE, SET TRUE" if connection.info.server_version >= GRANTED else ""
    grant = f"GRANT {ROLE} TO {user}{how}"
    needed = [grant]
    try:
        found = role(connection)
        if found is None:
            needed.insert(0, MAKE_ROLE)
            made = (errors.DuplicateObject, errors.UniqueViolation)  # by another store, just now
            with contextlib.suppress(*made), connection.transaction():
                connection.execute(MAKE_ROLE)
        elif found.passes:
            raise StoreError(
                f"the role {ROLE} is a superuser or has BYPASSRLS, so it would see every customer's "
                f"rows; run: ALTER ROLE {ROLE} NOSUPERUSER NOBYPASSRLS"
            )
        if not _may_take(connection):
            with connection.transaction():
                connection.execute(grant.encode())
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"the API reads through the role {ROLE}, which this user may not make or take "
            f"({str(error).splitlines()[0]}); have somebody who may run, once: {'; '.join(needed)};"
        ) from error


@contextmanager
def copyable(connection: psycopg.Connection[Any]) -> Generator[None]:
    """A block in which the owner may COPY into its tables, which no row-level security allows."""
    for table in (*SEEN, *OURS, *OURS_SINCE_2):
        connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY".encode())
    yield
    for table in (*SEEN, *OURS, *OURS_SINCE_2):
        connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY".encode())


def _may_take(connection: psycopg.Connection[Any]) -> bool:
    how = "SET" if connection.info.server_version >= GRANTED else "MEMBER"
    row = connection.execute(MAY_TAKE, (how,)).fetchone()
    return row is not None and row[0]
