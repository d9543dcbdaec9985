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
-- ARGV[6]  dead: the token of a creator whose node is gone, so that the next room is begun; empty: none
-- ARGV[7]  waited: the token of the creator for whose room the caller has waited, so that it has a seat there
--          already; empty: none
-- ARGV[8]… the rooms that the client has tried already
--
-- Returns {1, room, node, token, 0} if the caller has to create the room, else {0, room, node, token, isMade}
-- with another one, and its creator's token. `isMade` is 1 if that room is open, and 0 if the caller has to
-- wait for it.
local made = redis.call('HMGET', KEYS[1], 'room', 'node', 'tok', 'seats', 'waiters', 'made')
local isOver = not made[1] or made[3] == ARGV[6]
for i = 8, #ARGV do isOver = isOver or ARGV[i] == made[1] end
if not isOver then
  if made[3] == ARGV[3] then return {1, made[1], made[2], made[3], 0} end
  local answer = {0, made[1], made[2], made[3], tonumber(made[6])}
  if made[3] == ARGV[7] then return answer end
  local seats = tonumber(made[4])
  if seats == 0 or tonumber(made[5]) + 1 < seats then
    redis.call('HINCRBY', KEYS[1], 'waiters', 1)
    return answer
  end
end
redis.call('HSET', KEYS[1], 'room', ARGV[1], 'node', ARGV[2], 'tok', ARGV[3], 'seats', ARGV[4], 'waiters', 0,
  'made', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, ARGV[1], ARGV[2], ARGV[3], 0}
