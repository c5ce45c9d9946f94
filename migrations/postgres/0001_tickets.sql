-- Incidents, their tickets, and what is told about them. Times are milliseconds since 1970, structures are JSON.
-- Texts are compared by their bytes, so that their order is the same on every server.

-- The engine's side of an incident. Open while ended_at is null.
CREATE TABLE incidents (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    rule         TEXT COLLATE "C" NOT NULL,
    rule_version BIGINT           NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    since        BIGINT           NOT NULL,
    started_at   BIGINT           NOT NULL,
    opened_at    BIGINT           NOT NULL,
    ended_at     BIGINT,
    merged_into  TEXT COLLATE "C",
    revision     BIGINT           NOT NULL
);

-- At most one incident of a rule and subject is open, whatever happens to the state of the engine. A subject may be
-- longer than what a B-tree holds.
CREATE UNIQUE INDEX incidents_one_open ON incidents (rule, md5(subject)) WHERE ended_at IS NULL;
CREATE INDEX incidents_open ON incidents USING hash (subject) WHERE ended_at IS NULL;
CREATE INDEX incidents_ended ON incidents (ended_at);

-- What staff see of it. Same id.
CREATE TABLE tickets (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES incidents (id),
    state       TEXT COLLATE "C" NOT NULL,
    reason      TEXT,
    shadow      BOOLEAN          NOT NULL,
    summary     TEXT             NOT NULL,
    category    TEXT             NOT NULL,
    department  TEXT             NOT NULL,
    severity    TEXT             NOT NULL,
    sla         TEXT             NOT NULL,
    opened_at   BIGINT           NOT NULL,
    value       DOUBLE PRECISION NOT NULL,
    limit_value DOUBLE PRECISION NOT NULL,
    samples     BIGINT           NOT NULL,
    approximate BOOLEAN          NOT NULL,
    affected    BIGINT           NOT NULL,
    facts       TEXT
);

CREATE INDEX tickets_newest ON tickets (opened_at);
CREATE INDEX tickets_state ON tickets (state, opened_at);

-- Every step with time and actor, kept for good. Updates that follow each other keep one row, the latest.
CREATE TABLE ticket_steps (
    seq      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident TEXT COLLATE "C" NOT NULL REFERENCES incidents (id),
    revision BIGINT,
    at       BIGINT           NOT NULL,
    actor    TEXT             NOT NULL,
    step     TEXT             NOT NULL,
    detail   TEXT
);

CREATE INDEX ticket_steps_incident ON ticket_steps (incident, seq);

-- The accounts that an incident touches.
CREATE TABLE affected (
    incident TEXT COLLATE "C" NOT NULL,
    account  TEXT COLLATE "C" NOT NULL,
    order_id TEXT COLLATE "C",
    at       BIGINT           NOT NULL,
    told_at  BIGINT,
    PRIMARY KEY (incident, account)
);

CREATE INDEX affected_account ON affected (account);
CREATE INDEX affected_order ON affected (order_id) WHERE order_id IS NOT NULL;

-- The outbox and the memory of what was told. account is empty for messages to staff.
-- state: pending, sending, sent, held, cancelled, failed, unknown (handed over, no answer).
-- incident changes when an incident is merged into another one; origin and id never do.
CREATE TABLE notices (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          TEXT COLLATE "C" NOT NULL UNIQUE,
    incident    TEXT COLLATE "C" NOT NULL,
    origin      TEXT COLLATE "C" NOT NULL,
    account     TEXT COLLATE "C" NOT NULL,
    stage       TEXT COLLATE "C" NOT NULL,
    rule        TEXT COLLATE "C" NOT NULL,
    subject     TEXT COLLATE "C" NOT NULL,
    template    TEXT             NOT NULL,
    recipient   TEXT             NOT NULL,
    via         TEXT             NOT NULL,
    locale      TEXT,
    facts       TEXT,
    decided_at  BIGINT           NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    hold        TEXT COLLATE "C",
    reason      TEXT,
    attempts    BIGINT           NOT NULL DEFAULT 0,
    next_at     BIGINT           NOT NULL DEFAULT 0,
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
