"""The journal's schema in PostgreSQL, as far as it differs from `halflap.store.schema`, whose essay has
every table, its life and its invariants.

Times are from the database's clock. Whatever comes from outside or from an author (paths, keys, names of
signals) is `bytea`, UTF-8 where it is text: PostgreSQL's `text` cannot hold a NUL, and bytes sort alike
everywhere. A step, a log line, an event's head is one value (MessagePack, see rows.py): nothing
searches in them, and one column costs less than thirteen.

An execution lives in one of three places, and moves once or twice:

  executions    while it is live. Small, however much was done. `worker` names the process whose claim it
                is; a later write locks the row before it compares the fence. `due_at` is NULL while it
                runs.
  letters       once it has failed: a dead letter, until it is dismissed, by hand or by a replay.
                Kept as long as it is one, so no partition is held up by it.
  history       once it has ended otherwise, or is dismissed. Partitioned by `slot` (slots.py): the day
                on which it ended, and whether its payload was removed since: then `head` and `body`
                are NULL, `steps` and `logs` have no inputs, results and fields, and the row has moved
                to the other slot of its day. Pruning drops slots. Beside that, rows change only in
                `duplicates`.

The last two have all that is left of an execution in one row: event, steps, logs, attempts. What is
live has these, and its signals, in tables of their own, emptied as it moves.

  limits        a claim locks the rows of the customers that it claims of, so that workers count one
                after another.
  known         a view: the three places of an execution, as one.
  copied_events a view of `events` that takes large ones by COPY, which row-level security does not
                allow into a table.
  callers       which workers lately used a connection that has a limit on concurrency: each may have
                an equal share of it.
  writers       a row per place that writes with the number of its last transaction, written by that
                transaction: so a COMMIT whose answer was lost is found out about (doubt.py). Pruned a
                week after that; a place that was idle for a day takes a new one.
  processes     a row for each process that has the store open, seen every few seconds: which
                migrations its code knows, so that nothing is removed that it needs; the name that
                its claims bear, which no two have at once.

Every table with rows of customers is under row-level security (guard.py); days of the history are as
they are made. No view is read in a scope: it would show what its owner sees.

Who locks what, in this order, so that nobody waits in a ring: the own row of `writers`; advisory
locks (class 1: the gates, shared by accepts; class 2: orders, what is replayed, a key of the state;
sorted by hash);
rows of `listener_shards`, sorted by key; keys of `dedupe`, sorted; rows of `limits`, sorted by
customer; rows of `executions`, sorted by id;
then what belongs to them.
Whatever waits in a ring all the same is rolled back by PostgreSQL and done again.

`executions` is updated some times in each row's life: its free space and its vacuum are set so that
it stays small.
"""

from __future__ import annotations

from halflap.store.migrate import Migration
from halflap.store.postgres.catalogue import CATALOGUE, translated
from halflap.store.postgres.guard import forced, guarded, shown
from halflap.store.schema import CATALOGUE_2, LISTENERS
from halflap.store.scope import SEEN

_EXECUTION = """
    id text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    instance text COLLATE "C" NOT NULL,
    integration text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    replay_of text COLLATE "C",
    parent text COLLATE "C",
    record_key bytea,
    accepted_at bigint NOT NULL,
    started_at bigint,
    failure bytea,
    duplicates bigint NOT NULL DEFAULT 0,
    crashes bigint NOT NULL DEFAULT 0,
    order_scope bytea,
    order_key bytea,
    order_rule text COLLATE "C",
    replay text
"""
_ENDED = f"""
    {_EXECUTION},
    ended_at bigint NOT NULL,
    reason bytea NOT NULL,
    result bytea,
    received_at bigint NOT NULL,
    part bigint NOT NULL,
    attempts bytea NOT NULL
"""
_WHOLE = f"""
    {_ENDED},
    head bytea NOT NULL,
    body bytea NOT NULL,
    steps bytea NOT NULL,
    logs bytea NOT NULL
"""

JOURNAL = f"""
CREATE TABLE executions (
    {_EXECUTION},
    due_at bigint,
    waiting_for bytea NOT NULL DEFAULT '',
    fence bigint NOT NULL,
    claimed_at bigint,
    lease_until bigint,
    heard bigint,
    worker text COLLATE "C",
    held bigint NOT NULL DEFAULT 0,
    probation boolean NOT NULL DEFAULT false,
    cancelling bytea,
    bound boolean NOT NULL DEFAULT false,
    cut_at bigint NOT NULL DEFAULT 0,
    lane text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (CASE WHEN left(flow, 1) = '$' THEN '$' ELSE customer END) STORED,
    PRIMARY KEY (id),
    CHECK (state IN ('queued', 'running', 'waiting')),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK (due_at IS NULL OR state <> 'running')
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX executions_due ON executions (lane, instance, due_at, id)
    WHERE due_at IS NOT NULL AND held = 0;
CREATE INDEX executions_next ON executions (probation, due_at, id)
    WHERE due_at IS NOT NULL AND held = 0;
CREATE INDEX executions_held ON executions (lane) WHERE held <> 0 AND lease_until IS NULL;
CREATE INDEX executions_parked ON executions (waiting_for, id)
    WHERE state = 'waiting' AND waiting_for >= 'connection:' AND waiting_for < 'connection;';
CREATE INDEX executions_running ON executions (lane, lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX executions_by_instance ON executions (instance, id);
CREATE INDEX executions_by_parent ON executions (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX executions_by_key ON executions (record_key, id) WHERE record_key IS NOT NULL;
CREATE INDEX executions_by_replay ON executions (replay_of, id) WHERE replay_of IS NOT NULL;

CREATE TABLE letters ({_WHOLE}, PRIMARY KEY (id), CHECK (state = 'failed'));
CREATE INDEX letters_by_customer ON letters (customer, id);
CREATE INDEX letters_by_instance ON letters (instance, id);
CREATE INDEX letters_by_parent ON letters (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX letters_by_key ON letters (record_key, id) WHERE record_key IS NOT NULL;
CREATE INDEX letters_by_replay ON letters (replay_of, id) WHERE replay_of IS NOT NULL;

CREATE TABLE history ({_ENDED}, slot bigint NOT NULL, head bytea, body bytea, steps bytea, logs bytea)
    PARTITION BY LIST (slot);
CREATE INDEX history_by_id ON history (id);
CREATE INDEX history_by_customer ON history (customer, id);
CREATE INDEX history_by_instance ON history (instance, id);
CREATE INDEX history_by_parent ON history (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX history_by_key ON history (record_key, id) WHERE record_key IS NOT NULL;
CREATE INDEX history_by_replay ON history (replay_of, id) WHERE replay_of IS NOT NULL;
CREATE TABLE history_other PARTITION OF history DEFAULT;
-- An instance is one customer's, so asking for both is asking for one: few rows only seem fewer.
CREATE STATISTICS history_owners (dependencies) ON instance, customer FROM history;
CREATE STATISTICS history_other_owners (dependencies) ON instance, customer FROM history_other;
CREATE STATISTICS letters_owners (dependencies) ON instance, customer FROM letters;

CREATE TABLE parts (
    slot bigint NOT NULL,
    execution text COLLATE "C" NOT NULL,
    kind smallint NOT NULL,
    data bytea NOT NULL,
    head bytea
) PARTITION BY RANGE (slot, kind);
CREATE INDEX parts_by_execution ON parts (execution);
CREATE TABLE parts_other PARTITION OF parts DEFAULT;

CREATE TABLE events (
    execution text COLLATE "C" PRIMARY KEY,
    received_at bigint NOT NULL,
    part bigint NOT NULL,
    head bytea NOT NULL,
    body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

CREATE TABLE steps (
    execution text COLLATE "C" NOT NULL,
    path bytea NOT NULL,
    seq bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (execution, path)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000);

CREATE TABLE logs (
    execution text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (execution, number)
);

CREATE TABLE attempts (
    execution text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    how text COLLATE "C" NOT NULL,
    failure bytea,
    PRIMARY KEY (execution, number)
);

CREATE TABLE signals (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    execution text COLLATE "C" NOT NULL,
    name bytea NOT NULL,
    payload bytea NOT NULL,
    at bigint NOT NULL,
    once bytea
);
CREATE INDEX signals_by_execution ON signals (execution, id);
CREATE UNIQUE INDEX signals_once ON signals (execution, once) WHERE once IS NOT NULL;

CREATE TABLE dedupe (
    instance text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    execution text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (instance, flow, key)
);
CREATE INDEX dedupe_expiry ON dedupe (expires_at);

CREATE TABLE state (
    scope bytea NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    changed_at bigint NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE TABLE orders (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bytea NOT NULL,
    execution text COLLATE "C" NOT NULL UNIQUE,
    width bigint NOT NULL,
    turn boolean NOT NULL,
    back_at bigint NOT NULL DEFAULT 0,
    blocks boolean NOT NULL,
    passable boolean NOT NULL
);
CREATE INDEX orders_by_name ON orders (name, turn, back_at, place);

CREATE TABLE limits (
    customer text COLLATE "C" PRIMARY KEY,
    concurrency bigint,
    rate double precision,
    burst bigint,
    backlog bigint,
    full_at bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE throttles (
    connection text COLLATE "C" PRIMARY KEY,
    full_at bigint NOT NULL DEFAULT 0,
    until bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    quota text NOT NULL DEFAULT ''
) WITH (fillfactor = 50);
CREATE INDEX throttles_resting ON throttles (until) WHERE until > 0;

CREATE TABLE callers (
    connection text COLLATE "C" NOT NULL,
    worker text COLLATE "C" NOT NULL,
    seen_at bigint NOT NULL,
    PRIMARY KEY (connection, worker)
) WITH (fillfactor = 50);

CREATE TABLE gates (
    name text COLLATE "C" NOT NULL,
    bit bigint NOT NULL,
    since bigint NOT NULL,
    by bytea NOT NULL DEFAULT '',
    reason bytea NOT NULL DEFAULT '',
    PRIMARY KEY (name, bit)
);

CREATE TABLE blobs (
    key text COLLATE "C" PRIMARY KEY,
    execution text COLLATE "C" NOT NULL,
    part text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    at bigint NOT NULL
);
CREATE INDEX blobs_by_execution ON blobs (execution);

CREATE TABLE retention_classes (
    number bigint PRIMARY KEY,
    kept text NOT NULL UNIQUE
);

CREATE TABLE retained (
    instance text COLLATE "C" PRIMARY KEY,
    retention bigint NOT NULL
);

CREATE VIEW known AS
SELECT id, customer, instance, state, NULL::bigint AS ended_at, NULL::bigint AS retention
    FROM executions
UNION ALL SELECT id, customer, instance, state, ended_at, NULL FROM letters
UNION ALL SELECT id, customer, instance, state, ended_at, slot % 64 FROM history;

CREATE TABLE writers (
    id text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    seen_at bigint NOT NULL
) WITH (fillfactor = 20);

CREATE TABLE processes (
    id text COLLATE "C" PRIMARY KEY,
    role text COLLATE "C" NOT NULL,
    worker text COLLATE "C" NOT NULL,
    host text NOT NULL,
    pid bigint NOT NULL,
    version text NOT NULL,
    migration bigint NOT NULL,
    started_at bigint NOT NULL,
    seen_at bigint NOT NULL
);
"""

# The guards of the first migration; a table that comes later is left out here, and guarded by its own.
FORMER: dict[str, dict[str, str]] = {
    "history": {
        "parts": "EXISTS (SELECT 1 FROM history"
        " WHERE history.id = parts.execution AND history.slot = parts.slot)"
    },
    "retentions": {
        "retention_classes": "{me} <> ''",
        "retained": "EXISTS (SELECT 1 FROM instances WHERE instances.id = {table}.instance)",
    },
}
"""The rules of tables that are gone by now, each behind the one that they follow."""
LATER = frozenset({"outcomes", "listener_shards"})
FIRST = {
    name: seen
    for table, rule in SEEN.items()
    if table not in LATER
    for name, seen in {table: rule, **FORMER.get(table, {})}.items()
}

# 0.1.0 kept an event, steps and logs beside their row, where one of them was to go before it.
FOLD_PARTS = """
WITH gone AS (DELETE FROM parts RETURNING *)
UPDATE history SET head = found.head, body = found.body, steps = found.steps, logs = found.logs
FROM (SELECT slot, execution,
        (array_agg(gone.head) FILTER (WHERE kind = 1))[1] AS head,
        (array_agg(data) FILTER (WHERE kind = 1))[1] AS body,
        (array_agg(data) FILTER (WHERE kind = 2))[1] AS steps,
        (array_agg(data) FILTER (WHERE kind = 3))[1] AS logs
    FROM gone GROUP BY slot, execution) AS found
WHERE history.id = found.execution AND history.slot = found.slot;
"""
TWO_PARTS = """
UPDATE retentions SET kept = json_strip_nulls(json_build_object(
    'execution', kept::json -> 'execution',
    'payload', (SELECT min(value::bigint) FROM json_each_text(kept::json)
        WHERE key IN ('payload', 'event', 'steps', 'logs'))))::text
WHERE kept::jsonb ?| ARRAY['event', 'steps', 'logs', 'blobs'];
DELETE FROM retentions WHERE kept = '{}';
"""
KNOWN = """
CREATE OR REPLACE VIEW known AS
SELECT id, customer, instance, state, NULL::bigint AS ended_at, NULL::bigint AS retention,
    false AS removed FROM executions
UNION ALL SELECT id, customer, instance, state, ended_at, NULL, false FROM letters
UNION ALL SELECT id, customer, instance, state, ended_at, slot % 64, body IS NULL FROM history;
"""
NO_CLASSES = """
DROP TABLE parts;
DROP VIEW known;
DROP TABLE retained;
DROP TABLE retention_classes;
CREATE VIEW known AS
SELECT id, customer, instance, state, NULL::bigint AS ended_at, false AS removed FROM executions
UNION ALL SELECT id, customer, instance, state, ended_at, false FROM letters
UNION ALL SELECT id, customer, instance, state, ended_at, body IS NULL FROM history;
"""

_CAUSE = (
    'ADD COLUMN cause text COLLATE "C", ADD COLUMN status bigint,'
    ' ADD COLUMN failure_kind text COLLATE "C", ADD COLUMN component text COLLATE "C"'
)
JOURNAL_2 = "".join(
    f"""
ALTER TABLE {table} ADD COLUMN ran bigint, ADD COLUMN chain text COLLATE "C",
    ADD COLUMN link bigint NOT NULL DEFAULT 0, {more};
CREATE INDEX {table}_by_chain ON {table} (chain, link, id) WHERE chain IS NOT NULL;
"""
    for table, more in (
        ("executions", "ADD COLUMN dedupe_key bytea"),
        ("letters", _CAUSE),
        ("history", _CAUSE),
    )
)
# By what executions are listed, newest acceptance first (rules/listing.py), or newest end first: then
# the history's days alone are searched. Dead letters are few, so of them a version, a flow or an
# integration is found along the time; and in the history a cause among what failed. Each index of the
# history is one more lock for each of its days.
LISTS = """
DROP INDEX executions_due;
CREATE INDEX executions_due ON executions (lane, instance, probation, due_at, id)
    WHERE due_at IS NOT NULL AND held = 0;
ALTER TABLE throttles ADD COLUMN away boolean NOT NULL DEFAULT false,
    ADD COLUMN since bigint NOT NULL DEFAULT 0,
    ADD COLUMN last text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX letters_by_cause ON letters (cause, accepted_at, id) WHERE cause IS NOT NULL;
CREATE INDEX letters_by_status ON letters (status, accepted_at, id) WHERE status IS NOT NULL;
CREATE INDEX letters_by_kind ON letters (failure_kind, accepted_at, id)
    WHERE failure_kind IS NOT NULL;
CREATE INDEX letters_by_component ON letters (component, accepted_at, id) WHERE component IS NOT NULL;
CREATE INDEX letters_of_customer ON letters (customer, accepted_at, id);
CREATE INDEX letters_of_instance ON letters (instance, accepted_at, id);
CREATE INDEX letters_by_time ON letters (accepted_at, id);
CREATE INDEX letters_by_end ON letters (ended_at, id);
CREATE INDEX history_of_customer ON history (customer, accepted_at, id);
CREATE INDEX history_of_instance ON history (instance, accepted_at, id);
CREATE INDEX history_by_time ON history (accepted_at, id);
CREATE INDEX history_by_flow ON history (flow, accepted_at, id);
CREATE INDEX history_by_integration ON history (integration, accepted_at, id);
CREATE INDEX history_by_version ON history (version, accepted_at, id);
CREATE INDEX history_by_state ON history (state, accepted_at, id)
    WHERE state IN ('failed', 'cancelled', 'ignored');
CREATE INDEX history_by_end ON history (state, ended_at, id);
"""
COPIED_EVENTS = """
CREATE VIEW copied_events AS SELECT execution, received_at, part, head, body FROM events;
CREATE FUNCTION insert_copied_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO events VALUES (NEW.execution, NEW.received_at, NEW.part, NEW.head, NEW.body);
    RETURN NEW;
END $$;
CREATE TRIGGER insert_copied_event INSTEAD OF INSERT ON copied_events
    FOR EACH ROW EXECUTE FUNCTION insert_copied_event();
"""
AUDIT_KEPT = f"""
{forced("audit")}
{forced("audit_objects")}
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.kept_until <= extract(epoch FROM clock_timestamp()) * 1000000 THEN
            RETURN OLD;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF OLD.status = 0 AND NEW.status <> 0
            AND (OLD.id, OLD.at, OLD.kept_until, OLD.address)
                = (NEW.id, NEW.at, NEW.kept_until, NEW.address) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
"""
LISTED_BY_ID = """
DROP INDEX letters_by_customer;
DROP INDEX letters_by_instance;
DROP INDEX history_by_customer;
DROP INDEX history_by_instance;
"""

HEALTH = r"""
CREATE INDEX state_of_health ON state (scope) WHERE key = '\x6865616c7468' AND value <> '\x7b7d';
"""

MIGRATIONS = [
    Migration(
        number=1,
        name="first",
        before=CATALOGUE + JOURNAL + guarded(FIRST, "history_other", "parts_other"),
    ),
    Migration(
        number=2,
        name="0.2.0",
        before=FOLD_PARTS
        + TWO_PARTS
        + KNOWN
        + translated(CATALOGUE_2 + LISTENERS)
        + AUDIT_KEPT
        + JOURNAL_2
        + LISTS
        + COPIED_EVENTS
        + "".join(shown({each: SEEN[each] for each in sorted(LATER)})),
        after=FOLD_PARTS + TWO_PARTS + NO_CLASSES + LISTED_BY_ID,
    ),
    Migration(number=3, name="health", before=HEALTH),
]
