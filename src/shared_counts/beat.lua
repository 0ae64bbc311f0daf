-- Tells that an instance is there, and counts those that are.
--
-- ARGV: prefix, instance, for how many milliseconds it counts.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local instances = ARGV[1] .. ':instances'
redis.call('ZADD', instances, now + ARGV[3], ARGV[2])
redis.call('ZREMRANGEBYSCORE', instances, '-inf', now)
redis.call('PEXPIRE', instances, ARGV[3])
return redis.call('ZCARD', instances)
