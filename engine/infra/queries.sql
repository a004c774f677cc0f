-- Tables: reference_versions (engine/infra/migrations/0002_reference.sql).

-- name: keep_version
-- $1 tenant, $2 kind, $3 id, $4 version, $5 document, $6 actor
INSERT INTO reference_versions (tenant, kind, id, version, document, actor)
VALUES ($1, $2, $3, $4, $5::jsonb, $6);
