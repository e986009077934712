-- Lets decisions that were given up for a target be sent once more, as if for the first time. ARGV: target, how many at
-- most, then members; all where there are none. Returns how many, and of how many of them the film is past retention.
local target, requeued, without_payload = ARGV[1], 0, 0
local dead, now = delivery_key('dead', target), now_ms()

local function requeue(member)
  if redis.call('ZREM', dead, member) == 0 then return end
  redis.call('HDEL', delivery_key('notes', target), member)
  redis.call('ZADD', delivery_key('due', target), now, member)
  redis.call('ZADD', delivery_key('since', target), now, member)
  requeued = requeued + 1
  local id = string.match(member, '^%x+')
  if not redis.call('HGET', instance(id), 'payload') then without_payload = without_payload + 1 end
end

for at = 3, #ARGV do requeue(ARGV[at]) end
if #ARGV == 2 then
  for _, member in ipairs(redis.call('ZRANGE', dead, 0, tonumber(ARGV[2]) - 1)) do requeue(member) end
end
return { requeued, without_payload }
