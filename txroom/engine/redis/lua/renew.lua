-- Renew the lease of a node, and return the leases of all nodes.
--
-- KEYS[1]  the nodes, and when their leases expire, in milliseconds
-- ARGV[1]  the node
-- ARGV[2]  for how many milliseconds its lease is valid; 0: the node stops
-- ARGV[3]  for how many milliseconds expired nodes are remembered
--
-- Returns {had, now, {node, expiry, node, expiry, ...}}. `had` is 1 if the node had a lease that had not
-- expired.
-- The times are in milliseconds of Redis's clock. The list has all nodes, this one and expired ones too.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local had = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or '-1')
-- After this write, which takes no memory, ZADD is allowed if the memory is full.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 2, #leases, 2 do leases[i] = tonumber(leases[i]) end
return {had > now and 1 or 0, now, leases}
