-- Which messages of a batch were sent under which id, so that a call that is sent again is stored once, also
-- after a restart. The same bytes are in the batch; here they are read without it.

-- Packed as in the batch's first record; null when the batch has none.
ALTER TABLE record_batches ADD COLUMN runs bytea;
ALTER TABLE record_batches ALTER COLUMN runs SET STORAGE EXTERNAL;
