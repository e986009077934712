-- Queues the films whose wait is over, at most ARGV[1] of them. Returns how many.
local promoted = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', RETRY, '-inf', now_ms(), 'LIMIT', 0, ARGV[1])) do
  redis.call('ZREM', RETRY, id)
  local film = film_of(id)
  if film and film.state ~= 'done' then
    enqueue(id, film.priority)
    promoted = promoted + 1
  end
end
return promoted
