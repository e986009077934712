-- Drops what a target is owed and what was given up for it, and that there ever was such a target. ARGV: target, 1
-- where one that is announced is dropped, too. Returns 0 where it is announced and nothing was done.
local target = ARGV[1]
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
if ARGV[2] ~= '1' and redis.call('SISMEMBER', DELIVER_TARGETS, target) == 1 then return 0 end
for _, part in ipairs({ 'due', 'since', 'dead', 'notes' }) do redis.call('DEL', delivery_key(part, target)) end
forget_target(target)
return 1
