-- A node can't open a room that no node has: remember since when that is so. If no node has failed to open it
-- for 15 minutes, which is longer than the pauses between attempts, it was open since: the time begins now.
--
-- KEYS[1]  the fields of the room
--
-- Returns since when no node could open the room, in milliseconds of Redis's clock; 0 if there is no such room.
local room = redis.call('HMGET', KEYS[1], 'tok', 'stranded', 'tried')
if not room[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(room[2] or now)
if math.abs(now - (room[3] or 0)) > 900000 then since = now end
redis.call('HSET', KEYS[1], 'stranded', string.format('%.0f', since), 'tried', string.format('%.0f', now))
return since
