-- Counts the open films anew. Their counters cannot drift by what these scripts do, but a worker of 0.1.0 beside us,
-- or a hand, may leave them too high, and then nothing would be accepted any more.
-- ARGV: how many films to count at most; nothing is done where more are open.
-- Returns 1 where the counters were wrong.
if redis.call('ZCARD', OPEN) > tonumber(ARGV[1]) then return 0 end

local bytes, of_site = 0, {}
for _, id in ipairs(redis.call('ZRANGE', OPEN, 0, -1)) do
  local field = redis.call('HMGET', instance(id), 'site', 'bytes')
  bytes = bytes + tonumber(field[2] or 0)
  if field[1] then of_site[field[1]] = (of_site[field[1]] or 0) + 1 end
end

local was_wrong = tonumber(redis.call('GET', OPEN_BYTES) or 0) ~= bytes
local counted = redis.call('HGETALL', OPEN_OF_SITE)
local sites_counted, sites_open = #counted / 2, 0
for at = 1, #counted, 2 do was_wrong = was_wrong or tonumber(counted[at + 1]) ~= of_site[counted[at]] end
for _ in pairs(of_site) do sites_open = sites_open + 1 end
if not was_wrong and sites_open == sites_counted then return 0 end

redis.call('DEL', OPEN_BYTES, OPEN_OF_SITE) -- frees first, see shared.lua
if bytes > 0 then redis.call('SET', OPEN_BYTES, string.format('%.0f', bytes)) end
for site, films in pairs(of_site) do redis.call('HSET', OPEN_OF_SITE, site, films) end
return 1
