-- Usage events {first} to {last} of 200 keys, 20 teams, 30 models and 5,000
-- customers, {step} microseconds apart, and what they add to the deltas.
CREATE TEMPORARY TABLE seed AS
SELECT 'seed-' || n AS request_id, md5(n::text) AS fingerprint, k.key_id, k.user_id, k.team_id, '' AS organization_id,
    'model-' || m AS model, 'group-' || m AS model_group, 'provider-' || m % 5 AS provider,
    'deployment-' || m % 7 AS deployment, 'customer-' || (k.number * 25 + c) AS customer_id,
    'tag-' || (k.number + c) % 50 AS tag, at AS started_at, 1000 + m * 10 AS prompt_tokens, 200 + c AS completion_tokens,
    1000000 + n % 999983 AS cost_nanos, CASE WHEN n % 50 = 0 THEN 'failure' ELSE 'success' END AS status,
    CASE WHEN n % 50 = 0 THEN '429' ELSE '' END AS error_code
FROM (SELECT n, n * 7919 % 200 AS k, n * 31 % 30 AS m, n * 104729 / 200 % 25 AS c,
    ({start}::bigint + (n - {from}) * {step}) AS at FROM generate_series({first}::bigint, {last}::bigint) n) e
JOIN (SELECT key_id, user_id, team_id, row_number() OVER (ORDER BY key_id) - 1 AS number FROM keys
    WHERE team_id IS NOT NULL) k ON k.number = e.k;

INSERT INTO usage_events (request_id, fingerprint, key_id, user_id, team_id, organization_id, model, model_group,
    provider, deployment, customer_id, tags, started_at, ended_at, first_token_at, prompt_tokens, completion_tokens,
    cache_read_tokens, cache_write_tokens, reasoning_tokens, detail, cost_nanos, cost_source, price_id, unpriced_parts,
    inconsistent, status, error_code, error_message, cache_hit, call_type, session_id, metadata, reporter, recorded_at,
    postings)
SELECT request_id, fingerprint, key_id, COALESCE(user_id, ''), team_id, organization_id, model, model_group, provider,
    deployment, customer_id, '["' || tag || '"]', started_at, started_at + 900000, started_at + 300000, prompt_tokens,
    completion_tokens, 100, 0, 0, '{}', cost_nanos, 'computed', '', '[]', false, status, error_code, '', false, 'chat',
    '', '{}', 'seed', started_at, '[]' FROM seed ORDER BY started_at;

INSERT INTO usage_ids (request_id, fingerprint, cost_nanos, started_at)
SELECT request_id, fingerprint, cost_nanos, started_at FROM seed;

INSERT INTO usage_event_tags (tag, started_at, request_id) SELECT tag, started_at, request_id FROM seed;

INSERT INTO usage_deltas (source, bucket_at, key_id, user_id, team_id, organization_id, customer_id, tag, model,
    model_group, provider, deployment, error_code, spent_nanos, prompt_tokens, completion_tokens, cache_read_tokens,
    cache_write_tokens, api_requests, successful_requests, failed_requests)
SELECT 'call', started_at / 1800000000 * 1800000000, key_id, COALESCE(user_id, ''), team_id, '', customer_id, '', model,
    model_group, provider, '', '', SUM(cost_nanos), SUM(prompt_tokens), SUM(completion_tokens), SUM(100), 0, COUNT(*),
    SUM(CASE status WHEN 'success' THEN 1 ELSE 0 END), SUM(CASE status WHEN 'success' THEN 0 ELSE 1 END) FROM seed
    GROUP BY 2, 3, 4, 5, 7, 9, 10, 11
UNION ALL
SELECT 'tag', started_at / 1800000000 * 1800000000, key_id, COALESCE(user_id, ''), team_id, '', '', tag, '', '', '', '',
    '', SUM(cost_nanos), SUM(prompt_tokens), SUM(completion_tokens), SUM(100), 0, COUNT(*),
    SUM(CASE status WHEN 'success' THEN 1 ELSE 0 END), SUM(CASE status WHEN 'success' THEN 0 ELSE 1 END) FROM seed
    GROUP BY 2, 3, 4, 5, 8
UNION ALL
SELECT 'failure', started_at / 1800000000 * 1800000000, '', '', '', '', '', '', model, model_group, provider, deployment,
    error_code, SUM(cost_nanos), SUM(prompt_tokens), SUM(completion_tokens), SUM(100), 0, COUNT(*), 0, COUNT(*)
    FROM seed WHERE status = 'failure' GROUP BY 2, 9, 10, 11, 12, 13;

DROP TABLE seed;
