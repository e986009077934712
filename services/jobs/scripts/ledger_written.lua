-- Takes decisions that are durable in the ledger off the outbox, and notes how far the chain that holds them is.
-- ARGV: file, seq, digest, then member and done_ms of each. Returns how many were taken off. A film that was scored
-- again meanwhile stays: its newer decision is not written yet.
redis.call('ZREM', LEDGER_DUE, '')
note_head(ARGV[1], tonumber(ARGV[2]), ARGV[3])
local removed = 0
for at = 4, #ARGV, 2 do
  local decision = ledger_decision(ARGV[at])
  if not decision or decision[4] == ARGV[at + 1] then removed = removed + redis.call('ZREM', LEDGER_DUE, ARGV[at]) end
end
return removed
