-- Hands out decisions that the audit ledger does not hold yet, the longest due first, and keeps them from others for
-- a while: who leased them and died writes nothing, and they come again. ARGV: how many at most, lease in ms.
-- Returns {{member, job, result, done_ms, taken_ms, attempts, done_by, counted}, ...}.
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
local now = now_ms()
local leased = {}
local members = redis.call('ZRANGEBYSCORE', LEDGER_DUE, '-inf', now, 'LIMIT', 0, ARGV[1])
if #members == 0 then -- further ahead than any lease: a clock that went back since
  local beyond = string.format('(%.0f', now + tonumber(ARGV[2]))
  members = redis.call('ZRANGEBYSCORE', LEDGER_DUE, beyond, '+inf', 'LIMIT', 0, ARGV[1])
end
for _, member in ipairs(members) do
  local decision = ledger_decision(member)
  if decision then
    redis.call('ZADD', LEDGER_DUE, now + tonumber(ARGV[2]), member)
    leased[#leased + 1] = decision
  else
    redis.call('ZREM', LEDGER_DUE, member) -- scored again, or its record has expired
  end
end
return leased
