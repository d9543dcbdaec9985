-- Check that the caller owns a room and that the room has all its records, and remember which Redis said
-- so.
--
-- KEYS[1]  the fields of the room
-- ARGV[1]  the owner's token
-- ARGV[2]  the number of records that the room must have
-- ARGV[3]  the identity of Redis's data
--
-- Returns the number of records in the room.
-- Errors: NOROOM; FENCED: the token is not the owner's; HOLE <have>: the room has another number of records.
-- It has more if they belong to a former owner's history that went on elsewhere.
local room = redis.call('HMGET', KEYS[1], 'tok', 'seq', 'run')
if not room[1] then return redis.error_reply('NOROOM there is no such room') end
if room[1] ~= ARGV[1] then return redis.error_reply('FENCED the room has another owner') end
local have = tonumber(room[2])
if have ~= tonumber(ARGV[2]) then return redis.error_reply('HOLE ' .. have) end
if room[3] ~= ARGV[3] then redis.call('HSET', KEYS[1], 'run', ARGV[3]) end
return have
