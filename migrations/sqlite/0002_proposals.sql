-- What rules propose for those whom an incident touches: money back, or an action of the platform. Nothing is done here.
-- account is empty for what is about the subject as a whole.
-- state: proposed, withdrawn, shadow (of a rule in the shadow: for the record, of no effect).
-- incident changes when an incident is merged into another one; origin and id never do.
CREATE TABLE proposals (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    incident   TEXT    NOT NULL,
    origin     TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    action     TEXT,
    amount     TEXT,
    currency   TEXT,
    -- Why a person has to say how much.
    undecided  TEXT,
    order_id   TEXT,
    card_id    TEXT,
    state      TEXT    NOT NULL,
    -- Numbers what is written of one proposal; what is older changes nothing.
    number     BIGINT  NOT NULL,
    decided_at BIGINT  NOT NULL
);

CREATE INDEX proposals_incident ON proposals (incident, seq);
CREATE INDEX proposals_account ON proposals (account) WHERE account <> '';
