-- Adds tokens that were used without a reservation.
--
-- ARGV: prefix, minute, then for each account its name and the tokens.
local MINUTE_LIVES = 120000
local prefix, minute = ARGV[1], ARGV[2]
for at = 3, #ARGV, 2 do
  local key = prefix .. ':minute:' .. ARGV[at] .. ':' .. minute
  redis.call('HINCRBY', key, 'tokens', ARGV[at + 1])
  redis.call('PEXPIRE', key, MINUTE_LIVES)
end
return 1
