"""Statements with their tenant beside every table, and statements that lack it, each under what is wrong with it."""

from __future__ import annotations

# Statements with T for the schema of the store; $1 is the tenant and $2 is not.
ACCEPTED = [
    "SELECT c.id FROM T.conversation AS c WHERE c.tenant_id = $1::pg_catalog.text FOR UPDATE OF c",
    "WITH l AS (SELECT $2::text AS id) SELECT c.id FROM T.conversation c WHERE c.tenant_id = $1::text AND c.id = ANY(ARRAY(SELECT l.id FROM l))",
    "INSERT INTO T.dialog AS d (id, tenant_id) VALUES ($2::text, $1::text) ON CONFLICT (id, tenant_id) DO UPDATE SET id = d.id",
    "INSERT INTO T.dialog AS d (tenant_id) VALUES ($1::text) ON CONFLICT (id) DO UPDATE SET id = d.id WHERE d.tenant_id = $1::text",
    "SELECT T.fold($2::text), pg_catalog.count(*) FROM T.schema_migrations",
]
FAULTY = {
    "conversation stands where its tenant is not looked for": [
        "SELECT c.id FROM T.conversation AS c TABLESAMPLE SYSTEM (100)",
        "SELECT c.id FROM T.conversation AS c TABLESAMPLE SYSTEM (100) WHERE c.tenant_id = $1::text",
    ],
    "conversation AS c renames its columns": [
        "SELECT c.id FROM T.conversation AS c (tenant_id, id) WHERE c.tenant_id = $1::text",
        "UPDATE T.dialog AS d SET name = '' FROM T.conversation AS c (tenant_id) WHERE d.tenant_id = $1::text AND c.tenant_id = $1::text",
    ],
    "a join is named c": [
        "SELECT (SELECT 1 FROM (T.dialog AS d JOIN T.dialog AS e ON d.tenant_id = $1::text AND e.tenant_id = $1::text) AS c)",
    ],
    "a MergeStmt is not known": [
        "MERGE INTO T.dialog AS d USING (SELECT 1) AS x ON d.tenant_id = $1::text WHEN MATCHED THEN DELETE",
        "MERGE INTO T.dialog AS d USING (SELECT 1) AS x ON true WHEN MATCHED THEN UPDATE SET name = ''",
        "MERGE INTO T.dialog AS d USING T.conversation AS c ON true WHEN NOT MATCHED THEN INSERT (tenant_id) VALUES ('Z')",
        "WITH m AS (MERGE INTO T.dialog AS d USING (SELECT 1) AS x ON true WHEN MATCHED THEN DELETE RETURNING d.id) SELECT m.id FROM m",
    ],
    "a CopyStmt is not known": [
        "COPY T.dialog (id, tenant_id) TO STDOUT",
        "COPY (SELECT 1) TO STDOUT",
        "COPY T.dialog (id) FROM STDIN",
        "COPY T.dialog (id, tenant_id) FROM '/tmp/dialog'",
        "COPY T.dialog (id, tenant_id) FROM PROGRAM 'cat'",
    ],
    "a TruncateStmt is not known": ["TRUNCATE T.dialog"],
    "a LockStmt is not known": ["LOCK TABLE T.dialog"],
    "INSERT INTO dialog takes a *": [
        "INSERT INTO T.dialog (id, tenant_id, name) SELECT x.*, $1::text FROM (SELECT 1, 'Z') AS x",
        "INSERT INTO T.dialog (id, tenant_id, name) SELECT (x.y).*, $1::text FROM x",
    ],
    "INSERT INTO api_token updates a row of any tenant": [
        "INSERT INTO T.api_token AS t (tenant_id) VALUES ($1::text) ON CONFLICT ON CONSTRAINT api_token_token_digest_key DO UPDATE SET revoke_date = NULL",
        "INSERT INTO T.api_token AS t (tenant_id) VALUES ($1::text) ON CONFLICT (beta) DO UPDATE SET revoke_date = NULL",
        "INSERT INTO T.api_token AS t (tenant_id) VALUES ($1::text) ON CONFLICT DO UPDATE SET revoke_date = NULL",
        "INSERT INTO T.api_token AS t (tenant_id) VALUES ($1::text) ON CONFLICT (beta) DO UPDATE SET beta = NULL WHERE excluded.tenant_id = $1::text",
    ],
    "tenant_id is set": [
        "UPDATE T.dialog AS d SET tenant_id = 'Z' WHERE d.tenant_id = $1::text",
        "UPDATE T.dialog AS d SET (name, tenant_id) = (SELECT '', 'Z') WHERE d.tenant_id = $1::text",
        "INSERT INTO T.dialog (tenant_id) VALUES ($1::text) ON CONFLICT ON CONSTRAINT dialog_pkey DO UPDATE SET tenant_id = 'Z'",
    ],
    "dialog is not qualified": [
        "SELECT d.id FROM dialog AS d WHERE d.tenant_id = $1::text",
        "INSERT INTO dialog (tenant_id) VALUES ($1::text)",
        "UPDATE dialog AS d SET name = '' WHERE d.tenant_id = $1::text",
        "DELETE FROM dialog AS d WHERE d.tenant_id = $1::text",
        "WITH dialog AS (SELECT 1 AS id) SELECT d.id FROM dialog AS d",
    ],
    "T.feedback is not a known table": ["SELECT f.id FROM T.feedback AS f WHERE f.tenant_id = $1::text"],
    "pg_catalog.pg_stats is not a known table": ["SELECT s.most_common_vals FROM pg_catalog.pg_stats AS s"],
    "None.pg_stats is not a known table": ["SELECT s.most_common_vals FROM pg_stats AS s"],
    "query_to_xml() is not a known function": ["SELECT query_to_xml('SELECT', true, true, '')"],
    "T.other() is not a known function": ["SELECT o.id FROM T.other($1::text) AS o"],
    "other.count() is not a known function": ["SELECT other.count(1)"],
    "OPERATOR(other.=) is not known": ["SELECT 1 OPERATOR(other.=) 1"],
    "dialog AS d has no d.tenant_id = :tenant_id::text": [
        "SELECT d.id FROM T.dialog AS d WHERE d.tenant_id = $1::other.text",
        "SELECT d.id FROM T.dialog AS d WHERE d.tenant_id = $1::text[]",
        "SELECT d.id FROM T.dialog AS d WHERE d.* = $1::text",
        "SELECT d.id FROM T.dialog AS d WHERE d.tenant_id = $1::text OR d.id > $2::text",
        "SELECT d.id FROM T.dialog AS d WHERE NOT d.tenant_id = $1::text",
        "SELECT d.id FROM T.dialog AS d WHERE d.tenant_id = coalesce($1::text, d.tenant_id)",
        "SELECT d.id FROM T.dialog AS d WHERE d.tenant_id = $2::text",
        "SELECT d.id FROM T.dialog AS d WHERE d.name = $1::text",
        "SELECT d.id FROM T.dialog AS d WHERE d.tenant_id >= $1::text",
        "SELECT d.id FROM T.dialog AS d WHERE ($2::text IS NULL OR d.tenant_id = $1::text)",
    ],
    "dialog AS d has d.tenant_id = :tenant_id::text only if it is given": [
        "SELECT d.id FROM T.dialog AS d WHERE ($1::text IS NULL OR d.tenant_id = $1::text)",
    ],
    "INSERT INTO dialog takes neither VALUES nor one SELECT": [
        "INSERT INTO T.dialog (tenant_id) SELECT $1::text UNION ALL SELECT 'Z'",
        "INSERT INTO T.dialog DEFAULT VALUES",
    ],
    "INSERT INTO dialog does not take :tenant_id::text": [
        "INSERT INTO T.dialog (id, tenant_id) VALUES (1)",
        "INSERT INTO T.dialog (id, tenant_id) VALUES (1, $1::text), (2, DEFAULT)",
    ],
}
