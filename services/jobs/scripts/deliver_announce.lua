-- Says which targets get what is decided from now on. What others are owed stays theirs for as long as its records live.
-- ARGV: the targets.
local wanted, now = {}, now_ms()
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
for _, target in ipairs(ARGV) do
  wanted[target] = true
  redis.call('SADD', DELIVER_TARGETS, target)
  redis.call('SADD', DELIVER_KNOWN, target)
end

-- Nobody leases for a target that is gone, so what has expired is dropped here; in the end the target itself.
local function drop_expired(target)
  local before = string.format('%.0f', now - 1000 * RECORD_SECONDS)
  for _, part in ipairs({ 'since', 'dead' }) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', delivery_key(part, target), '-inf', before, 'LIMIT', 0, 1000)) do
      redis.call('ZREM', delivery_key('dead', target), member)
      forget_owed(target, member)
    end
  end
  if redis.call('EXISTS', delivery_key('due', target), delivery_key('dead', target)) > 0 then return end
  forget_target(target)
end

for _, target in ipairs(redis.call('SMEMBERS', DELIVER_KNOWN)) do
  if not wanted[target] then
    redis.call('SREM', DELIVER_TARGETS, target)
    drop_expired(target)
  end
end
return 1
