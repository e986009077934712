-- Makes a film durable, once. The first write is one that Redis out of memory refuses, so a refusal leaves no trace.
-- ARGV: id, job, payload, priority, site, study, submitted_ms, depth limit, is_replay. Returns {verdict, fields of the
-- record}. A replayed film is open since now, or its deadline would be over before anybody could look at it.
local id, job, payload, priority, site, study = unpack(ARGV, 1, 6)
local submitted_ms, limit = tonumber(ARGV[7]), tonumber(ARGV[8])
local key = instance(id)

local function answer(verdict)
  return { verdict, redis.call('HMGET', key, 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result') }
end

if redis.call('EXISTS', key) == 1 then
  -- The same payload means that this very submit is repeated (its reply was lost): its file must stay.
  return answer(redis.call('HGET', key, 'payload') == payload and 'ours' or 'known')
end

local depth = redis.call('XLEN', stream('stat')) + redis.call('XLEN', stream('routine')) + redis.call('ZCARD', RETRY)
if depth >= limit then return { 'full' } end

redis.call('HSET', key, 'job', job, 'payload', payload, 'priority', priority, 'site', site, 'study', study,
  'submitted_ms', submitted_ms, 'attempts', 0, 'crashes', 0, 'tries', 0, 'commits', 0)
redis.call('ZADD', OPEN, ARGV[9] == '1' and now_ms() or submitted_ms, id)
enqueue(id, priority)
count_submitted({ id = id, priority = priority, site = site, study = study, submitted_ms = submitted_ms })
return answer('ours')
