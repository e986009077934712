-- Notes that a worker lives, by Redis' clock, and forgets those silent for ARGV[3] ms. ARGV: consumer, status, ms.
local now = now_ms()
redis.call('HDEL', WORKERS, ARGV[1]) -- frees first, see shared.lua
redis.call('HSET', WORKERS, ARGV[1], string.format('%.0f|', now) .. ARGV[2])

-- Deleting a consumer deletes what it holds with it, so only one that holds nothing may go.
local function holds_nothing(consumer)
  for _, priority in ipairs(PRIORITIES) do
    if #pending(priority, '-', '+', 1, consumer) > 0 then return false end
  end
  return true
end

local all = redis.call('HGETALL', WORKERS)
for at = 1, #all, 2 do
  local consumer, beat_ms = all[at], tonumber(string.match(all[at + 1], '^(%d+)|') or 0)
  if now - beat_ms > tonumber(ARGV[3]) and holds_nothing(consumer) then
    redis.call('HDEL', WORKERS, consumer)
    redis.call('HDEL', REPLIES, consumer, consumer .. ':reap')
    for _, priority in ipairs(PRIORITIES) do
      redis.pcall('XGROUP', 'DELCONSUMER', stream(priority), GROUP, consumer) -- no stream or group: nothing to delete
    end
  end
end
