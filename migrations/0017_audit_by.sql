-- Plans and moves are in the audit trail, and an operator must be told from the cluster itself there.

-- Who asked for the change: a call of the API, or a broker; null where nobody did.
ALTER TABLE audit_events ADD COLUMN asked_by text;
