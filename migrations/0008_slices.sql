-- Batches lie in slices by the time they came, and retention drops slices: deleting row by row left the table
-- eight times as large as what it held, until a vacuum that a transaction somebody holds open puts off.

ALTER TABLE record_batches RENAME TO record_batches_0;
DROP VIEW messages;

ALTER TABLE record_batches_0 DROP CONSTRAINT record_batches_pkey;
DROP INDEX record_batches_time;
ALTER TABLE record_batches_0 ADD COLUMN slice integer NOT NULL DEFAULT 0;
ALTER TABLE record_batches_0 ALTER COLUMN slice DROP DEFAULT;
ALTER TABLE record_batches_0 ALTER COLUMN end_bytes DROP DEFAULT;

CREATE TABLE record_batches (LIKE record_batches_0 INCLUDING STORAGE INCLUDING CONSTRAINTS)
PARTITION BY LIST (slice);

CREATE UNIQUE INDEX record_batches_offsets ON record_batches (group_id, base_offset, slice);
CREATE INDEX record_batches_times ON record_batches (group_id, latest_timestamp, base_offset);
ALTER TABLE record_batches ATTACH PARTITION record_batches_0 FOR VALUES IN (0);

-- The newest one takes what is written.
CREATE TABLE batch_slices (slice integer PRIMARY KEY);
INSERT INTO batch_slices VALUES (0);

-- Where a partition's batches are: those from first_offset on, to the first of its next range, are in the slice.
CREATE TABLE batch_ranges (
  group_id integer NOT NULL REFERENCES partition_state ON DELETE CASCADE,
  first_offset bigint NOT NULL,
  slice integer NOT NULL,
  PRIMARY KEY (group_id, first_offset)
);
CREATE INDEX batch_ranges_slice ON batch_ranges (slice);
INSERT INTO batch_ranges SELECT group_id, min(base_offset), 0 FROM record_batches GROUP BY group_id;

-- The slice of the newest range; null before the first batch.
ALTER TABLE partition_state ADD COLUMN slice integer;
UPDATE partition_state SET slice = 0 WHERE group_id IN (SELECT group_id FROM batch_ranges);

-- As before. A message whose batch was cut at the start of the log is not shown.
CREATE VIEW messages AS
SELECT
  state.topic,
  state.topic || '.' || state.number AS partition,
  state.number AS partition_number,
  batch.base_offset + record.position - 1 AS message_offset,
  -- Producers may send any number: those outside the years 1 to 275760 are shown as the nearest of them.
  to_timestamp(
    greatest(-62135596800000, least(8640000000000000, batch.base_timestamp + record.timestamp_delta)) / 1000.0
  ) AS produced_at,
  CASE WHEN record.key_length >= 0
    THEN readable_text(substring(batch.bytes FROM record.key_start + 1 FOR record.key_length)) END AS key,
  CASE WHEN record.value_length >= 0
    THEN readable_text(substring(batch.bytes FROM record.value_start + 1 FOR record.value_length)) END AS value,
  CASE WHEN record.value_length >= 0
    THEN substring(batch.bytes FROM record.value_start + 1 FOR record.value_length) END AS value_bytes
FROM partition_state AS state
JOIN record_batches AS batch ON batch.group_id = state.group_id AND batch.last_offset >= state.log_start
CROSS JOIN LATERAL unnest(
  batch.timestamp_deltas, batch.key_starts, batch.key_lengths, batch.value_starts, batch.value_lengths
) WITH ORDINALITY AS record (timestamp_delta, key_start, key_length, value_start, value_length, position)
WHERE batch.base_offset + record.position - 1 >= state.log_start;
