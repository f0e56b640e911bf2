-- Migrations after which a version that does not have them cannot run on the tables. A migration that takes
-- away or changes what the version before uses notes itself here; one that only adds does not.
CREATE TABLE incompatible_migrations (
  -- As its file is called, without the ending.
  name    text PRIMARY KEY,
  -- Of the first version that has it.
  version text NOT NULL
);
