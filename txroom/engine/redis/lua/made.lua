-- The room is created, or could not be created: no more clients wait for it. For a moment they still get it,
-- since its listing may not have reached all nodes.
--
-- KEYS[1]  the room that was being created
-- ARGV[1]  the token of the caller that created it
-- ARGV[2]  for how many milliseconds clients still get it; 0: it could not be created
--
-- Returns 1; 0 if another room is being created meanwhile, or none.
if redis.call('HGET', KEYS[1], 'tok') ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'made', 1)
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
