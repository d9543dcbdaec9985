-- Give a room to a node, or to the next one that asks for it. It may be called again with the same arguments,
-- to no effect.
--
-- KEYS[1]  the fields of the room
-- ARGV[1]  the owner's token
-- ARGV[2]  the token that the room gets, random
-- ARGV[3]  the node that may claim the room; empty: any node
--
-- Returns 1.
-- Errors: NOROOM; FENCED: the token is not the owner's.
local token = redis.call('HGET', KEYS[1], 'tok')
if not token then return redis.error_reply('NOROOM there is no such room') end
if token == ARGV[2] then return 1 end
if token ~= ARGV[1] then return redis.error_reply('FENCED the room has another owner') end
-- After a write that takes no memory, HSET is allowed if the memory is full.
redis.call('HDEL', KEYS[1], 'counted', 'died', 'level', 'until')
redis.call('HSET', KEYS[1], 'tok', ARGV[2], 'node', ARGV[3])
return 1
