-- Incidents, their tickets, and what is told about them. Times are milliseconds since 1970, structures are JSON.

-- The engine's side of an incident. Open while ended_at is null.
CREATE TABLE incidents (
    id           TEXT    NOT NULL PRIMARY KEY,
    rule         TEXT    NOT NULL,
    rule_version BIGINT  NOT NULL,
    subject      TEXT    NOT NULL,
    since        BIGINT  NOT NULL,
    started_at   BIGINT  NOT NULL,
    opened_at    BIGINT  NOT NULL,
    ended_at     BIGINT,
    merged_into  TEXT,
    revision     BIGINT  NOT NULL
);

-- At most one incident of a rule and subject is open, whatever happens to the state of the engine.
CREATE UNIQUE INDEX incidents_one_open ON incidents (rule, subject) WHERE ended_at IS NULL;
CREATE INDEX incidents_ended ON incidents (ended_at);

-- What staff see of it. Same id.
CREATE TABLE tickets (
    id          TEXT    NOT NULL PRIMARY KEY REFERENCES incidents (id),
    state       TEXT    NOT NULL,
    reason      TEXT,
    shadow      INTEGER NOT NULL,
    summary     TEXT    NOT NULL,
    category    TEXT    NOT NULL,
    department  TEXT    NOT NULL,
    severity    TEXT    NOT NULL,
    sla         TEXT    NOT NULL,
    opened_at   BIGINT  NOT NULL,
    value       REAL    NOT NULL,
    limit_value REAL    NOT NULL,
    samples     BIGINT  NOT NULL,
    approximate INTEGER NOT NULL,
    affected    BIGINT  NOT NULL,
    facts       TEXT
);

CREATE INDEX tickets_newest ON tickets (opened_at);
CREATE INDEX tickets_state ON tickets (state, opened_at);

-- Every step with time and actor, kept for good. Updates that follow each other keep one row, the latest.
CREATE TABLE ticket_steps (
    seq      INTEGER PRIMARY KEY,
    incident TEXT    NOT NULL REFERENCES incidents (id),
    revision BIGINT,
    at       BIGINT  NOT NULL,
    actor    TEXT    NOT NULL,
    step     TEXT    NOT NULL,
    detail   TEXT
);

CREATE INDEX ticket_steps_incident ON ticket_steps (incident, seq);

-- The accounts that an incident touches.
CREATE TABLE affected (
    incident TEXT   NOT NULL,
    account  TEXT   NOT NULL,
    order_id TEXT,
    at       BIGINT NOT NULL,
    told_at  BIGINT,
    PRIMARY KEY (incident, account)
) WITHOUT ROWID;

CREATE INDEX affected_account ON affected (account);
CREATE INDEX affected_order ON affected (order_id) WHERE order_id IS NOT NULL;

-- The outbox and the memory of what was told. account is empty for messages to staff.
-- state: pending, sending, sent, held, cancelled, failed, unknown (handed over, no answer).
-- incident changes when an incident is merged into another one; origin and id never do.
CREATE TABLE notices (
    seq         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    incident    TEXT    NOT NULL,
    origin      TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    stage       TEXT    NOT NULL,
    rule        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    template    TEXT    NOT NULL,
    recipient   TEXT    NOT NULL,
    via         TEXT    NOT NULL,
    locale      TEXT,
    facts       TEXT,
    decided_at  BIGINT  NOT NULL,
    state       TEXT    NOT NULL,
    hold        TEXT,
    reason      TEXT,
    attempts    BIGINT  NOT NULL DEFAULT 0,
    next_at     BIGINT  NOT NULL DEFAULT 0,
    lease_until BIGINT,
    handed_at   BIGINT,
    sent_at     BIGINT,
    reply       TEXT
);

-- One message per incident, account and stage.
CREATE UNIQUE INDEX notices_once ON notices (incident, account, stage);
CREATE INDEX notices_due ON notices (next_at, seq) WHERE state = 'pending';
CREATE INDEX notices_unfinished ON notices (state, decided_at) WHERE state IN ('pending', 'sending', 'held', 'unknown');
CREATE INDEX notices_account ON notices (account) WHERE account <> '';
