-- Bundles: SKUs that are sold as one and held as their components.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '60s';

-- What each bundle stands for now, as its SKU document says; a SKU that is a bundle no more keeps its
-- row, so that processes, who have all of this in memory, learn of it. What they ask for is what
-- transactions wrote (`xid`) that their last snapshot did not see.
CREATE TABLE bundles (
  tenant text NOT NULL,
  sku text NOT NULL,
  components jsonb NOT NULL,                 -- [{"sku", "quantity"}, …]; [] for a bundle no more
  replanned boolean NOT NULL DEFAULT false,  -- campaigns that name it have been planned anew
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (tenant, sku)
);
CREATE INDEX bundles_xid ON bundles (xid);
CREATE INDEX bundles_components ON bundles USING gin (components jsonb_path_ops);
CREATE INDEX bundles_to_replan ON bundles (tenant, sku) WHERE NOT replanned;

-- How a line takes part in a bundle, for ever as it was when the order came. 0: in none; its own
-- number: it is a bundle, which is sold and draws nothing; another line's: it is a component of that
-- one, `per` units of it in each; -1: it was one, before the marketplace changed the line.
ALTER TABLE order_lines ADD COLUMN part_of integer NOT NULL DEFAULT 0;
ALTER TABLE order_lines ADD COLUMN per integer NOT NULL DEFAULT 0;
