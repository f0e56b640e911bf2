-- Everything that changed in the cluster, with its reason: the newest 100,000 events. Ids are those of the
-- API, the same on every broker.

CREATE TABLE audit_events (
  id bigint PRIMARY KEY,
  -- Milliseconds since 1970.
  at bigint NOT NULL,
  -- Such as broker-dead or topic-created.
  kind text NOT NULL,
  -- Such as broker/3, topic/orders or partition/orders.2.
  subject text NOT NULL,
  reason text NOT NULL
);

CREATE INDEX audit_events_of_subject ON audit_events (subject, id);
