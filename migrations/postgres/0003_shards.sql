-- Which run of a daemon each shard belongs to. A new owner raises the epoch of a shard before it reads anything; who
-- writes with an older one is refused, however late it wakes up.
CREATE TABLE shards (
    shard       BIGINT NOT NULL PRIMARY KEY,
    epoch       BIGINT NOT NULL,
    run         BIGINT NOT NULL,
    -- Where that run is, for people.
    holder      TEXT   NOT NULL,
    -- By the clock of the database. Until then nobody else takes the shard.
    alive_until BIGINT NOT NULL
);

-- The run that has claimed a message.
ALTER TABLE notices ADD COLUMN claimed_by BIGINT;
