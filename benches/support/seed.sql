-- Copies of the one user, team and key that are there: as many as asked for, of
-- which every second lacks what may be absent.

INSERT INTO users SELECT (jsonb_populate_record(one, jsonb_build_object(
    'user_id', 'u' || n, 'created_at', one.created_at + n,
    'user_email', CASE n % 2 WHEN 0 THEN 'u' || n || '@b.c' END,
    'email_folded', CASE n % 2 WHEN 0 THEN 'u' || n || '@b.c' END,
    'user_alias', CASE n % 2 WHEN 0 THEN 'alias ' || n % 100 END,
    'max_budget_nanos', CASE n % 2 WHEN 0 THEN n % 1000 END))).*
FROM users one, generate_series(1, {users}) n;

INSERT INTO teams SELECT (jsonb_populate_record(one, jsonb_build_object(
    'team_id', 't' || n, 'created_at', one.created_at + n,
    'team_alias', CASE n % 2 WHEN 0 THEN 'alias ' || n % 100 END,
    'max_budget_nanos', CASE n % 2 WHEN 0 THEN n % 1000 END))).*
FROM teams one, generate_series(1, {teams}) n;

INSERT INTO keys SELECT (jsonb_populate_record(one, jsonb_build_object(
    'key_id', md5('id' || n)::uuid::text, 'key_hash', md5('a' || n) || md5('b' || n),
    'user_id', 'u' || 1 + n % {users}, 'team_id', CASE n % 2 WHEN 0 THEN 't' || 1 + n % {teams} END,
    'created_at', one.created_at + n, 'updated_at', one.updated_at + n % 100,
    'key_alias', CASE n % 2 WHEN 0 THEN 'alias ' || n END,
    'expires_at', CASE n % 2 WHEN 0 THEN one.created_at + 1000000000000 + n % 1000 END,
    'max_budget_nanos', CASE n % 2 WHEN 0 THEN n % 1000 END))).*
FROM keys one, generate_series(1, {keys}) n;

VACUUM ANALYZE users;
VACUUM ANALYZE teams;
VACUUM ANALYZE keys;
