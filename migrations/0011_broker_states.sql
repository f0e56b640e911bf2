-- Where a broker stands, and whether it takes part fully: 'active', 'maintenance', 'removing' or 'evicted'.

ALTER TABLE brokers ADD COLUMN rack text NOT NULL DEFAULT '', ADD COLUMN state text NOT NULL DEFAULT 'active';
