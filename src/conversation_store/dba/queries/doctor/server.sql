/* doctor.server */
-- Return what the server is, who asks, and in which database.
--
-- returns: one
SELECT
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS number,
    pg_is_in_recovery() AS is_standby,
    pg_jit_available() AS has_jit,
    current_user::text AS role,
    current_database()::text AS database,
    current_setting('is_superuser') = 'on' AS is_superuser,
    to_regnamespace('conversation_store') IS NOT NULL AS has_schema,
    coalesce(has_schema_privilege(to_regnamespace('conversation_store'), 'USAGE'), FALSE) AS may_use_schema;
