-- Lets a reservation live longer.
--
-- ARGV: prefix, reservation, how long it lives from now on in milliseconds.
local prefix, id, lives = ARGV[1], ARGV[2], tonumber(ARGV[3])
local reservation = prefix .. ':reservation:' .. id
local text = redis.call('GET', reservation)
if not text then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('PEXPIRE', reservation, lives)
for _, of in ipairs(cjson.decode(text).accounts) do
  local slots = prefix .. ':slots:' .. of[1]
  redis.call('ZADD', slots, 'XX', now + lives, id)
  if redis.call('PTTL', slots) < lives then
    redis.call('PEXPIRE', slots, lives)
  end
end
return 1
