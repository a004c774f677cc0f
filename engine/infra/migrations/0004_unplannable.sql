-- Why a version of a document cannot be brought to the cell; a later version makes a note stale.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

CREATE TABLE unplannable (
  tenant text NOT NULL,
  kind text NOT NULL,                        -- channel, campaign, supply_policy
  id text NOT NULL,
  version bigint NOT NULL,
  reason text NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, kind, id)
);
