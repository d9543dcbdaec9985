-- Append the records of one turn to a room. Nothing is changed unless the caller owns the room, and the
-- room has exactly the records before this batch. It may be called again with the same arguments, to no
-- effect.
--
-- KEYS[1]  the fields of the room
-- KEYS[2]  its log
-- ARGV[1]  the owner's token
-- ARGV[2]  from: the number of records before this batch
-- ARGV[3]  to: the number of records after it; the same as `from`: the log is trimmed, and nothing else
-- ARGV[4]  least: the log may forget entries with smaller offsets; 0: none
-- ARGV[5]  the offset of the newest entry
-- ARGV[6]  the new entries as MessagePack; empty: none
-- ARGV[7]  removals: how many fields are removed
-- ARGV[8]… the names of these fields, then the name and value of each field to set
--
-- Returns the number of records in the room, `to` or more.
-- Errors: NOROOM; FENCED: the token is not the owner's; HOLE <have>: the room has only so many records.
local room = redis.call('HMGET', KEYS[1], 'tok', 'seq')
if not room[1] then return redis.error_reply('NOROOM there is no such room') end
if room[1] ~= ARGV[1] then return redis.error_reply('FENCED the room has another owner') end
local have, from, to = tonumber(room[2]), tonumber(ARGV[2]), tonumber(ARGV[3])
if have > from and have >= to then return have end
if have ~= from then return redis.error_reply('HOLE ' .. have) end
if from == to then -- this takes no memory, so that it is possible if the memory is full
  redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[4])
  return to
end
-- If the memory is full, Redis refuses the first write of a script and no later one. So the first write has
-- to be one that takes memory: a removal would succeed, and the rest of the batch would not.
if ARGV[6] ~= '' then redis.call('XADD', KEYS[2], ARGV[5] .. '-0', 'e', ARGV[6]) end
redis.call('HSET', KEYS[1], 'seq', ARGV[3], 'off', ARGV[5])
if ARGV[4] ~= '0' then redis.call('XTRIM', KEYS[2], 'MINID', '~', ARGV[4]) end
local last = 7 + tonumber(ARGV[7])
for first = 8, last, 1000 do
  redis.call('HDEL', KEYS[1], unpack(ARGV, first, math.min(first + 999, last)))
end
for first = last + 1, #ARGV, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
return to
