-- Read the notifications of a user, and acknowledge them.
--
-- ARGV[5]  the id of the device; empty: none
-- ARGV[6]  the epoch of a place; empty: there is none, and the device's place is meant
-- ARGV[7]  the number of that place
-- ARGV[8]  what to do: `open` (a page begins to read after the place, which it has handled), `read` (after the
--          place), `acknowledge` (up to the place)
-- ARGV[9]  the most notifications to return
-- ARGV[10] the most bytes of their data; one is returned in any case
-- ARGV[11] the most devices
--
-- Returns {epoch, after, last, isLost, number, type, data, …}: after which number the notifications begin, the
-- number of the newest one, and whether the place was not known.
local what, device, n, isLost = ARGV[8], ARGV[5], nil, 0
local function used(upTo)
  if upTo > acknowledged then
    acknowledged = upTo
    redis.call('HSET', KEYS[1], 'a', upTo)
  end
end
local cursor = device ~= '' and redis.call('HGET', KEYS[3], device)
if cursor then cursor = tonumber(string.match(cursor, '^%d+')) end
if ARGV[6] == '' then
  n = cursor or acknowledged
else
  if ARGV[6] == epoch then n = math.min(tonumber(ARGV[7]), last) end
  for e, its in string.gmatch(former, '(%S+) (%d+)') do
    if not n and e == ARGV[6] then n = math.min(tonumber(ARGV[7]), tonumber(its)) end
  end
  if not n then
    local first = oldest()
    n, isLost = (first and first.n or last + 1) - 1, 1
  end
  if what == 'open' or (what == 'acknowledge' and isLost == 0) then used(n) end
end
if device ~= '' and (what == 'open' or (what == 'acknowledge' and isLost == 0)) then
  uses = uses + 1
  redis.call('HSET', KEYS[1], 's', uses)
  redis.call('HSET', KEYS[3], device, math.max(n, cursor or 0) .. ' ' .. uses)
  if redis.call('HLEN', KEYS[3]) > tonumber(ARGV[11]) then
    local devices, eldest, least = redis.call('HGETALL', KEYS[3]), nil, uses
    for i = 1, #devices, 2 do
      local use = tonumber(string.match(devices[i + 1], '%d+$'))
      if use < least then eldest, least = devices[i], use end
    end
    redis.call('HDEL', KEYS[3], eldest)
  end
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
local answer, from = {epoch, n, last, isLost}, n + 1
local left, size = tonumber(ARGV[9]), tonumber(ARGV[10])
while left > 0 do
  local entries = redis.call('XRANGE', KEYS[2], from .. '-0', '+', 'COUNT', left)
  if #entries == 0 then break end
  for _, each in ipairs(entries) do
    local entry, number = {}, tonumber(string.match(each[1], '^%d+'))
    for i = 1, #each[2], 2 do entry[each[2][i]] = each[2][i + 1] end
    if entry.x == '0' or tonumber(entry.x) > now then
      size = size - #entry.d
      if size < 0 and #answer > 4 then return answer end
      left = left - 1
      table.insert(answer, number)
      table.insert(answer, entry.t)
      table.insert(answer, entry.d)
    end
    from = number + 1
  end
end
return answer
