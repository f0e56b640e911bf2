-- Batches that a replica lacks come from another broker in pieces. They wait here until all of them are there, so that
-- what was fetched is not fetched again after a crash, and the partition is never half of one state and half of another.

CREATE TABLE copied_batches (
  group_id integer NOT NULL,
  base_offset bigint NOT NULL,
  last_offset bigint NOT NULL,
  term bigint NOT NULL,
  raft_index bigint NOT NULL,
  max_timestamp bigint NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (group_id, base_offset)
);
ALTER TABLE copied_batches ALTER COLUMN bytes SET STORAGE EXTERNAL;
