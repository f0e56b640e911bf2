-- A broker whose log is lost begins a new one behind what the database has: the new log must know who was in the group
-- there.

-- Encoded Raft configuration in force at applied_index; null until an entry has brought one.
ALTER TABLE partition_state ADD COLUMN log_configuration bytea;
