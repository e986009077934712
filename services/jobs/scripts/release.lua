-- Gives entries back unharmed: the next take has them, and no attempt is burned.
-- ARGV: consumer, then (priority, mid, id) of each. Entries that are no longer the caller's are left alone.
local consumer = ARGV[1]
for at = 2, #ARGV, 3 do
  local priority, mid, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local owner, deliveries = holder(priority, mid)
  if owner == consumer then
    put_aside(priority, mid, deliveries)
    local film = film_of(id)
    if film and film.state == 'running' then
      redis.call('HSET', instance(id), 'state', 'queued')
      redis.call('HINCRBY', instance(id), 'attempts', -1)
    end
  end
end
