-- Return the lease of a node and the newest of all leases, as they were when the former Redis was stopped. Each
-- node asks that for each new connection, before it renews its lease. The first one to ask a new Redis still
-- finds all leases as they were, so the newest is remembered for the others.
--
-- KEYS[1]  the nodes, and when their leases expire, in milliseconds
-- KEYS[2]  the newest lease, and for which Redis it was found
-- ARGV[1]  the node
-- ARGV[2]  the run_id of this Redis
--
-- Returns {own, newest, now}, in milliseconds of Redis's clock; -1: there is none.
local time = redis.call('TIME')
local own = redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1'
local known = redis.call('HMGET', KEYS[2], 'run', 'newest')
if known[1] ~= ARGV[2] then
  known[2] = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2] or '-1'
  redis.call('DEL', KEYS[2]) -- after a write that takes no memory, HSET is allowed if the memory is full
  redis.call('HSET', KEYS[2], 'run', ARGV[2], 'newest', known[2])
end
return {tonumber(own), tonumber(known[2]), time[1] * 1000 + math.floor(time[2] / 1000)}
