-- Says that a target takes nothing until somebody enables it; it is owed everything meanwhile. ARGV: target, reason, or
-- '' to enable it. Returns 1 where that changed something.
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
if ARGV[2] == '' then return redis.call('HDEL', DELIVER_DISABLED, ARGV[1]) end
return redis.call('HSET', DELIVER_DISABLED, ARGV[1], ARGV[2])
