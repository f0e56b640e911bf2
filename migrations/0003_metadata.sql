-- The cluster as this broker knows it. The log of the metadata group is the truth; these tables are what
-- it has led to, and `metadata_state` says up to which entry. All times are milliseconds since 1970.

CREATE TABLE metadata_state (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  applied_index bigint NOT NULL,
  applied_term bigint NOT NULL,
  -- JSON of the whole state as it was at its own index, which may be older than what the tables show:
  -- a restart begins with it and applies the log from there.
  snapshot text,
  snapshot_index bigint,
  snapshot_term bigint
);

CREATE TABLE brokers (
  id bigint PRIMARY KEY,
  host text NOT NULL,
  port integer NOT NULL,
  uuid text NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE topics (
  name text PRIMARY KEY,
  replication_factor integer NOT NULL,
  partition_count integer NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE partitions (
  group_id integer PRIMARY KEY,
  topic text NOT NULL,
  number integer NOT NULL,
  name text NOT NULL,
  created_at bigint NOT NULL,
  UNIQUE (topic, number)
);

CREATE TABLE replicas (
  group_id integer NOT NULL,
  broker_id bigint NOT NULL,
  -- 0 is the preferred leader.
  position integer NOT NULL,
  PRIMARY KEY (group_id, broker_id)
);

CREATE INDEX replicas_of_broker ON replicas (broker_id);

CREATE TABLE producers (
  id bigint PRIMARY KEY,
  topic text NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE consumers (
  id bigint PRIMARY KEY,
  topic text NOT NULL,
  -- 'earliest', 'latest' or 'time'; the time is set for the last.
  start_kind text NOT NULL,
  start_time bigint,
  ack text NOT NULL,
  created_at bigint NOT NULL
);

CREATE TABLE health_checks (
  actor_type text NOT NULL,
  actor_id bigint NOT NULL,
  last_seen_at bigint NOT NULL,
  status text NOT NULL,
  since bigint NOT NULL,
  reason text NOT NULL,
  PRIMARY KEY (actor_type, actor_id)
) WITH (fillfactor = 70);
