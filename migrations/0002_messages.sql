-- One row per message, for plain SQL, cut out of the batches when it is asked for.

-- Never fails: what is not UTF-8 text is shown in PostgreSQL's escape format (\000, \377, \\).
-- Not parallel safe, because catching an error takes a subtransaction.
CREATE FUNCTION readable_text(bytes bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
  RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN OTHERS THEN
  RETURN encode(bytes, 'escape');
END
$$;

-- A message whose batch was cut at the start of the log is not shown.
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
