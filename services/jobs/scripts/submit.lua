-- Makes a film durable, once. The first write is one that Redis out of memory refuses, so a refusal leaves no trace.
-- ARGV: id, job, payload, priority, site, study, submitted_ms, payload bytes, then the limits: depth, bytes, films of
-- one site. Returns {verdict, fields of the record}; no fields where it is refused.
local id, job, payload, priority, site, study = unpack(ARGV, 1, 6)
local submitted_ms, bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local limits = { depth = tonumber(ARGV[9]), bytes = tonumber(ARGV[10]), of_site = tonumber(ARGV[11]) }
local key = instance(id)

local function answer(verdict)
  return { verdict, redis.call('HMGET', key, 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result') }
end

if redis.call('EXISTS', key) == 1 then
  -- The same payload means that this very submit is repeated (its reply was lost): its file must stay.
  return answer(redis.call('HGET', key, 'payload') == payload and 'ours' or 'known')
end

local refused = refusal(site, bytes, limits)
if refused then return { refused } end

redis.call('HSET', key, 'job', job, 'payload', payload, 'priority', priority, 'site', site, 'study', study,
  'submitted_ms', submitted_ms, 'bytes', bytes, 'attempts', 0, 'crashes', 0, 'tries', 0, 'commits', 0)
local film = { id = id, priority = priority, site = site, study = study, submitted_ms = submitted_ms, bytes = bytes }
become_open(film)
enqueue(id, priority)
count_submitted(film)
return answer('ours')
