-- Become the owner of a room, unless another node has become it since the caller looked. It may be called
-- again with the same arguments, to no effect.
--
-- KEYS[1]  the fields of the room
-- KEYS[2]  its grave
-- ARGV[1]  seen: the token that the room had when the caller looked; empty: there was no room
-- ARGV[2]  the new token, random
-- ARGV[3]  the node of the new owner
-- ARGV[4]  the new epoch, should there be one, random
-- ARGV[5]  the identity of Redis's data
-- ARGV[6]  durable: 1 if Redis never loses data, so that the epoch is kept although that has changed
-- ARGV[7]  died: 1 if the former owner died, and didn't hand the room over
-- ARGV[8]  the application of a new room
-- ARGV[9]  the name of a new room
-- ARGV[10] the age of a new room
-- ARGV[11] the version of the data
-- ARGV[12] keyed: 1 if a request with a key creates the room, which may be repeated if the room was never open;
--          but not the claim that the grave was left by
--
-- Returns {1, generation, epoch, isNew} to the new owner, {0} if there is another one, or the room has
-- ended, {-1, milliseconds} if owners of the room have died too often: the caller has to wait so long, and
-- {-2, version} if the room has data of a version that is no neighbour of the caller's.
local longest = 300000 -- nobody has to wait for longer, in milliseconds
local room = redis.call('HMGET', KEYS[1], 'tok', 'epoch', 'run', 'gen', 'v')
local token = room[1] or ''
if token == ARGV[2] then return {1, tonumber(room[4]), room[2], 0} end
if token ~= ARGV[1] then return {0} end
local grave = token == '' and redis.call('GET', KEYS[2])
if grave and (ARGV[12] ~= '1' or grave == 'ended' or grave == ARGV[2]) then return {0} end
local version = tonumber(room[5] or ARGV[11])
if math.abs(version - ARGV[11]) > 1 then return {-2, version} end
version = math.max(version, ARGV[11]) -- the data of a later version stays
if ARGV[7] == '1' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local old = redis.call('HMGET', KEYS[1], 'counted', 'died', 'level', 'until')
  local level, until_ = tonumber(old[3] or '-1'), tonumber(old[4] or '0')
  if old[1] ~= token then -- each owner is counted once
    local times = {}
    for at in string.gmatch(old[2] or '', '%d+') do
      if math.abs(now - at) < 60000 then table.insert(times, at) end
    end
    table.insert(times, string.format('%.0f', now))
    local isRecent = math.abs(now - until_) < 60000
    if #times >= 3 or isRecent then
      level = isRecent and math.min(level + 1, 4) or 0
      until_ = now + math.min(30000 * 2 ^ level, longest)
      times = {}
    end
    redis.call('HSET', KEYS[1], 'counted', token, 'died', table.concat(times, ' '),
      'level', level, 'until', string.format('%.0f', until_))
  end
  local left = until_ - now
  if left > 0 and left <= longest then return {-1, left} end
end
local epoch, isNew = room[2], 0
if not epoch or (room[3] ~= ARGV[5] and ARGV[6] ~= '1') then epoch = ARGV[4] end
if token == '' then
  isNew = 1
  if grave then redis.call('DEL', KEYS[2]) end
  redis.call('HSET', KEYS[1], 'seq', 0, 'off', 0, 'app', ARGV[8], 'name', ARGV[9], 'age', ARGV[10])
end
redis.call('HSET', KEYS[1], 'tok', ARGV[2], 'node', ARGV[3], 'epoch', epoch, 'run', ARGV[5], 'v', version)
return {1, redis.call('HINCRBY', KEYS[1], 'gen', 1), epoch, isNew}
