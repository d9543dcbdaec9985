-- Send a notification to a user: add it to the queue, and tell the nodes that the user is connected to.
--
-- KEYS[4]  the idempotency keys, a HASH: when each is forgotten, its epoch and number, and its digest
-- KEYS[5]  the idempotency keys, a ZSET: when each is forgotten, in milliseconds
-- ARGV[5]  the channel of the user, and
-- ARGV[6]  what is published there
-- ARGV[7]  the most notifications in the queue; 0: this one is not added
-- ARGV[8]  the most bytes of the queue
-- ARGV[9]  for how many milliseconds it is kept; 0: as long as the queue
-- ARGV[10] its type
-- ARGV[11] its data
-- ARGV[12] the idempotency key; empty: none
-- ARGV[13] its digest
-- ARGV[14] for how many milliseconds the key is remembered
-- ARGV[15] the most keys that are remembered, and
-- ARGV[16] the most bytes of them
-- ARGV[17] what a notification and a key count as, besides their texts, in bytes
--
-- Returns {epoch, number, listening, isRepeated, dropped}: how many nodes were told, whether the key is known,
-- so that nothing was done, and how many notifications were dropped that had not expired; the number is 0 if it
-- was not queued. If the key has another digest: an empty array.
local key, limit, overhead = ARGV[12], tonumber(ARGV[7]), tonumber(ARGV[17])
if isNew then redis.call('DEL', KEYS[4], KEYS[5]) end
local function forget(key)
  local known = redis.call('HGET', KEYS[4], key)
  redis.call('HDEL', KEYS[4], key)
  redis.call('ZREM', KEYS[5], key)
  return known and #key + #string.match(known, '^%d+ %S+ %d+ (.*)$') + overhead or 0
end
local known = key ~= '' and redis.call('HGET', KEYS[4], key)
if known then
  local expiry, e, n, digest = string.match(known, '^(%d+) (%S+) (%d+) (.*)$')
  if tonumber(expiry) > now then
    if digest ~= ARGV[13] then return {} end
    return {e, tonumber(n), redis.call('PUBLISH', ARGV[5], ''), 1, 0}
  end
end
local n, dropped = limit > 0 and last + 1 or 0, 0
-- The key comes first: a script that failed after it has added the notification would be repeated.
if key ~= '' then
  local expiry = now + tonumber(ARGV[14])
  local size = 0 -- the keys may have expired before the queue
  if redis.call('EXISTS', KEYS[4]) == 1 then
    size = tonumber(redis.call('HGET', KEYS[1], 'k') or 0) - forget(key)
  end
  redis.call('HSET', KEYS[4], key, expiry .. ' ' .. epoch .. ' ' .. n .. ' ' .. ARGV[13])
  redis.call('ZADD', KEYS[5], expiry, key)
  size = size + #key + #ARGV[13] + overhead
  while true do
    local first = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
    if not first[1] then break end
    local isOver = redis.call('ZCARD', KEYS[5]) > tonumber(ARGV[15]) or size > tonumber(ARGV[16])
    if not isOver and tonumber(first[2]) > now then break end
    size = size - forget(first[1])
  end
  redis.call('HSET', KEYS[1], 'k', size)
  for i = 4, 5 do redis.call('PEXPIRE', KEYS[i], ARGV[14]) end
end
if limit > 0 then
  bytes = bytes + #ARGV[10] + #ARGV[11] + overhead
  local expiry = 0
  if ARGV[9] ~= '0' then expiry = now + tonumber(ARGV[9]) end
  redis.call('XADD', KEYS[2], n .. '-0', 't', ARGV[10], 'd', ARGV[11], 'x', expiry)
  local count = redis.call('XLEN', KEYS[2])
  while true do
    local entry = oldest()
    if not entry then break end
    local isExpired = entry.x ~= '0' and tonumber(entry.x) <= now
    if count <= limit and bytes <= tonumber(ARGV[8]) and not isExpired then break end
    if not isExpired then dropped = dropped + 1 end
    redis.call('XDEL', KEYS[2], entry.id)
    count = count - 1
    bytes = bytes - #entry.t - #entry.d - overhead
  end
  redis.call('HSET', KEYS[1], 'n', n, 'b', bytes)
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return {epoch, n, redis.call('PUBLISH', ARGV[5], ARGV[6]), 0, dropped}
