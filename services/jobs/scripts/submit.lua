-- Makes a film durable, once. The first write is one that Redis out of memory refuses, so a refusal leaves no trace.
-- ARGV: id, job, payload, priority, site, study, submitted_ms, payload bytes, then the limits: depth, bytes, films of
-- one site; SOPInstanceUID ('' for none), and the film of the same UID that the caller has compared this one with: ''
-- for none, '*' where this one was accepted before. Returns {verdict, fields of the record}; no fields where it is
-- refused, or is to be compared first ('sibling').
local id, job, payload, priority, site, study = unpack(ARGV, 1, 6)
local submitted_ms, bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
local limits = { depth = tonumber(ARGV[9]), bytes = tonumber(ARGV[10]), of_site = tonumber(ARGV[11]) }
local sop, compared = ARGV[12] ~= '' and ARGV[12], ARGV[13]
local key = instance(id)

local function answer(verdict)
  return { verdict, redis.call('HMGET', key, 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result') }
end

-- Later than its sibling, also where the clock of the gateway that took that is ahead.
local function after(sibling)
  return math.max(submitted_ms, redis.call('ZSCORE', sop_key(site, sop), sibling) + 1)
end

-- An object that comes changed for ever must not gather the names of films that nobody knows any more.
local function forget_oldest()
  local oldest = redis.call('ZRANGE', sop_key(site, sop), 0, 0)[1]
  if redis.call('EXISTS', instance(oldest)) == 0 then redis.call('ZREM', sop_key(site, sop), oldest) end
end

if redis.call('EXISTS', key) == 1 then
  -- The same payload means that this very submit is repeated (its reply was lost): its file must stay.
  return answer(redis.call('HGET', key, 'payload') == payload and 'ours' or 'known')
end

local refused = refusal(site, bytes, limits)
if refused then return { refused } end
local sibling = sop and compared ~= '*' and newest_of_sop(site, sop)
if sibling and sibling ~= compared then return { 'sibling' } end

redis.call('HSET', key, 'job', job, 'payload', payload, 'priority', priority, 'site', site, 'study', study,
  'submitted_ms', submitted_ms, 'bytes', bytes, 'attempts', 0, 'crashes', 0, 'tries', 0, 'commits', 0,
  unpack(sop and { 'sop', sop } or {}))
local film = {
  id = id, priority = priority, site = site, study = study, submitted_ms = submitted_ms, bytes = bytes, sop = sop,
}
index_sop(film, sibling and after(sibling))
become_open(film)
enqueue(id, priority)
count_submitted(film)
if sop then
  forget_oldest()
  withdraw_if_rejected(id, sop)
end
return answer('ours')
