-- Takes studies off the worklist whose records have expired, and sites off the list of sites that have none left.
-- ARGV: age in ms, how many to look at per list, and where among those of that age: from 0, the oldest, to below 1. The
-- caller draws it, because many old studies that live on (scored again, sent with a wrong clock) must not hide others.
-- Returns how many studies left.
local CLASSES = { 'flagged', 'not_assessed', 'pending', 'not_flagged', 'blind' }
local size, at = tonumber(ARGV[2]), tonumber(ARGV[3])
local before = now_ms() - tonumber(ARGV[1])

local function expired(site, key)
  local offset = math.floor(at * (math.max(redis.call('ZCOUNT', key, '-inf', before) - size, 0) + 1))
  local gone = {}
  for _, study in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', before, 'LIMIT', offset, size)) do
    if redis.call('EXISTS', study_key(site, study)) == 0 then gone[#gone + 1] = study end
  end
  return gone
end

local pruned = 0
for _, site in ipairs(redis.call('SMEMBERS', SITES)) do
  local has_studies = false
  for _, priority in ipairs(PRIORITIES) do
    for _, class in ipairs(CLASSES) do
      local key = worklist_key(site, priority, class)
      for _, study in ipairs(expired(site, key)) do pruned = pruned + redis.call('ZREM', key, study) end
      has_studies = has_studies or redis.call('EXISTS', key) == 1
    end
  end
  if not has_studies then redis.call('SREM', SITES, site) end -- each costs every look at the worklist some time
end
return pruned
