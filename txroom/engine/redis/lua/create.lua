-- Count a new room, unless there are as many rooms of its name as there may be. A room counts from here on,
-- until its listing is removed; the rooms of a node that died count until they are adopted or removed.
--
-- KEYS[1]  the listings of the rooms of this name
-- KEYS[2]  the age of the newest room
-- ARGV[1]  the id of the new room
-- ARGV[2]  the value that stands for its listing until it has one
-- ARGV[3]  the most rooms; 0: any number
-- ARGV[4]  the greatest age that the caller knows; Redis may have lost it
--
-- Returns {1, age}, {0, rooms} if there are too many, or {-1, 0} if there is a room of that id.
local rooms, most = redis.call('HLEN', KEYS[1]), tonumber(ARGV[3])
if most > 0 and rooms >= most and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {0, rooms} end
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return {-1, 0} end
local age = redis.call('INCR', KEYS[2])
if age <= tonumber(ARGV[4]) then
  age = tonumber(ARGV[4]) + 1
  redis.call('SET', KEYS[2], string.format('%.0f', age))
end
return {1, age}
