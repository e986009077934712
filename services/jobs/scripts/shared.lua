-- First of the parts that precede every script (lua.py): names, films, groups.
--
-- Redis out of memory refuses the first write of a script that could grow it, and only the first. So every script
-- starts with a write that frees (XACK, XDEL, ZREM, XCLAIM): what is held can always be finished. All but those that
-- bring something new (submit, rescore, restore of a film that is lost, reject, assess): they are refused whole.

local ASIDE = 'released' -- consumer of entries that nobody holds: given back, or suspects waiting to run alone
local ASIDE_IDLE_MS = 999999999
local RECORD_SECONDS = 31 * 86400 -- longer than any payload is kept, or replaying the spool would repeat old films
local STUDY_SECONDS = RECORD_SECONDS + 86400
local EVENTS_KEPT, DEAD_KEPT = 10000, 100000
local PRIORITIES = { 'stat', 'routine' }

local function stream(priority) return TAG .. ':q:' .. priority end
local function instance(id) return TAG .. ':s:' .. id end
local function history(id) return TAG .. ':history:' .. id end
local function study_key(site, study) return TAG .. ':study:' .. site .. '|' .. study end
local function members_key(site, study) return TAG .. ':members:' .. site .. '|' .. study end
local function worklist_key(site, priority, class)
  return TAG .. ':worklist:' .. site .. '|' .. priority .. '|' .. class
end
local function waiting_key(site, priority) return TAG .. ':waiting:' .. site .. '|' .. priority end
local function policy_history(site) return TAG .. ':policy:' .. site end
local function recent_key(site) return TAG .. ':recent:' .. site end
local function sop_key(site, sop) return TAG .. ':sop:' .. site .. '|' .. sop end

-- Redis' own clock: hosts disagree.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number that every change raises. Never behind the clock's microseconds, of which a script and its way to the client
-- take several, so that a Redis that lost everything, or the end of its file, repeats no number that somebody has seen.
local function raised(before)
  local time = redis.call('TIME')
  return string.format('%.0f', math.max((tonumber(before) or 0) + 1, time[1] * 1e6 + time[2]))
end

local function film_of(id)
  local field = redis.call('HMGET', instance(id), 'state', 'priority', 'site', 'study', 'mid', 'crashes', 'tries',
    'job', 'submitted_ms', 'bytes', 'counted', 'run', 'sop')
  if not field[1] then return nil end
  return {
    id = id, state = field[1], priority = field[2], site = field[3], study = field[4], mid = field[5],
    crashes = tonumber(field[6]), tries = tonumber(field[7]), job = field[8], submitted_ms = tonumber(field[9]),
    bytes = tonumber(field[10] or 0), -- films of 0.1.0 do not have it: they were not counted, and count for nothing
    counted = field[11], -- what the roll-up counts of it; a film that is scored again still counts as what it was
    run = tonumber(field[12] or 0), -- how often it was scored again
    sop = field[13], -- SOPInstanceUID; false where it has none, and for films of 0.1.0
  }
end

-- Objects ---------------------------------------------------------------------------------------------------------

-- An object that is sent again with other pixels is another film. All of an object's films, by when they came: so a
-- replay of the spool, in whatever order, gives the same index. As long as the youngest of their records.
local function index_sop(film, at_ms)
  if not film.sop then return end
  local key = sop_key(film.site, film.sop)
  redis.call('ZADD', key, 'NX', at_ms or film.submitted_ms, film.id)
  redis.call('EXPIRE', key, RECORD_SECONDS)
end

-- The object's film that came last and has a record still, or nil. Records go in about the order in which films came,
-- so that the first one looked at is as good as always the one.
local function newest_of_sop(site, sop)
  for _, id in ipairs(redis.call('ZREVRANGE', sop_key(site, sop), 0, 99)) do
    if redis.call('EXISTS', instance(id)) == 1 then return id end
  end
end

-- Groups ----------------------------------------------------------------------------------------------------------

-- A group that somebody destroyed has no pending entries; take makes it anew.
local function without_group(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  if string.find(reply.err, 'NOGROUP', 1, true) then return true end
  error(reply.err)
end

local function pending(priority, ...)
  local reply = redis.pcall('XPENDING', stream(priority), GROUP, ...)
  if without_group(reply) then return {} end
  return reply
end

-- Returns owner and deliveries of a pending entry, or nil.
local function holder(priority, mid)
  local entry = pending(priority, mid, mid, 1)[1]
  if entry then return entry[2], entry[4] end
end

-- The film that an entry names, or nil where the entry itself is gone (trimmed by hand).
local function film_id_at(priority, mid)
  local entry = redis.call('XRANGE', stream(priority), mid, mid)[1]
  return entry and entry[2][2]
end

local function free(priority, mid)
  if not mid then return end -- given back by the ledger: it was in no stream
  redis.call('XACK', stream(priority), GROUP, mid)
  redis.call('XDEL', stream(priority), mid)
end

-- One delivery less, because giving back is no failure.
local function put_aside(priority, mid, deliveries)
  redis.call('XCLAIM', stream(priority), GROUP, ASIDE, 0, mid, 'IDLE', ASIDE_IDLE_MS, 'RETRYCOUNT',
    math.max(deliveries - 1, 0), 'JUSTID')
end

local function enqueue(id, priority)
  local mid = redis.call('XADD', stream(priority), '*', 'id', id)
  redis.call('HSET', instance(id), 'mid', mid, 'state', 'queued')
end

-- Whether reap hands out the film of a silent entry. What was given back in good order waits for take.
local function is_suspect(film, owner)
  return owner ~= ASIDE or film.crashes > 0
end

-- What a worker is told of a job; services/jobs/queue/working.py reads it.
local function handed_out(film, mid, taken_ms)
  return { mid, film.job, taken_ms, film.crashes, film.tries, film.run }
end

local function mark_running(film, taken_ms)
  redis.call('HSET', instance(film.id), 'state', 'running', 'taken_ms', taken_ms)
  redis.call('HINCRBY', instance(film.id), 'attempts', 1)
end

-- A repeated call (its reply was lost) gets what the first one handed out, as far as the caller still holds it.
local function repeated(caller, consumer, token)
  local last = redis.call('HGET', REPLIES, caller)
  if not last then return nil end
  local reply = cjson.decode(last)
  if reply.token ~= token then return nil end
  local jobs = {}
  for _, taken in ipairs(reply.taken) do
    local film = film_of(taken.id)
    if film and film.state == 'running' and holder(taken.priority, taken.mid) == consumer then
      jobs[#jobs + 1] = handed_out(film, taken.mid, taken.taken_ms)
    end
  end
  return jobs
end

local function remember(caller, token, taken)
  redis.call('HSET', REPLIES, caller, cjson.encode({ token = token, taken = taken }))
end

-- Ledger ----------------------------------------------------------------------------------------------------------

-- What the outbox says of a member: `<id>` is the film's present decision, `<id>:<n>` entry n of its history.
local function ledger_decision(member)
  local id, at = string.match(member, '^(%x+):?(%d*)$')
  if not id then return nil end
  if at == '' then
    local field = redis.call('HMGET', instance(id), 'state', 'job', 'result', 'done_ms', 'taken_ms', 'attempts',
      'done_by', 'counted')
    return field[1] == 'done' and { member, unpack(field, 2, 8) } or nil
  end
  local past = redis.call('LINDEX', history(id), at)
  local job = redis.call('HGET', instance(id), 'job')
  if not past or not job then return nil end
  local field = cjson.decode(past)
  return { member, job, field.result, field.done_ms, field.taken_ms or false, field.attempts, field.done_by,
    field.counted }
end

-- Notes how far a chain of the audit ledger is durable; repeated and late calls change nothing.
local function note_head(file, seq, digest)
  local known = tonumber(string.match(redis.call('HGET', LEDGER_HEADS, file) or '0', '^%d+')) or 0
  if seq > known then redis.call('HSET', LEDGER_HEADS, file, string.format('%d:%s', seq, digest)) end
end
