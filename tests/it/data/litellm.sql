-- A database of the LiteLLM proxy: tables by its schema.prisma, with what a
-- small company may have in them.

CREATE TABLE "LiteLLM_BudgetTable" (
    budget_id text PRIMARY KEY, max_budget double precision, soft_budget double precision, max_parallel_requests int,
    tpm_limit bigint, rpm_limit bigint, model_max_budget jsonb, budget_duration text, budget_reset_at timestamp(3),
    created_at timestamp(3) NOT NULL DEFAULT now(), created_by text NOT NULL DEFAULT 'admin',
    updated_at timestamp(3) NOT NULL DEFAULT now(), updated_by text NOT NULL DEFAULT 'admin');
INSERT INTO "LiteLLM_BudgetTable" (budget_id, max_budget, rpm_limit, budget_duration) VALUES
    ('small-budget', 5, 100, '30d'), ('acme-budget', 1000, NULL, '1mo'), ('member-budget', 5, 10, NULL),
    ('empty-budget', NULL, NULL, NULL), ('own-budget', 7.5, NULL, '7d'),
    ('shopper-budget', 2, 30, '30d'), ('plan-budget', 3, NULL, NULL);

CREATE TABLE "LiteLLM_OrganizationTable" (
    organization_id text PRIMARY KEY, organization_alias text NOT NULL, budget_id text NOT NULL, metadata jsonb NOT NULL
    DEFAULT '{}', models text[], spend double precision NOT NULL DEFAULT 0, model_spend jsonb NOT NULL DEFAULT '{}',
    created_at timestamp(3) NOT NULL DEFAULT now(), created_by text NOT NULL, updated_by text NOT NULL);
INSERT INTO "LiteLLM_OrganizationTable" (organization_id, organization_alias, budget_id, models, spend, created_by, updated_by) VALUES
    ('acme', 'Acme', 'acme-budget', '{}', 20.125, 'admin', 'admin'), ('lab', 'Lab', 'empty-budget', '{gpt-4o}', 0, 'admin', 'admin');

CREATE TABLE "LiteLLM_UserTable" (
    user_id text PRIMARY KEY, user_alias text, team_id text, sso_user_id text, organization_id text, password text,
    teams text[] DEFAULT '{}', user_role text, max_budget double precision, spend double precision NOT NULL DEFAULT 0,
    user_email text, models text[], metadata jsonb NOT NULL DEFAULT '{}', max_parallel_requests int, tpm_limit bigint,
    rpm_limit bigint, budget_duration text, budget_reset_at timestamp(3), allowed_cache_controls text[] DEFAULT '{}',
    model_spend jsonb NOT NULL DEFAULT '{}', model_max_budget jsonb NOT NULL DEFAULT '{}', created_at timestamp(3));
INSERT INTO "LiteLLM_UserTable" (user_id, user_role, max_budget, spend, user_email, models, password, created_at) VALUES
    ('alice', 'internal_user', 100.1, 2e-9, 'alice@acme.example', '{}', 'scrypt:x', '2024-05-01T12:00:00'),
    ('bob', NULL, NULL, 0, 'Alice@acme.example', '{}', NULL, NULL),
    ('root', 'proxy_admin', NULL, 0, NULL, '{}', 'scrypt:y', NULL),
    ('olga', 'app_owner', NULL, 0, NULL, '{no-default-models}', NULL, NULL),
    ('erin', 'customer', NULL, 0, NULL, '{}', NULL, NULL);

CREATE TABLE "LiteLLM_OrganizationMembership" (
    user_id text, organization_id text, user_role text, spend double precision DEFAULT 0, budget_id text,
    created_at timestamp(3) DEFAULT now(), updated_at timestamp(3) DEFAULT now());
INSERT INTO "LiteLLM_OrganizationMembership" (user_id, organization_id, user_role, spend, budget_id) VALUES
    ('olga', 'acme', 'org_admin', 1.5, 'own-budget'), ('ghost', 'acme', 'internal_user', 0, NULL);

CREATE TABLE "LiteLLM_ModelTable" (
    id serial PRIMARY KEY, aliases jsonb, created_by text NOT NULL DEFAULT 'admin', updated_by text NOT NULL DEFAULT 'admin');
INSERT INTO "LiteLLM_ModelTable" (aliases) VALUES ('"{\"best\": \"gpt-4o\"}"');

CREATE TABLE "LiteLLM_TeamTable" (
    team_id text PRIMARY KEY, team_alias text, organization_id text, admins text[], members text[],
    members_with_roles jsonb NOT NULL DEFAULT '{}', metadata jsonb NOT NULL DEFAULT '{}', max_budget double precision,
    spend double precision NOT NULL DEFAULT 0, models text[], max_parallel_requests int, tpm_limit bigint, rpm_limit bigint,
    budget_duration text, budget_reset_at timestamp(3), blocked boolean NOT NULL DEFAULT false, model_id int,
    team_member_permissions text[] DEFAULT '{}', created_at timestamp(3) NOT NULL DEFAULT now());
INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, organization_id, members_with_roles, metadata, max_budget, spend, models, budget_duration, model_id, team_member_permissions) VALUES
    ('red', 'Red', 'acme', '[{"user_id": "alice", "role": "admin"}, {"user_id": "ghost", "role": "user"}, {"user_email": "x@y.z", "role": "user"}]',
     '{"team_member_budget_id": "member-budget", "floor": 3}', 50, 20.125, '{}', '30d', 1, '{/key/generate,/key/info,/what/ever}'),
    ('blue', NULL, NULL, '[{"user_id": "alice", "role": "user"}, {"user_id": "olga", "role": "user"}]', '{}', NULL, 0, '{gpt-4o}', NULL, NULL, '{}'),
    ('broken', NULL, NULL, '[]', '{}', 1, 0, '{}', 'monthly', NULL, '{}');

CREATE TABLE "LiteLLM_TeamMembership" (user_id text, team_id text, spend double precision NOT NULL DEFAULT 0, budget_id text);
INSERT INTO "LiteLLM_TeamMembership" VALUES ('alice', 'red', 2.25, 'own-budget');

CREATE TABLE "LiteLLM_VerificationToken" (
    token text PRIMARY KEY, key_name text, key_alias text, soft_budget_cooldown boolean NOT NULL DEFAULT false,
    spend double precision NOT NULL DEFAULT 0, expires timestamp(3), models text[], aliases jsonb NOT NULL DEFAULT '{}',
    config jsonb NOT NULL DEFAULT '{}', user_id text, team_id text, permissions jsonb NOT NULL DEFAULT '{}',
    max_parallel_requests int, metadata jsonb NOT NULL DEFAULT '{}', blocked boolean, tpm_limit bigint, rpm_limit bigint,
    max_budget double precision, budget_duration text, budget_reset_at timestamp(3), allowed_cache_controls text[] DEFAULT '{}',
    allowed_routes text[] DEFAULT '{}', model_spend jsonb NOT NULL DEFAULT '{}', model_max_budget jsonb NOT NULL DEFAULT '{}',
    budget_id text, organization_id text, created_at timestamp(3) DEFAULT now(), created_by text);
INSERT INTO "LiteLLM_VerificationToken" (token, key_name, key_alias, models, aliases, user_id, team_id, metadata, blocked, max_budget, spend, budget_id, allowed_routes, permissions) VALUES
    ('099295a3784e1bd368dc348843a7398c1931b6b8ec2504c73e91ed2040bdc46c', 'sk-...lice', 'alice-key', '{gpt-4o,gpt-4o-mini}', '{"small": "gpt-4o-mini"}', 'alice', NULL, '{"tags": ["research"], "model_rpm_limit": {"gpt-4o": 60}, "rpm_limit_type": "guaranteed_throughput", "tpm_limit_type": "odd"}', NULL, 25.5, 0.1, NULL, '{}', '{}'),
    ('bf3be4cc76b7a3e35d0cd8925131a965b19de67409012c44f1fac0b848fbbad6', 'sk-...tier', 'tier-key', '{}', '{}', NULL, NULL, '{}', false, NULL, 4.75, 'small-budget', '{}', '{}'),
    ('85c50e4097f3805676355508d5c00163ee9d184a46e4775ea4db6351ea7bf221', 'sk-...cked', 'blocked-key', '{}', '{}', 'alice', NULL, '{}', true, NULL, 0, NULL, '{}', '{}'),
    ('36c76b48bb2ee1d9d37140550e9d7ed7d395cf56f41050dc2a72e5291c0011f0', 'sk-...-bob', 'bob-key', '{}', '{}', 'bob', 'red', '{}', NULL, NULL, 0, NULL, '{llm_api_routes}', '{}'),
    ('1a26d5b29fa28bef596fed0b512376b3469940c4386351d27cbf1875a877d51c', 'sk-...obot', 'robot', '{all-team-models}', '{}', NULL, 'blue', '{"service_account_id": "robot"}', NULL, NULL, 0, NULL, '{}', '{}'),
    ('95b25a5af8c94aaeb182bb176032e8f59a1728a8b1aafdf0c1fe4f92c42eb2fa', 'sk-...phan', 'orphan', '{}', '{}', 'nobody', NULL, '{}', NULL, NULL, 0, NULL, '{}', '{}'),
    ('6528da8dc37c1714bf4ba335f31b7eecfaca05f7a601b0fa43a0591b529a37d8', 'sk-...rter', 'reporter', '{}', '{}', 'alice', NULL, '{}', NULL, NULL, 0, NULL, '{}', '{"get_spend_routes": true}'),
    ('0499cee6df9ecc42e25ceeabe71c6b9e3528bd4439776092dd0fe1849636ab7b', 'sk-...oard', NULL, '{}', '{}', 'alice', 'litellm-dashboard', '{}', NULL, NULL, 0, NULL, '{}', '{}'),
    ('ce78b0d98aba8b40589cca54e0cb2228e753db8e7d49f2c1b82398671cc159ae', 'sk-...utes', 'routes', '{}', '{}', 'alice', NULL, '{}', NULL, NULL, 0, NULL, '{/chat/completions}', '{}'),
    ('91e26f462ba6ae7d19f469f6bd7a40d44063e82609576a38b7b47f3b82d8b203', 'sk-...oken', 'broken-key', '{}', '{}', NULL, 'broken', '{}', NULL, NULL, 0, NULL, '{}', '{}'),
    ('sk-in-plain-text', 'sk-...text', 'plain', '{}', '{}', NULL, NULL, '{}', NULL, NULL, 0, NULL, '{}', '{}');

-- What the provider calls a model is encrypted; prices are not.
CREATE TABLE "LiteLLM_EndUserTable" (
    user_id text PRIMARY KEY, alias text, spend double precision NOT NULL DEFAULT 0, allowed_model_region text,
    default_model text, budget_id text, blocked boolean NOT NULL DEFAULT false);
INSERT INTO "LiteLLM_EndUserTable" (user_id, alias, spend, default_model, budget_id, blocked) VALUES
    ('shopper', 'Shopper', 0.75, 'gpt-4o', 'shopper-budget', false), ('member-1', NULL, 2.5, NULL, 'plan-budget', false),
    ('member-2', NULL, 0, NULL, 'plan-budget', false), ('banned', NULL, 0, NULL, NULL, true),
    (' odd ', NULL, 0, NULL, NULL, false);

CREATE TABLE "LiteLLM_ProxyModelTable" (
    model_id text PRIMARY KEY, model_name text NOT NULL, litellm_params jsonb NOT NULL, model_info jsonb,
    created_at timestamp(3) NOT NULL DEFAULT now(), created_by text NOT NULL DEFAULT '', updated_at timestamp(3) NOT NULL DEFAULT now());
INSERT INTO "LiteLLM_ProxyModelTable" (model_id, model_name, litellm_params, model_info) VALUES
    ('dep-1', 'house-4o', '{"model": "q83hf0aWqVb3", "api_key": "aG9oaG8", "input_cost_per_token": 0.000000421, "output_cost_per_token": "0.00000152"}',
     '{"id": "dep-1", "db_model": true, "base_model": "gpt-4o", "mode": "chat", "access_groups": ["beta"], "max_output_tokens": 4096, "input_cost_per_token": 0.5}'),
    ('dep-2', 'house-4o', '{"model": "q83hf0aWqVb3"}', '{"base_model": "gpt-4o-mini"}'),
    ('dep-3', 'anthropic/*', '{"model": "q83hf0aWqVb3"}', NULL),
    ('dep-5', 'model_name_red_1', '{"model": "q83hf0aWqVb3"}', '{"team_id": "red", "team_public_model_name": "own"}'),
    ('dep-4', 'dear', '{"model": "q83hf0aWqVb3", "input_cost_per_token": 3}', '{}');
