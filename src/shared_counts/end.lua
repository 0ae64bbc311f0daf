-- Ends a reservation, once.
--
-- ARGV: prefix, reservation, and the tokens that its call used, or '' if it was
-- not made.
local prefix, id, used = ARGV[1], ARGV[2], ARGV[3]
local reservation = prefix .. ':reservation:' .. id
local text = redis.call('GET', reservation)
if not text then
  return 0
end
redis.call('DEL', reservation)
local kept = cjson.decode(text)
for _, of in ipairs(kept.accounts) do
  local name, requests, tokens = of[1], of[2], of[3]
  redis.call('ZREM', prefix .. ':slots:' .. name, id)
  local minute = prefix .. ':minute:' .. name .. ':' .. kept.minute
  -- A minute that is forgotten has no room to correct.
  if redis.call('EXISTS', minute) == 1 then
    if used == '' then
      redis.call('HINCRBY', minute, 'requests', string.format('%.0f', 0 - tonumber(requests)))
    end
    local more = tonumber(used == '' and '0' or used) - tonumber(tokens)
    redis.call('HINCRBY', minute, 'tokens', string.format('%.0f', more))
  end
end
return 1
