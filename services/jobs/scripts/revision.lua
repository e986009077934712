-- Returns {counter of visible changes (or false), how many studies that wait are overdue}. ARGV: for stat and for
-- routine, the moment up to which a study that waits is overdue.
local overdue = 0
for _, site in ipairs(redis.call('SMEMBERS', SITES)) do
  for at, priority in ipairs(PRIORITIES) do
    overdue = overdue + redis.call('ZCOUNT', waiting_key(site, priority), '-inf', ARGV[at])
  end
end
return { redis.call('GET', REVISION), overdue }
