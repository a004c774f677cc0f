-- Tables: nodes (engine/infra/migrations/0002_reference.sql), stock_keys, stock_scopes,
-- stock_balances, stock_movements, stock_references, stock_reports, stock_assignments
-- (…/0009_physical.sql).

-- name: get_node
-- $1 tenant, $2 node
SELECT node, version, updated_at, document
FROM nodes
WHERE tenant = $1 AND node = $2;

-- name: lock_node
-- $1 tenant, $2 node
SELECT node, version, updated_at, document
FROM nodes
WHERE tenant = $1 AND node = $2
FOR UPDATE;

-- name: list_nodes
-- $1 tenant, $2 after node, $3 limit
SELECT node, version, updated_at, document
FROM nodes
WHERE tenant = $1 AND node > $2
ORDER BY node
LIMIT $3;

-- name: insert_node
-- $1 tenant, $2 node, $3 document, $4 actor
INSERT INTO nodes (tenant, node, version, document, actor)
VALUES ($1, $2, 1, $3::jsonb, $4)
ON CONFLICT (tenant, node) DO NOTHING
RETURNING node, version, updated_at, document;

-- name: update_node
-- $1 tenant, $2 node, $3 document, $4 actor
UPDATE nodes
SET document = $3::jsonb, actor = $4, version = version + 1, updated_at = now()
WHERE tenant = $1 AND node = $2
RETURNING node, version, updated_at, document;

-- name: known_nodes
-- $1 tenant, $2 nodes; none is ever removed.
SELECT node
FROM nodes
WHERE tenant = $1 AND node = ANY($2::text[]);
