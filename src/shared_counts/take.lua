-- Takes calls, tokens and slots of all accounts, or of none.
--
-- ARGV: prefix, minute, reservation or '', how long it lives in milliseconds,
-- then for each account its name, and for each of calls, tokens and slots: the
-- limit or '', what must fit, what is added.
--
-- Gives: 1 if it was taken, else 0; then for each account what is taken of calls,
-- tokens and slots.
local PER_ACCOUNT = 10
local MINUTE_LIVES = 120000
local prefix, minute, id, lives = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reservation = prefix .. ':reservation:' .. id
local repeated = id ~= '' and redis.call('EXISTS', reservation) == 1

local accounts, fits = {}, true
for at = 5, #ARGV, PER_ACCOUNT do
  local of = {
    name = ARGV[at],
    minute = prefix .. ':minute:' .. ARGV[at] .. ':' .. minute,
    slots = prefix .. ':slots:' .. ARGV[at],
    add = { ARGV[at + 3], ARGV[at + 6], ARGV[at + 9] },
  }
  local counted = redis.call('HMGET', of.minute, 'requests', 'tokens')
  local in_flight = 0
  if ARGV[at + 7] ~= '' then
    redis.call('ZREMRANGEBYSCORE', of.slots, '-inf', now)
    in_flight = redis.call('ZCARD', of.slots)
  end
  of.taken = { tonumber(counted[1] or '0'), tonumber(counted[2] or '0'), in_flight }
  for kind = 1, 3 do
    local limit, need = tonumber(ARGV[at + 3 * kind - 2]), tonumber(ARGV[at + 3 * kind - 1])
    if limit and of.taken[kind] + need > limit then
      fits = false
    end
  end
  accounts[#accounts + 1] = of
end

local answer = { (fits or repeated) and 1 or 0 }
local kept = {}
for _, of in ipairs(accounts) do
  if fits and not repeated then
    for kind, field in ipairs({ 'requests', 'tokens' }) do
      if of.add[kind] ~= '0' then
        of.taken[kind] = redis.call('HINCRBY', of.minute, field, of.add[kind])
        redis.call('PEXPIRE', of.minute, MINUTE_LIVES)
      end
    end
    if id ~= '' and of.add[3] ~= '0' then
      redis.call('ZADD', of.slots, now + lives, id)
      if redis.call('PTTL', of.slots) < lives then
        redis.call('PEXPIRE', of.slots, lives)
      end
      of.taken[3] = of.taken[3] + 1
    end
    kept[#kept + 1] = { of.name, of.add[1], of.add[2] }
  end
  for kind = 1, 3 do
    answer[#answer + 1] = of.taken[kind]
  end
end
if id ~= '' and fits and not repeated then
  redis.call('SET', reservation, cjson.encode({ minute = minute, accounts = kept }), 'PX', lives)
end
return answer
