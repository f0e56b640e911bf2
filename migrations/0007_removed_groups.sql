-- Partitions that were deleted with their topic. What the broker remembers of the metadata may be older than
-- that, after a crash: a group that is listed here is never opened again. Ids of groups are never used again.

CREATE TABLE removed_groups (
  group_id integer PRIMARY KEY
);
