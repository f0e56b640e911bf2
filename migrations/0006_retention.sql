-- Retention of topics, and what happens to a consumer that it overtakes.

-- Null: no limit. For each partition by itself.
ALTER TABLE topics
  ADD COLUMN retention_ms bigint,
  ADD COLUMN retention_bytes bigint,
  ADD COLUMN retention_messages bigint;

-- 'earliest' or 'none'.
ALTER TABLE consumers ADD COLUMN auto_offset_reset text NOT NULL DEFAULT 'earliest';

-- Bytes of this batch and all before it in its partition, so that the size of what follows is a difference.
-- Of batches from before this migration 0: they count as deleted first.
ALTER TABLE record_batches ADD COLUMN end_bytes bigint NOT NULL DEFAULT 0;

-- That of the newest batch.
ALTER TABLE partition_state ADD COLUMN end_bytes bigint NOT NULL DEFAULT 0;
