-- Ends films that are open for too long, whoever holds them. ARGV: age in ms, outcome, reason, result, how many at
-- most. Returns how many ended.
local ended = 0
local before = now_ms() - tonumber(ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', before, 'LIMIT', 0, ARGV[5])) do
  local film = film_of(id)
  if film and film.state ~= 'done' then
    close(film, { outcome = ARGV[2], reason = ARGV[3], is_dead = true, result = ARGV[4] }, 'deadline')
    ended = ended + 1
  end
end
return ended
