-- Partitions that were moved away from this broker. What the broker remembers of the metadata may be older
-- than that: a replica is opened again only at a later change of the partition's replicas.

CREATE TABLE dropped_replicas (
  group_id integer PRIMARY KEY,
  -- Number of the last change of the partition's replicas when it was dropped.
  move_id bigint NOT NULL
);
