-- Messages and the state of the partitions that this broker holds. A group is the Raft group of one
-- partition. Nothing here is updated per message: a batch is one row, and a commit many batches.

CREATE TABLE record_batches (
  group_id integer NOT NULL,
  base_offset bigint NOT NULL,
  last_offset bigint NOT NULL,
  term bigint NOT NULL,
  raft_index bigint NOT NULL,
  -- Milliseconds since 1970.
  base_timestamp bigint NOT NULL,
  max_timestamp bigint NOT NULL,
  -- Largest timestamp of this batch and all before it. It grows with the offset, where timestamps may go
  -- back, so that the first batch that reaches a time is found by index.
  latest_timestamp bigint NOT NULL,
  -- The batch as it is on the wire and in the log.
  bytes bytea NOT NULL,
  -- Where its records are, one element a record; starts count from 0, a length of -1 is a null.
  timestamp_deltas bigint[] NOT NULL,
  key_starts integer[] NOT NULL,
  key_lengths integer[] NOT NULL,
  value_starts integer[] NOT NULL,
  value_lengths integer[] NOT NULL,
  PRIMARY KEY (group_id, base_offset),
  CHECK (last_offset >= base_offset)
);

-- Uncompressed and out of line: whoever only counts does not read it, whoever cuts reads only the cut.
ALTER TABLE record_batches ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE INDEX record_batches_time ON record_batches (group_id, latest_timestamp, base_offset);

CREATE TABLE partition_state (
  group_id integer PRIMARY KEY,
  topic text NOT NULL,
  number integer NOT NULL,
  applied_index bigint NOT NULL,
  applied_term bigint NOT NULL,
  next_offset bigint NOT NULL,
  log_start bigint NOT NULL,
  -- That of the newest batch; null before the first.
  latest_timestamp bigint
) WITH (fillfactor = 50);

CREATE TABLE consumer_cursors (
  group_id integer NOT NULL,
  consumer_id bigint NOT NULL,
  -- Offset of the next message to deliver.
  cursor bigint NOT NULL,
  grants jsonb NOT NULL,
  PRIMARY KEY (group_id, consumer_id)
) WITH (fillfactor = 70);

CREATE TABLE producer_sequences (
  group_id integer NOT NULL,
  producer_id bigint NOT NULL,
  epoch integer NOT NULL,
  last_sequence bigint NOT NULL,
  -- Milliseconds since 1970.
  at bigint NOT NULL,
  batches jsonb NOT NULL,
  PRIMARY KEY (group_id, producer_id)
) WITH (fillfactor = 70);
