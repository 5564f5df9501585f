"""The catalogue's tables on PostgreSQL: those of SQLite (their essay is in `halflap.store.schema`).

Text is compared and sorted by its bytes, as in SQLite. What is JSON there is JSON in a text here:
kept as it was written, to the last digit. What is different:

  changes       one row: how many changes the catalogue has seen. Adding to it is a change's first
                statement and its lock, so changes are one after another, whichever process makes
                them; what they look at holds until they are committed.
"""

from __future__ import annotations

CATALOGUE = """
CREATE TABLE changes (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL DEFAULT 0
);
INSERT INTO changes DEFAULT VALUES;

CREATE TABLE customers (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    external_id text COLLATE "C" UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE versions (
    hash text COLLATE "C" PRIMARY KEY,
    integration text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    bundle bytea NOT NULL,
    note text NOT NULL DEFAULT '',
    published_at bigint NOT NULL,
    UNIQUE (integration, number)
);

CREATE TABLE targets (
    integration text COLLATE "C" NOT NULL,
    target text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL REFERENCES versions (hash),
    moved_at bigint NOT NULL,
    PRIMARY KEY (integration, target)
);

CREATE TABLE connections (
    id text COLLATE "C" PRIMARY KEY,
    customer text COLLATE "C" REFERENCES customers (id),
    component text NOT NULL,
    name text COLLATE "C" NOT NULL,
    fields text NOT NULL,
    secrets text NOT NULL,
    generation bigint NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'untested',
    created_at bigint NOT NULL,
    limits text NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX connections_by_name ON connections (coalesce(customer, ''), name);

CREATE TABLE instances (
    id text COLLATE "C" PRIMARY KEY,
    customer text COLLATE "C" NOT NULL REFERENCES customers (id),
    integration text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL REFERENCES versions (hash),
    revision bigint NOT NULL,
    state text NOT NULL,
    error text,
    deployment text,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL,
    UNIQUE (customer, name),
    UNIQUE (id, customer)
);
CREATE INDEX instances_by_integration ON instances (integration);

CREATE TABLE revisions (
    instance text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    config text NOT NULL,
    connections text NOT NULL,
    made_at bigint NOT NULL,
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE,
    PRIMARY KEY (instance, number)
);

CREATE TABLE endpoints (
    id text COLLATE "C" PRIMARY KEY,
    instance text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    secret bytea NOT NULL,
    open integer NOT NULL DEFAULT 0,
    made_at bigint NOT NULL,
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE,
    UNIQUE (instance, flow)
);

CREATE TABLE shared_endpoints (
    id text COLLATE "C" PRIMARY KEY,
    integration text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    secret bytea NOT NULL,
    former bytea,
    former_until bigint NOT NULL DEFAULT 0,
    version text COLLATE "C" REFERENCES versions (hash),
    made_at bigint NOT NULL,
    UNIQUE (integration, flow)
);

CREATE TABLE addresses (
    integration text COLLATE "C" NOT NULL,
    field text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    instance text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    connection text COLLATE "C",
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE,
    PRIMARY KEY (integration, field, value, instance)
);
CREATE INDEX addresses_by_instance ON addresses (instance);
CREATE INDEX addresses_by_connection ON addresses (connection) WHERE connection IS NOT NULL;

CREATE TABLE subscriptions (
    instance text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    remote_id text NOT NULL,
    secret bytea,
    data text NOT NULL,
    version text NOT NULL,
    made_at bigint NOT NULL,
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE,
    PRIMARY KEY (instance, flow)
);

CREATE TABLE schedules (
    instance text COLLATE "C" NOT NULL,
    customer text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    last_tick bigint NOT NULL,
    FOREIGN KEY (instance, customer) REFERENCES instances (id, customer) ON DELETE CASCADE,
    PRIMARY KEY (instance, flow)
);

CREATE TABLE rejections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    reason text NOT NULL,
    status integer NOT NULL,
    headers text NOT NULL
);
CREATE INDEX rejections_by_endpoint ON rejections (endpoint, id);

CREATE TABLE counters (
    instance text COLLATE "C" NOT NULL,
    flow text COLLATE "C" NOT NULL,
    what text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (instance, flow, what)
);

CREATE TABLE retentions (
    name text COLLATE "C" PRIMARY KEY,
    kept text NOT NULL
);

CREATE TABLE bulks (
    id text COLLATE "C" PRIMARY KEY,
    verb text NOT NULL,
    wanted text NOT NULL,
    state text NOT NULL,
    total bigint NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    refusals text NOT NULL DEFAULT '[]',
    after text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    made_at bigint NOT NULL,
    ended_at bigint,
    worker text NOT NULL DEFAULT '',
    lease_until bigint NOT NULL DEFAULT 0
);
CREATE INDEX bulks_running ON bulks (id) WHERE state = 'running';

CREATE TABLE tokens (
    id text COLLATE "C" PRIMARY KEY,
    customer text COLLATE "C" NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    hash text COLLATE "C" NOT NULL UNIQUE,
    access text NOT NULL,
    label text NOT NULL,
    made_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE INDEX tokens_by_customer ON tokens (customer);

CREATE TABLE settings (
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);
"""
