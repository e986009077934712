-- Returns {length of stat, length of routine, put off, open, when the oldest open stat film was submitted, and the
-- oldest routine one}; false where none is open. Looks at the ARGV[1] oldest open films at most.
local oldest = { stat = false, routine = false }
local ids = redis.call('ZRANGE', OPEN, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
for at = 1, #ids, 2 do
  local priority = redis.call('HGET', instance(ids[at]), 'priority')
  if priority and not oldest[priority] then oldest[priority] = ids[at + 1] end
  if oldest.stat and oldest.routine then break end
end
return {
  redis.call('XLEN', stream('stat')), redis.call('XLEN', stream('routine')), redis.call('ZCARD', RETRY),
  redis.call('ZCARD', OPEN), oldest.stat, oldest.routine,
}
