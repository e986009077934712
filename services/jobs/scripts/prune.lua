-- Takes studies off the worklist whose records have expired. ARGV: age in ms, how many to look at per list.
-- Returns how many left.
local pruned = 0
local before = now_ms() - tonumber(ARGV[1])
for _, site in ipairs(redis.call('SMEMBERS', SITES)) do
  for _, priority in ipairs(PRIORITIES) do
    for _, class in ipairs({ 'flagged', 'not_assessed', 'pending', 'not_flagged' }) do
      local key = worklist_key(site, priority, class)
      for _, study in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', before, 'LIMIT', 0, ARGV[2])) do
        if redis.call('EXISTS', study_key(site, study)) == 0 then pruned = pruned + redis.call('ZREM', key, study) end
      end
    end
  end
end
return pruned
