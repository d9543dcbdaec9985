-- Create a room for the clients that look for a room with the same key, or wait for one that is being
-- created. A client gets one of the seats of that room; if none is left, the next room is begun.
--
-- KEYS[1]  the room that is being created
-- ARGV[1]  the id of the new room, should there be one
-- ARGV[2]  the node of the caller
-- ARGV[3]  the caller's token, random
-- ARGV[4]  the number of clients that the room takes, the caller's included; 0: any number
-- ARGV[5]  for how many milliseconds clients may wait for it
--
-- Returns {1, room, node} if the caller has to create the room, else {0, room, node} with another node's.
local made = redis.call('HMGET', KEYS[1], 'room', 'node', 'tok', 'seats', 'waiters')
if made[1] then
  if made[3] == ARGV[3] then return {1, made[1], made[2]} end
  local seats = tonumber(made[4])
  if seats == 0 or tonumber(made[5]) + 1 < seats then
    redis.call('HINCRBY', KEYS[1], 'waiters', 1)
    return {0, made[1], made[2]}
  end
end
redis.call('HSET', KEYS[1], 'room', ARGV[1], 'node', ARGV[2], 'tok', ARGV[3], 'seats', ARGV[4], 'waiters', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, ARGV[1], ARGV[2]}
