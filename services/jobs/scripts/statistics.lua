-- Returns {length of stat, length of routine, put off, open, since when the oldest stat film is open, and the oldest
-- routine one (false where none is), payload bytes of open films, dead, outcomes that the ledger does not have yet, and
-- since when (or false)}. Looks at the ARGV[1] oldest open films at most.

-- Who leases a decision for the ledger puts it off, again and again where the disk refuses it: owed it is since it was
-- made.
local function owed_since()
  local first = redis.call('ZRANGE', LEDGER_DUE, 0, 0, 'WITHSCORES')
  local decision = first[1] and ledger_decision(first[1])
  if not decision then return first[2] or false end -- its record has expired: whoever leases it takes it off
  return string.format('%.0f', math.min(tonumber(first[2]), tonumber(decision[4])))
end

local oldest = { stat = false, routine = false }
local ids = redis.call('ZRANGE', OPEN, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for at = 1, #ids, 2 do
  local priority = redis.call('HGET', instance(ids[at]), 'priority')
  if priority and not oldest[priority] then oldest[priority] = ids[at + 1] end
  if oldest.stat and oldest.routine then break end
end
return {
  redis.call('XLEN', stream('stat')), redis.call('XLEN', stream('routine')), redis.call('ZCARD', RETRY),
  redis.call('ZCARD', OPEN), oldest.stat, oldest.routine, tonumber(redis.call('GET', OPEN_BYTES) or 0),
  redis.call('XLEN', DEAD), redis.call('ZCARD', LEDGER_DUE), owed_since(),
}
