-- A partition that is closed takes no messages any more; its state says so, as its log does.

ALTER TABLE partition_state ADD COLUMN closed boolean NOT NULL DEFAULT false;

-- What the topics say of their partitions: those up to key_partitions take messages with keys.
ALTER TABLE topics ADD COLUMN key_partitions integer NOT NULL DEFAULT 1;
-- off, messages, bytes or rate, and what it is compared with; null is what the cluster does.
ALTER TABLE topics ADD COLUMN growth text;
ALTER TABLE topics ADD COLUMN growth_limit bigint;
ALTER TABLE topics ADD COLUMN growth_max integer;

ALTER TABLE partitions ADD COLUMN closing boolean NOT NULL DEFAULT false;
