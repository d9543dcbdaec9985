-- The room is created, or could not be created: no more clients wait for it.
--
-- KEYS[1]  the room that was being created
-- ARGV[1]  the token of the caller that created it
--
-- Returns 1; 0 if another room is being created meanwhile, or none.
if redis.call('HGET', KEYS[1], 'tok') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
