-- A node can't open a room that no node has: remember since when that is so.
--
-- KEYS[1]  the fields of the room
--
-- Returns since when no node could open the room, in milliseconds of Redis's clock; 0 if there is no such room.
if redis.call('HEXISTS', KEYS[1], 'tok') == 0 then return 0 end
local time = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'stranded', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return tonumber(redis.call('HGET', KEYS[1], 'stranded'))
