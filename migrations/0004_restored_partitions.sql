-- A partition that was restored from a peer's snapshot is ahead of this broker's log until the log follows.
-- A crash may come between the two: what the log needs to follow is kept with the state.

-- Encoded Raft configuration at applied_index when the partition was restored; null when it never was.
ALTER TABLE partition_state ADD COLUMN configuration bytea;
