-- Found a room again in a Redis that has lost it, or a part of it. The caller's lease must never have
-- lapsed, so that no other node can have become the owner. It may be called again with the same arguments,
-- to no effect.
--
-- KEYS[1]  the fields of the room
-- KEYS[2]  its log
-- KEYS[3]  its grave
-- ARGV[1]  the token that the owner had until now
-- ARGV[2]  its new token, random. An old copy of Redis's data must not have it
-- ARGV[3]  its node
-- ARGV[4]  the generation
-- ARGV[5]  the new epoch, random
-- ARGV[6]  the identity of Redis's data
-- ARGV[7]  the application of the room
-- ARGV[8]  the name of the room
-- ARGV[9]  its age
-- ARGV[10] the version of the data
-- ARGV[11] the number of records that are contained in this state
-- ARGV[12] the offset of the newest entry
-- ARGV[13] until: if there is no such room then, in milliseconds of Redis's clock, it may have had another owner
--          and ended, so long ago that its grave is gone
-- ARGV[14] parts: how many parts of the log follow
-- ARGV[15]… the offset of the newest entry, and the entries as MessagePack, of each part; then the name and
--          value of each field
--
-- Returns the number of records in the room.
-- Errors: FENCED: the room has another owner, or has ended.
local room = redis.call('HMGET', KEYS[1], 'tok', 'seq')
if room[1] == ARGV[2] then return tonumber(room[2]) end
local time = redis.call('TIME')
local isLate = time[1] * 1000 + math.floor(time[2] / 1000) > tonumber(ARGV[13])
local isEnded = not room[1] and (isLate or redis.call('EXISTS', KEYS[3]) == 1)
if isEnded or (room[1] and room[1] ~= ARGV[1]) then
  return redis.error_reply('FENCED the room has another owner')
end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'tok', ARGV[2], 'node', ARGV[3], 'gen', ARGV[4], 'epoch', ARGV[5], 'run', ARGV[6],
  'app', ARGV[7], 'name', ARGV[8], 'age', ARGV[9], 'v', ARGV[10], 'seq', ARGV[11], 'off', ARGV[12])
local last = 14 + 2 * tonumber(ARGV[14])
for part = 15, last, 2 do redis.call('XADD', KEYS[2], ARGV[part] .. '-0', 'e', ARGV[part + 1]) end
for first = last + 1, #ARGV, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
return tonumber(ARGV[11])
