-- Create a room for the clients that look for a room with the same key, or get one that is being created or
-- was created a moment ago. A client gets one of the seats of that room; if none is left, the next room is
-- begun.
--
-- KEYS[1]  the room that is being created
-- ARGV[1]  the id of the new room, should there be one
-- ARGV[2]  the node of the caller
-- ARGV[3]  the caller's token, random
-- ARGV[4]  the number of clients that the room takes, the caller's included; 0: any number
-- ARGV[5]  for how many milliseconds clients may wait for it
-- ARGV[6]… the rooms that the client has tried already
--
-- Returns {1, room, node, 0} if the caller has to create the room, else {0, room, node, isMade} with another
-- one. `isMade` is 1 if that room is open, and 0 if the caller has to wait for it.
local made = redis.call('HMGET', KEYS[1], 'room', 'node', 'tok', 'seats', 'waiters', 'made')
local isTried = false
for i = 6, #ARGV do isTried = isTried or ARGV[i] == made[1] end
if made[1] and not isTried then
  if made[3] == ARGV[3] then return {1, made[1], made[2], 0} end
  local seats = tonumber(made[4])
  if seats == 0 or tonumber(made[5]) + 1 < seats then
    redis.call('HINCRBY', KEYS[1], 'waiters', 1)
    return {0, made[1], made[2], tonumber(made[6])}
  end
end
redis.call('HSET', KEYS[1], 'room', ARGV[1], 'node', ARGV[2], 'tok', ARGV[3], 'seats', ARGV[4], 'waiters', 0,
  'made', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, ARGV[1], ARGV[2], 0}
