-- What rules propose for those whom an incident touches: money back, or an action of the platform. Nothing is done here.
-- account is empty for what is about the subject as a whole.
-- state: proposed, withdrawn, shadow (of a rule in the shadow: for the record, of no effect).
-- incident changes when an incident is merged into another one; origin and id never do.
CREATE TABLE proposals (
    seq        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         TEXT COLLATE "C" NOT NULL UNIQUE,
    incident   TEXT COLLATE "C" NOT NULL,
    origin     TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    rule       TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    action     TEXT,
    amount     TEXT,
    currency   TEXT,
    -- Why a person has to say how much.
    undecided  TEXT,
    order_id   TEXT COLLATE "C",
    card_id    TEXT,
    state      TEXT COLLATE "C" NOT NULL,
    -- Numbers what is written of one proposal; what is older changes nothing.
    number     BIGINT           NOT NULL,
    decided_at BIGINT           NOT NULL
);

CREATE INDEX proposals_incident ON proposals (incident, seq);
CREATE INDEX proposals_account ON proposals (account) WHERE account <> '';
