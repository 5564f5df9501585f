"""The schema, opened by an essay: every table, its life, its invariants.

Two rooms live in one file and never share a transaction but the file's own: the *catalogue*, what
people make, and the *journal*, what happens. A distributed engine may one day hold the journal
elsewhere, so no foreign key crosses from one to the other.

What belongs to an instance names its customer too, and refers to both at once, so no row can be of
one customer and hang on another's. What belongs to an execution names that alone, and so can be of
no other customer than it. Whose rows are seen in whose scope, `halflap.store.scope` says.

Times are microseconds since 1970-01-01 UTC, from the store's clock. Ids are TypeIDs (`exe_…`), so
they sort by time. Bodies, inputs and results are bytes, never rebuilt from a parse.

The catalogue
  customers     whom the team serves. Removed only once no instance is left. The payloads of one that
                is `private` are shown to those members of the team alone that may see them.
  versions      published bundles, immutable, by their content's hash; `number` counts up within an
                integration. A bundle is kept while an execution or an instance pins it.
  targets       which version an integration has in `dev`, `staging`, `production`: what new
                instances start on and `deploy --to` moves.
  connections   accounts of apps. Plain fields in `fields` (JSON); every secret field sealed in
                `secrets`, its AAD naming customer, connection, field. `generation` grows with each
                change of a secret. `limits` (JSON) stand above those that its type declares. `account`
                is the one that was last signed in to through the team's OAuth app: by it an event
                of the app's endpoint finds the connection, while `fields` still say the same.
  instances     one integration version activated for one customer. `state` moves only by
                compare-and-set, so two activations cannot both win. `in_service` is 1 from being active
                until it is disabled. A deployment that failed (`repeat_of`) is repeated at `repeat_at`;
                `former_version` and `former_revision` are what the last upgrade began with, `moved_by`
                the bulk that made it. `catch_up_since` is set until what was missed since is asked for.
  revisions     an instance's config, one immutable row per change: plain values (JSON) and the
                connection that each connection field names.
  endpoints     `/hooks/<id>`, one per flow of an instance, made once and kept through versions;
                closed while the instance is disabled. `secret` is sealed, and the `former` one.
  shared_endpoints  the URLs of an integration's shared pre-process flows, the same for all its
                customers and versions. `former` is the secret before, good until `former_until`;
                `version` the one that an operator picked, NULL: production's, else the newest.
  oauth_apps    the team's own OAuth app per component, apart from customers' connections: its sealed
                secret, and the origins (JSON) that it may be sent to. `endpoint` is the id of the one
                URL at which the app sends the events of all accounts, `signing` the sealed secret that
                it signs them with, and `former` the one before, good until `former_until`.
  unrouted_events  what came at such an endpoint, and no flow was there to take: until it is replayed, a
                week, or so many newer ones of its account or its app. `digest` is that of the
                request, so that one that is sent again is one.
  event_types   what the team's own product publishes: a row for each version of a type, with its JSON
                Schema and an example (JSON). A version's schema changes only as nobody notices.
  addresses     by what an instance can be found: each plain, short value of its present config, and
                of the connections in it (`field` is `salesforce.auth.organization_id`; the row
                whose `value` is the connection's id is `salesforce`). Written in the transaction
                that changes the config or the connection; secrets are never among them.
  subscriptions what a trigger made at an app: its id there, sealed secret, the secret before (as
                of shared_endpoints). Removed when the app has forgotten it; `left_because` says why
                it could not be taken down. One that the app ends (`expires_at`) is renewed by the
                execution `renewal` as it is `renew_at`, which is then when a failed one is tried again.
  schedules     the last tick that a scheduled flow fired, so that missed ones are known.
  rejections    the last refused requests of an endpoint, for support. A ring of 100 per endpoint.
  outcomes      how many executions ended how, and how many came, by time: written minute by minute
                from the executions themselves, behind the time `settings` has as `outcomes_until`. `at`
                begins a `step` of five minutes, or of an hour; `customer` is empty for all of them.
                `took` is a place in `model.TOOK`.
  counters      what was filtered and what was a duplicate, per flow: counted, not kept.
  retentions    for how many days a customer, an instance, or its integration, wants executions and
                payloads kept (JSON); `name` is the id of the customer or the instance, or
                `<instance>/integration`.
  bulks         what is done with many executions at once: `wanted` (JSON) says with which and how,
                `after` is the last one that it has come to. One `worker` drives it until
                `lease_until`; every page moves `after` in one write, and what it did before it
                could is done again, which changes nothing.
  tokens        what acts for one customer at the API, until it expires or is revoked: then the row
                is gone. Only the hash of each is kept.
  users         the members of the team, by email in lower case. `password` is an argon2id hash, NULL
                where there is none; `subject` the identity at the team's OIDC provider. Of those with
                the role `owner` one is always left that is not disabled.
  sign_in_links  links that sign in a user once, until they expire: only their hashes.
  sessions      sign-ins of users that go on. The token changes each hour; the one before (`former`) is
                good for a minute more. A row goes as the user signs out, is disabled, or has another
                role or password; one that was not seen for 12 hours, or is 7 days old, is good no more.
  sign_ins      attempts to sign in with a password, counted by account and by address, and until when
                the next one has to wait. A row goes a day after its last attempt; that of an account
                with an address from which it was signed in to (`known:…`) after 90 days.
  keys          keys of programs, by the hashes of their secrets; `former` is good until `former_until`.
                They go with the user who made them.
  audit         what was changed, and which secrets and payloads were looked at, by whom: one row a
                request, never changed, and deleted once `kept_until` has passed; triggers see to both.
                What tells of a change is written with it, with the status 0 until it is answered.
  audit_objects  the ids of what an entry is about, so that its entries are found.
  answers       what requests with an `Idempotency-Key` were answered, by their principal and their key,
                for a day: sealed, as a made key is among them; NULL while one runs, and where its
                process ended before it was answered.
  drafts        documents that are being written in the designer: the text, and the keys of its steps in
                their order (JSON). `base` is the hash of the version that it began from, or was last
                published as; `components` the id of the component set that is pinned, whose components
                take the place of the base's own. Every edit makes the next `revision`, compared in the
                same statement.
  component_sets  a project's own components, as they were deployed for drafts: a bundle of them without
                an integration, and what describes them (JSON). Never changed; the newest of a name has
                its highest `number`. `names` are those of the components, apart by blanks.
  draft_edits   the latest edits of a draft, each by the revision that it made: its patches and their
                inverse (JSON), by whom. `undone` is the revision that took it back, 0 where none did;
                `token` makes an edit that is sent twice count once.
  draft_editors  who has a draft open, and what is selected there, until `seen_until`.
  draft_writers  who writes a flow of a draft, until `lease_until`: nobody else's edit of it is stored.
  draft_pins    what a step of a draft answers in its runs, by the step's key, sealed; `digest` is that of
                the step's text as it was pinned.
  settings      a few facts of this store: its id, its schema's phase, the canary of its keys.

The journal
  executions    one row per execution, written when its event is accepted, in the same transaction
                as the event and the dedupe key. `number` names it in `events`, `steps` and `logs`, and
                nowhere outside a transaction: once the row is gone it may be another's. `state` is one
                of queued, running, waiting, succeeded, failed, cancelled, ignored. While it is live,
                `due_at` says when it may be claimed (NULL: not by time alone). A claim sets `fence` to a
                new number and `lease_until`; every later write names the fence and changes nothing
                where it differs. An ended execution changes only by being dismissed, by hand or by a
                replay of it. `crashes` counts unclean ends while it ran alone. `probation` is 1 from an
                unclean end of its claim until it ends or leaves its worker cleanly; so is a replay's
                of one set aside.
                `held` has bit 1 while its instance is moving between states, bit 2 while it has
                no turn in its order, and bit 4 while its customer, its instance or its
                flow is paused, and bit 8 once its customer is being erased (1, 4 and 8 as
                `gates` says, and not if its flow is one of ours); what is held costs a claim
                nothing. `order_scope` and `order_key` say what order it was started in, and
                `order_rule` by what rule (JSON; NULL for the ordinary one).
                `cancelling` says why one that runs is to be cancelled: no other end is
                let in then; at `cut_at` its worker ends it. `parent` is the execution that
                started it, which is sent a signal as it ends; one that is `bound` is cancelled with
                its parent.
                `chain` is the first of those that handed over one to the next, `link` its place in it;
                both are set as one hands over, or is handed over to. `dedupe_key` is the hash in
                `dedupe` that the first of it took.
                `replay_of` is what it runs again, `replay` says how (JSON). `root` is the first of
                its lineage, NULL where it is that itself.
                `cause` is the mark of what it failed of (rules/cause.py) and `status` the HTTP status
                of the call that failed, `failure_kind` the error's class, `component` that of the
                action which failed; NULL unless it failed. `ran` is for how long its attempts
                ran, that of one which runs now left out.
                `removed` is 1 where its payload was removed since: its event, the inputs and results
                of its steps, the fields of its log lines.
  events        what arrived, write-once, keyed by its execution.
  steps         the journal itself, keyed by (execution, path). A `retrying` row is overwritten by
                the step's next try; a `succeeded` or `failed` one never changes. A negative `seq` is
                that of one that a replay copied, which may run afresh. `kind` and `status` are
                places in `reading.KINDS` and `reading.STATUSES`, for short; `name` is NULL where it
                is the path. With a rowid, because without one SQLite spills rows of 1 KB and more to
                a page of their own.
  logs          lines that an author's code wrote.
  attempts      attempts that did not end the execution: when, how, why.
  dedupe        (flow, key hash) → execution, until it expires. Its unique index decides. Of an event that
                was published with a key, also (customer, '', key hash) → digest of its contents.
  state         `ctx.state`, key by key, with what two-way keeps of records and pairs. Goes with its
                instance or its customer. An index has what an instance keeps as `health`, where that is
                something: so receivers that take nothing are found among many.
  orders        who waits for whom: one row per live execution that has an order, until its end.
                `name` is the order, `place` when it was accepted, `width` how many of it may have
                their turn at once. Who has one has `turn`, and keeps it until it has an outcome;
                the others have bit 2 of `held`. One that is `passable` is set aside while it waits,
                until `back_at` (0: it is not): whoever comes meanwhile takes its turn. One that
                `blocks` keeps its row and its turn when it has failed, until it is dismissed; a
                replay inherits both. Where orders were put together, more may run than may: each
                until it runs no more, and no other begins before.
  signals       what was sent to an execution while it was live, kept until it asks. `once` names an
                answer that counts once. An execution that waits for signals has in `heard` how many
                it knew of as it began to: a further one makes it due.
  blobs         large payloads, which are not in their rows but in the blob store: noted before they
                are written there, so that nothing is there that no row tells of. Whose execution
                is gone, or never came, is removed: first there, then here.
  listener_shards  the parts of the sources that flows listen to: up to where each is read (`cursor`),
                by which process (`owner`), and how it goes (`state`, `error`). Whoever takes a shard
                raises its `fence`; events are accepted and the cursor is moved in one transaction that
                names it. `source` is a digest of what names the source: another one begins anew, and
                the former one's cursor is kept. `start` is where to read on from, as the cursor had
                expired (then NULL); `gaps` says what was missed so (JSON). `waits_for` is the connection
                that has to be mended first. Goes with its instance.
  listener_owners  the processes that listen: one lease on all shards that a process owns.
  gates         whose executions are held back: by `name`, the `bit` of `held` that they have. 1: an
                instance, while it is activated or upgraded. 4: what somebody paused, a customer, an
                instance or `<instance>/<flow>`, since when, by whom and why. 8: a customer that is being
                erased, or was: nothing is accepted for it but to take its instances down. A row comes
                before the bits, and goes in the transaction that takes the last of them back; that of
                bit 8 stays.
  limits        what a customer may take, where that is not the default; NULL is the default, 0 no
                limit. `full_at` is when its bucket of beginnings is full again.
  throttles     how a connection's traffic stands: when its bucket of requests is full again, until
                when its app is not called, since when and why, what of a quota is used. With
                `away`, its circuit is open. `last` is the customer whose turn was last as what
                waited for it was let go. May be forgotten.

`lane` of an execution is its customer, `$` for a flow of ours: claims take lanes in turn, and of a
lane its instances. Limits are the lane's, so a deployment waits for nobody's flood.

Only live executions are indexed for claiming (partial indexes), so history costs claims nothing.
"""

from __future__ import annotations

from halflap.store.migrate import Migration

CATALOGUE = """
CREATE TABLE customers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    external_id TEXT UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    hash TEXT PRIMARY KEY,
    integration TEXT NOT NULL,
    number INTEGER NOT NULL,
    bundle BLOB NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    published_at INTEGER NOT NULL,
    UNIQUE (integration, number)
) STRICT;

CREATE TABLE targets (
    integration TEXT NOT NULL,
    target TEXT NOT NULL,
    version TEXT NOT NULL REFERENCES versions (hash),
    moved_at INTEGER NOT NULL,
    PRIMARY KEY (integration, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE connections (
    id TEXT PRIMARY KEY,
    customer TEXT REFERENCES customers (id),
    component TEXT NOT NULL,
    name TEXT NOT NULL,
    fields TEXT NOT NULL,
    secrets TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 1,
    status TEXT NOT NULL DEFAULT 'untested',
    created_at INTEGER NOT NULL,
    limits TEXT NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX connections_by_name ON connections (coalesce(customer, ''), name);

CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customers (id),
    integration TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL REFERENCES versions (hash),
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    deployment TEXT,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    UNIQUE (customer, name),
    UNIQUE (id, customer)
) STRICT, WITHOUT ROWID;
CREATE INDEX instances_by_integration ON instances (integration);

CREATE TABLE revisions (
    instance TEXT NOT NULL,
    customer TEXT NOT NULL,
    number INTEGER NOT NULL,
    config TEXT NOT NULL,
    connections TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (instance, number),
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE endpoints (
    id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    customer TEXT NOT NULL,
    flow TEXT NOT NULL,
    secret BLOB NOT NULL,
    open INTEGER NOT NULL DEFAULT 0,
    made_at INTEGER NOT NULL,
    UNIQUE (instance, flow),
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE shared_endpoints (
    id TEXT PRIMARY KEY,
    integration TEXT NOT NULL,
    flow TEXT NOT NULL,
    secret BLOB NOT NULL,
    former BLOB,
    former_until INTEGER NOT NULL DEFAULT 0,
    version TEXT REFERENCES versions (hash),
    made_at INTEGER NOT NULL,
    UNIQUE (integration, flow)
) STRICT, WITHOUT ROWID;

CREATE TABLE addresses (
    integration TEXT NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    instance TEXT NOT NULL,
    customer TEXT NOT NULL,
    connection TEXT,
    PRIMARY KEY (integration, field, value, instance),
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_by_instance ON addresses (instance);
CREATE INDEX addresses_by_connection ON addresses (connection) WHERE connection IS NOT NULL;

CREATE TABLE subscriptions (
    instance TEXT NOT NULL,
    customer TEXT NOT NULL,
    flow TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    secret BLOB,
    data TEXT NOT NULL,
    version TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (instance, flow),
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    instance TEXT NOT NULL,
    customer TEXT NOT NULL,
    flow TEXT NOT NULL,
    last_tick INTEGER NOT NULL,
    PRIMARY KEY (instance, flow),
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE rejections (
    id INTEGER PRIMARY KEY,
    endpoint TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL
) STRICT;
CREATE INDEX rejections_by_endpoint ON rejections (endpoint, id);

CREATE TABLE counters (
    instance TEXT NOT NULL,
    flow TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (instance, flow, what)
) STRICT, WITHOUT ROWID;

CREATE TABLE retentions (
    name TEXT PRIMARY KEY,
    kept TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE bulks (
    id TEXT PRIMARY KEY,
    verb TEXT NOT NULL,
    wanted TEXT NOT NULL,
    state TEXT NOT NULL,
    total INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    refusals TEXT NOT NULL DEFAULT '[]',
    after TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    made_at INTEGER NOT NULL,
    ended_at INTEGER,
    worker TEXT NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX bulks_running ON bulks (id) WHERE state = 'running';

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    customer TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    access TEXT NOT NULL,
    label TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_customer ON tokens (customer);

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

# The columns of tables that the second migration makes anew.
_EXECUTION = """
    customer TEXT NOT NULL,
    instance TEXT NOT NULL,
    integration TEXT NOT NULL,
    flow TEXT NOT NULL,
    version TEXT NOT NULL,
    revision INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    root TEXT,
    replay_of TEXT,
    parent TEXT,
    bound INTEGER NOT NULL DEFAULT 0,
    record_key TEXT,
    accepted_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    due_at INTEGER,
    waiting_for TEXT NOT NULL DEFAULT '',
    fence INTEGER NOT NULL DEFAULT 0,
    claimed_at INTEGER,
    lease_until INTEGER,
    heard INTEGER,
    held INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    probation INTEGER NOT NULL DEFAULT 0,
    cancelling TEXT,
    cut_at INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    failure BLOB,
    result BLOB,
    dismissed INTEGER NOT NULL DEFAULT 0,
    duplicates INTEGER NOT NULL DEFAULT 0,
    order_scope TEXT,
    order_key TEXT,
    order_rule TEXT,
    replay TEXT,
"""
_EVENT = """
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    query TEXT NOT NULL,
    url TEXT NOT NULL,
    part INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL
"""
_STEP = """
    path TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT,
    title TEXT NOT NULL,
    status INTEGER NOT NULL,
    pure INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    inputs BLOB,
    result BLOB,
    failure BLOB,
"""
_LOG = """
    at INTEGER NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    fields BLOB NOT NULL,
    step TEXT NOT NULL
"""
_OF_LIVE = """CREATE INDEX executions_next ON executions (probation, due_at, id)
    WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0;
CREATE INDEX executions_held ON executions (lane)
    WHERE held <> 0 AND state IN ('queued', 'waiting');
CREATE INDEX executions_parked ON executions (waiting_for, id)
    WHERE state = 'waiting' AND waiting_for >= 'connection:' AND waiting_for < 'connection;';
CREATE INDEX executions_running ON executions (lane, lease_until) WHERE state = 'running';
CREATE INDEX executions_live ON executions (instance)
    WHERE state IN ('queued', 'running', 'waiting');
"""
_OF_FEW = """CREATE INDEX executions_failed ON executions (id) WHERE state = 'failed' AND dismissed = 0;
CREATE INDEX executions_by_parent ON executions (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX executions_by_replay ON executions (replay_of, id) WHERE replay_of IS NOT NULL;
CREATE INDEX executions_by_key ON executions (record_key, id) WHERE record_key IS NOT NULL;
"""
_LANE = "lane TEXT GENERATED ALWAYS AS (iif(substr(flow, 1, 1) = '$', '$', customer)) VIRTUAL"

JOURNAL = f"""
CREATE TABLE executions (
    id TEXT PRIMARY KEY,{_EXECUTION}    retention INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    {_LANE}
) STRICT, WITHOUT ROWID;
CREATE INDEX executions_due ON executions (lane, instance, due_at, id)
    WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0;
{_OF_LIVE}CREATE INDEX executions_ended ON executions (retention, removed, ended_at)
    WHERE ended_at IS NOT NULL AND (state <> 'failed' OR dismissed);
CREATE INDEX executions_by_customer ON executions (customer, id);
CREATE INDEX executions_by_instance ON executions (instance, id);
{_OF_FEW}
CREATE TABLE events (
    execution TEXT PRIMARY KEY,{_EVENT}) STRICT;

CREATE TABLE steps (
    execution TEXT NOT NULL,{_STEP}    PRIMARY KEY (execution, path)
) STRICT;

CREATE TABLE logs (
    execution TEXT NOT NULL,{_LOG}) STRICT;
CREATE INDEX logs_by_execution ON logs (execution);

CREATE TABLE attempts (
    execution TEXT NOT NULL,
    number INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    how TEXT NOT NULL,
    failure BLOB,
    PRIMARY KEY (execution, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE dedupe (
    instance TEXT NOT NULL,
    flow TEXT NOT NULL,
    key BLOB NOT NULL,
    execution TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (instance, flow, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_expiry ON dedupe (expires_at);

CREATE TABLE state (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    execution TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    back_at INTEGER NOT NULL DEFAULT 0,
    blocks INTEGER NOT NULL,
    passable INTEGER NOT NULL
) STRICT;
CREATE INDEX orders_by_name ON orders (name, turn, back_at, place);

CREATE TABLE signals (
    id INTEGER PRIMARY KEY,
    execution TEXT NOT NULL,
    name TEXT NOT NULL,
    payload BLOB NOT NULL,
    at INTEGER NOT NULL,
    once TEXT
) STRICT;
CREATE INDEX signals_by_execution ON signals (execution, id);
CREATE UNIQUE INDEX signals_once ON signals (execution, once) WHERE once IS NOT NULL;

CREATE TABLE limits (
    customer TEXT PRIMARY KEY,
    concurrency INTEGER,
    rate REAL,
    burst INTEGER,
    backlog INTEGER,
    full_at INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE throttles (
    connection TEXT PRIMARY KEY,
    full_at INTEGER NOT NULL DEFAULT 0,
    until INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    quota TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX throttles_resting ON throttles (until) WHERE until > 0;

CREATE TABLE gates (
    name TEXT NOT NULL,
    bit INTEGER NOT NULL,
    since INTEGER NOT NULL,
    by TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (name, bit)
) STRICT, WITHOUT ROWID;

CREATE TABLE blobs (
    key TEXT PRIMARY KEY,
    execution TEXT NOT NULL,
    part TEXT NOT NULL,
    size INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_by_execution ON blobs (execution);

CREATE TABLE retention_classes (
    number INTEGER PRIMARY KEY,
    kept TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE retained (
    instance TEXT PRIMARY KEY,
    retention INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW known AS SELECT id, customer, instance, state, ended_at,
    iif(ended_at IS NOT NULL AND (state <> 'failed' OR dismissed), retention, NULL) AS retention
FROM executions;
"""

PRUNED = "(SELECT id FROM executions WHERE removed <> 0)"
# 0.1.0 removed an event, steps and logs each in its own time, by classes of instances.
RETENTION = f"""
DROP VIEW known;
DROP TABLE retained;
DROP TABLE retention_classes;
DELETE FROM events WHERE execution IN {PRUNED};
DELETE FROM signals WHERE execution IN {PRUNED};
UPDATE steps SET inputs = NULL, result = NULL WHERE execution IN {PRUNED};
UPDATE logs SET fields = x'' WHERE execution IN {PRUNED};
UPDATE executions SET removed = 1 WHERE removed <> 0;
UPDATE retentions SET kept = json_patch('{{}}', json_object(
    'execution', kept ->> 'execution',
    'payload', (SELECT min(value) FROM json_each(kept)
        WHERE json_each.key IN ('payload', 'event', 'steps', 'logs'))));
DELETE FROM retentions WHERE kept = '{{}}';
"""

CATALOGUE_2 = """
CREATE TABLE oauth_apps (
    component TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    secret BLOB,
    callback TEXT NOT NULL,
    origins TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    endpoint TEXT NOT NULL UNIQUE,
    signing BLOB,
    former BLOB,
    former_until INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE unrouted_events (
    id TEXT PRIMARY KEY,
    component TEXT NOT NULL REFERENCES oauth_apps (component) ON DELETE CASCADE,
    account TEXT NOT NULL,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    request BLOB NOT NULL,
    UNIQUE (component, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX unrouted_events_by_account ON unrouted_events (component, account, id);
CREATE INDEX unrouted_events_by_time ON unrouted_events (received_at);
CREATE INDEX endpoints_open ON endpoints (customer) WHERE open = 1;
CREATE TABLE event_types (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    schema TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT NOT NULL,
    example TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (
    step INTEGER NOT NULL,
    customer TEXT NOT NULL,
    at INTEGER NOT NULL,
    integration TEXT NOT NULL,
    flow TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT NOT NULL,
    took INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (step, customer, at, integration, flow, version, state, cause, took)
) STRICT, WITHOUT ROWID;
ALTER TABLE endpoints ADD COLUMN former BLOB;
ALTER TABLE endpoints ADD COLUMN former_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN former BLOB;
ALTER TABLE subscriptions ADD COLUMN former_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN left_because TEXT NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN expires_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN renew_at INTEGER;
ALTER TABLE subscriptions ADD COLUMN renewal TEXT;
CREATE INDEX subscriptions_renewing ON subscriptions (renew_at) WHERE renew_at IS NOT NULL;
ALTER TABLE instances ADD COLUMN in_service INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN failing_since INTEGER;
ALTER TABLE instances ADD COLUMN repeat_tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN repeat_of TEXT;
ALTER TABLE instances ADD COLUMN repeat_at INTEGER;
ALTER TABLE instances ADD COLUMN former_version TEXT;
ALTER TABLE instances ADD COLUMN former_revision INTEGER;
ALTER TABLE instances ADD COLUMN moved_by TEXT;
ALTER TABLE instances ADD COLUMN catch_up_since INTEGER;
UPDATE instances SET in_service = 1 WHERE state IN ('active', 'upgrading');
CREATE INDEX instances_repeating ON instances (repeat_at) WHERE repeat_at IS NOT NULL;
ALTER TABLE versions ADD COLUMN components BLOB;
ALTER TABLE versions ADD COLUMN published_by TEXT NOT NULL DEFAULT '';
ALTER TABLE customers ADD COLUMN private INTEGER NOT NULL DEFAULT 0;
CREATE INDEX instances_by_version ON instances (version, id);
CREATE INDEX instances_by_state ON instances (state, id);
ALTER TABLE connections ADD COLUMN account TEXT NOT NULL DEFAULT '';
CREATE INDEX connections_by_account ON connections (component, account) WHERE account <> '';
CREATE INDEX connections_by_component ON connections (component, id);
CREATE INDEX connections_by_status ON connections (status, id);
CREATE INDEX customers_private ON customers (id) WHERE private = 1;

CREATE TABLE drafts (
    id TEXT PRIMARY KEY,
    integration TEXT NOT NULL,
    base TEXT,
    components TEXT,
    file TEXT NOT NULL,
    revision INTEGER NOT NULL,
    content TEXT NOT NULL,
    keys TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE component_sets (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    bundle BLOB NOT NULL,
    components BLOB NOT NULL,
    names TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    published_by TEXT NOT NULL,
    UNIQUE (name, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX component_sets_by_hash ON component_sets (hash, id);

CREATE TABLE draft_edits (
    draft TEXT NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    author TEXT NOT NULL,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    batch TEXT NOT NULL,
    token TEXT,
    change TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0,
    at INTEGER NOT NULL,
    PRIMARY KEY (draft, revision)
) STRICT;
CREATE UNIQUE INDEX draft_edits_by_token ON draft_edits (draft, author, token)
    WHERE token IS NOT NULL;

CREATE TABLE draft_editors (
    draft TEXT NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
    editor TEXT NOT NULL,
    author TEXT NOT NULL,
    label TEXT NOT NULL,
    selected TEXT NOT NULL,
    seen_until INTEGER NOT NULL,
    PRIMARY KEY (draft, editor)
) STRICT, WITHOUT ROWID;

CREATE TABLE draft_writers (
    draft TEXT NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
    flow TEXT NOT NULL,
    author TEXT NOT NULL,
    label TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (draft, flow)
) STRICT, WITHOUT ROWID;

CREATE TABLE draft_pins (
    draft TEXT NOT NULL REFERENCES drafts (id) ON DELETE CASCADE,
    node INTEGER NOT NULL,
    digest TEXT NOT NULL,
    content BLOB NOT NULL,
    label TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (draft, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0,
    password TEXT,
    subject TEXT UNIQUE,
    made_at INTEGER NOT NULL,
    signed_in_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sign_in_links (
    hash TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_links_by_user ON sign_in_links (user_id);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    former TEXT,
    former_until INTEGER NOT NULL DEFAULT 0,
    method TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_former ON sessions (former) WHERE former IS NOT NULL;

CREATE TABLE sign_ins (
    name TEXT PRIMARY KEY,
    failures INTEGER NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    rights TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    former TEXT,
    former_until INTEGER NOT NULL DEFAULT 0,
    made_at INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_user ON keys (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX keys_by_former ON keys (former) WHERE former IS NOT NULL;

CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    kept_until INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    label TEXT NOT NULL,
    address TEXT NOT NULL,
    operation TEXT NOT NULL,
    customer TEXT,
    objects TEXT NOT NULL,
    status INTEGER NOT NULL,
    changes TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_operation ON audit (operation, id);
CREATE INDEX audit_by_customer ON audit (customer, id) WHERE customer IS NOT NULL;
CREATE INDEX audit_by_end ON audit (kept_until);

CREATE TABLE audit_objects (
    object TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (object, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_objects_by_entry ON audit_objects (entry);

CREATE TABLE answers (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    answer BLOB,
    kept_until INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_end ON answers (kept_until);
"""

LISTENERS = """
CREATE TABLE listener_shards (
    instance TEXT NOT NULL,
    customer TEXT NOT NULL,
    flow TEXT NOT NULL,
    source TEXT NOT NULL,
    shard TEXT NOT NULL,
    fence INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    cursor TEXT,
    start TEXT,
    state TEXT NOT NULL DEFAULT 'starting',
    error TEXT NOT NULL DEFAULT '',
    waits_for TEXT NOT NULL DEFAULT '',
    message_at INTEGER,
    changed_at INTEGER NOT NULL,
    gaps TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (instance, flow, source, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX listener_shards_owned ON listener_shards (owner) WHERE owner IS NOT NULL;
CREATE TABLE listener_owners (
    id TEXT PRIMARY KEY,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""

# An entry without a status is of a request that is not answered: it is completed once.
AUDIT_KEPT = """
CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit
WHEN OLD.status <> 0 OR NEW.status = 0
    OR (OLD.id, OLD.at, OLD.kept_until, OLD.address)
        IS NOT (NEW.id, NEW.at, NEW.kept_until, NEW.address)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- REPLACE deletes without a trigger.
CREATE TRIGGER audit_new BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_kept BEFORE DELETE ON audit
WHEN OLD.kept_until > CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""


def _names(columns: str) -> str:
    return ", ".join(line.split()[0] for line in columns.strip().splitlines())


def _numbered(table: str, key: str, columns: str, more: str = "") -> str:
    """Return SQL that makes a table anew, in which an execution is named by its number."""
    return f"""
ALTER TABLE {table} RENAME TO former;
CREATE TABLE {table} ({key},{columns}{more}) STRICT;
INSERT INTO {table} (execution, {_names(columns)})
    SELECT (SELECT number FROM executions WHERE id = execution), {_names(columns)}
    FROM former WHERE execution IN (SELECT id FROM executions) ORDER BY rowid;
DROP TABLE former;
"""


# Executions are listed newest acceptance first, or newest end first (rules/listing.py). Of a version's
# hash the beginning is enough to find it by. Dead letters are grouped by their index alone.
JOURNAL_2 = f"""
ALTER TABLE throttles ADD COLUMN away INTEGER NOT NULL DEFAULT 0;
ALTER TABLE throttles ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE throttles ADD COLUMN last TEXT NOT NULL DEFAULT '';
ALTER TABLE executions RENAME TO former_executions;
CREATE TABLE executions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,{_EXECUTION}    removed INTEGER NOT NULL DEFAULT 0,
    cause TEXT,
    status INTEGER,
    failure_kind TEXT,
    component TEXT,
    ran INTEGER,
    chain TEXT,
    link INTEGER NOT NULL DEFAULT 0,
    dedupe_key BLOB,
    {_LANE}
) STRICT;
INSERT INTO executions (id, {_names(_EXECUTION)}, removed)
    SELECT id, {_names(_EXECUTION)}, removed FROM former_executions ORDER BY id;
DROP TABLE former_executions;
{_numbered("events", "execution INTEGER PRIMARY KEY", _EVENT)}
{_numbered("steps", "execution INTEGER NOT NULL", _STEP, "    PRIMARY KEY (execution, path)")}
{_numbered("logs", "id INTEGER PRIMARY KEY, execution INTEGER NOT NULL", _LOG)}
CREATE INDEX logs_by_execution ON logs (execution);
{_OF_LIVE}{_OF_FEW}CREATE INDEX executions_due ON executions (lane, instance, probation, due_at, id)
    WHERE state IN ('queued', 'waiting') AND due_at IS NOT NULL AND held = 0;
CREATE INDEX executions_by_chain ON executions (chain, link, id) WHERE chain IS NOT NULL;
CREATE INDEX executions_by_cause ON executions (cause, accepted_at) WHERE cause IS NOT NULL;
CREATE INDEX executions_by_status ON executions (status, accepted_at) WHERE status IS NOT NULL;
CREATE INDEX executions_by_kind ON executions (failure_kind, accepted_at)
    WHERE failure_kind IS NOT NULL;
CREATE INDEX executions_by_component ON executions (component, accepted_at)
    WHERE component IS NOT NULL;
CREATE INDEX executions_of_customer ON executions (customer, accepted_at);
CREATE INDEX executions_of_instance ON executions (instance, accepted_at);
CREATE INDEX executions_by_time ON executions (accepted_at);
CREATE INDEX executions_by_flow ON executions (flow, accepted_at);
CREATE INDEX executions_by_integration ON executions (integration, accepted_at);
CREATE INDEX executions_by_version ON executions (substr(version, 1, 8), accepted_at);
CREATE INDEX executions_by_state ON executions (state, accepted_at)
    WHERE state IN ('failed', 'cancelled', 'ignored');
CREATE INDEX executions_dead ON executions
    (accepted_at, ended_at, cause, flow, instance, customer, replay_of)
    WHERE state = 'failed' AND dismissed = 0;
CREATE INDEX executions_by_end ON executions (state, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX executions_kept ON executions (removed, ended_at)
    WHERE ended_at IS NOT NULL AND (state <> 'failed' OR dismissed);
CREATE VIEW known AS SELECT id, customer, instance, state, ended_at, removed FROM executions;
"""

HEALTH = """
CREATE INDEX state_of_health ON state (scope) WHERE key = 'health' AND value <> x'7b7d';
"""

MIGRATIONS = [
    Migration(number=1, name="first", before=CATALOGUE + JOURNAL),
    Migration(
        number=2,
        name="0.2.0",
        before=RETENTION + CATALOGUE_2 + LISTENERS + AUDIT_KEPT + JOURNAL_2,
    ),
    Migration(number=3, name="health", before=HEALTH),
]
