-- Delete a room that has ended.
--
-- KEYS[1]  the fields of the room
-- KEYS[2]  its log
-- KEYS[3]  its grave
-- ARGV[1]  the owner's token
-- ARGV[2]  for how many milliseconds the room can't be created again by a command that comes late
-- ARGV[3]  what its grave says then; missing: the token
--
-- Returns 1; 0 if there is no such room.
-- Errors: FENCED: the token is not the owner's.
local token = redis.call('HGET', KEYS[1], 'tok')
if not token then return 0 end
if token ~= ARGV[1] then return redis.error_reply('FENCED the room has another owner') end
-- If the memory is full, Redis refuses the first write of a script if it takes memory, and no later one.
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], ARGV[3] or token, 'PX', ARGV[2])
return 1
