-- What the scripts of notifications begin with: the queue of a user, which is begun if there is none.
--
-- KEYS[1]  the queue, a HASH: its epoch (e), the last number (n), the identity of the data (r), the highest
--          number that was acknowledged (a), the former epochs and where they ended (f), the bytes of the log
--          (b), a counter for devices (s)
-- KEYS[2]  its log, a STREAM: the id is the number; type (t), data (d), when it expires (x; 0: never)
-- KEYS[3]  its devices, a HASH: the number that each has acknowledged, and the counter when it did that
-- ARGV[1]  the identity of Redis's data; if it is another one, the newest notifications may be lost
-- ARGV[2]  the epoch of a new queue
-- ARGV[3]  for how many milliseconds the queue is kept
-- ARGV[4]  how many former epochs are remembered
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local had = redis.call('HMGET', KEYS[1], 'e', 'n', 'r', 'a', 'f', 'b', 's')
local epoch, last, acknowledged = had[1], tonumber(had[2] or 0), tonumber(had[4] or 0)
local former, bytes, uses = had[5] or '', tonumber(had[6] or 0), tonumber(had[7] or 0)
if epoch and had[3] ~= ARGV[1] then
  local kept, count = epoch .. ' ' .. last, 1
  for each in string.gmatch(former, '%S+ %d+') do
    if count < tonumber(ARGV[4]) then kept, count = kept .. ' ' .. each, count + 1 end
  end
  former = kept
end
local isNew = not epoch
if isNew or had[3] ~= ARGV[1] then epoch = ARGV[2] end
-- If the memory is full, Redis refuses the first write of a script and no later one, so this is the first.
redis.call('HSET', KEYS[1], 'e', epoch, 'n', last, 'r', ARGV[1], 'a', acknowledged, 'f', former, 'b', bytes,
  's', uses)
if isNew then redis.call('DEL', KEYS[2], KEYS[3]) end
for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
local function oldest()
  local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not first then return end
  local entry = {n = tonumber(string.match(first[1], '^%d+')), id = first[1]}
  for i = 1, #first[2], 2 do entry[first[2][i]] = first[2][i + 1] end
  return entry
end
