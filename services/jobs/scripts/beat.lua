-- Keeps held entries from being reaped. ARGV: consumer, then (priority, mid, id) of each. Returns the ids that are
-- no longer the caller's: without the owner check a worker that was thought dead would steal them back.
local consumer, lost = ARGV[1], {}
for at = 2, #ARGV, 3 do
  local priority, mid, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if holder(priority, mid) == consumer then
    redis.call('XCLAIM', stream(priority), GROUP, consumer, 0, mid, 'JUSTID')
  else
    lost[#lost + 1] = id
  end
end
return lost
