-- Prepended to every script, after the constants that lua.py generates from keys.py.
--
-- Redis out of memory refuses the first write of a script that could grow it, and only the first. So every script
-- but submit starts with a write that frees (XACK, XDEL, ZREM, XCLAIM): what is held can always be finished, and
-- what is new is refused whole.

local ASIDE = 'released' -- consumer of entries that nobody holds: given back, or suspects waiting to run alone
local ASIDE_IDLE_MS = 999999999
local RECORD_SECONDS = 31 * 86400 -- longer than any payload is kept, or replaying the spool would repeat old films
local STUDY_SECONDS = RECORD_SECONDS + 86400
local EVENTS_KEPT, DEAD_KEPT = 10000, 100000
local PRIORITIES = { 'stat', 'routine' }

local function stream(priority) return TAG .. ':q:' .. priority end
local function instance(id) return TAG .. ':s:' .. id end
local function study_key(site, study) return TAG .. ':study:' .. site .. '|' .. study end
local function members_key(site, study) return TAG .. ':members:' .. site .. '|' .. study end
local function worklist_key(site, priority, class)
  return TAG .. ':worklist:' .. site .. '|' .. priority .. '|' .. class
end
local function waiting_key(site, priority) return TAG .. ':waiting:' .. site .. '|' .. priority end

-- Redis' own clock: hosts disagree.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function film_of(id)
  local field = redis.call('HMGET', instance(id), 'state', 'priority', 'site', 'study', 'mid', 'crashes', 'tries',
    'job', 'submitted_ms')
  if not field[1] then return nil end
  return {
    id = id, state = field[1], priority = field[2], site = field[3], study = field[4], mid = field[5],
    crashes = tonumber(field[6]), tries = tonumber(field[7]), job = field[8], submitted_ms = tonumber(field[9]),
  }
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

-- What a worker is told of a job; services/jobs/queue.py reads it.
local function handed_out(film, mid, taken_ms)
  return { mid, film.job, taken_ms, film.crashes, film.tries }
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

-- Worklist --------------------------------------------------------------------------------------------------------

local function publish(film, state, outcome)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'id', film.id, 'state', state, 'outcome', outcome,
    'study', film.study, 'site', film.site)
  if redis.call('INCR', REVISION) == 1 then
    -- Starts at the clock, so that a Redis that lost everything never repeats an old revision.
    redis.call('SET', REVISION, string.format('%.0f', now_ms() * 1000))
  end
end

-- DESIGN §6: flagged > not_assessed > pending > not_flagged. A lateral beside a scored frontal does not rank.
local function roll_up(count)
  if count.flagged > 0 then return 'flagged' end
  if count.unread > count.laterals then return 'not_assessed' end
  if count.laterals > 0 and count.not_flagged == 0 then return 'not_assessed' end
  if count.pending > 0 then return 'pending' end
  return 'not_flagged'
end

-- Moves the study to the place that its counters give it.
local function reindex(site, study)
  local key, members = study_key(site, study), members_key(site, study)
  local field = redis.call('HMGET', key, 'flagged', 'unread', 'laterals', 'not_flagged', 'pending', 'stat', 'place')
  local oldest = redis.call('ZRANGE', members, 0, 0, 'WITHSCORES')
  if field[7] then redis.call('ZREM', field[7], study) end
  for _, priority in ipairs(PRIORITIES) do redis.call('ZREM', waiting_key(site, priority), study) end
  if not oldest[1] then -- every film was withdrawn
    redis.call('DEL', key)
    return
  end
  local class = roll_up({
    flagged = tonumber(field[1]) or 0, unread = tonumber(field[2]) or 0, laterals = tonumber(field[3]) or 0,
    not_flagged = tonumber(field[4]) or 0, pending = tonumber(field[5]) or 0,
  })
  local priority = (tonumber(field[6]) or 0) > 0 and 'stat' or 'routine'
  local place = worklist_key(site, priority, class)
  redis.call('ZADD', place, oldest[2], study)
  redis.call('HSET', key, 'site', site, 'study', study, 'priority', priority, 'class', class, 'place', place,
    'submitted_ms', oldest[2], 'updated_ms', now_ms())
  local has_open_films = (tonumber(field[5]) or 0) > 0
  if has_open_films then redis.call('ZADD', waiting_key(site, priority), oldest[2], study) end
  for _, part in ipairs({ key, members }) do
    if has_open_films then redis.call('PERSIST', part) else redis.call('EXPIRE', part, STUDY_SECONDS) end
  end
end

local function count_submitted(film)
  local key = study_key(film.site, film.study)
  redis.call('SADD', SITES, film.site)
  redis.call('ZADD', members_key(film.site, film.study), film.submitted_ms, film.id)
  redis.call('HINCRBY', key, 'films', 1)
  redis.call('HINCRBY', key, 'pending', 1)
  if film.priority == 'stat' then redis.call('HINCRBY', key, 'stat', 1) end
  reindex(film.site, film.study)
  publish(film, 'queued', '')
end

-- An oblique or mirrored frontal ends with the reason `view`, too; only a lateral is excused by the frontal beside it.
local function count_done(film, verdict)
  local key = study_key(film.site, film.study)
  redis.call('HINCRBY', key, 'pending', -1)
  if verdict.reason == 'withdrawn' then
    redis.call('HINCRBY', key, 'films', -1)
    if film.priority == 'stat' then redis.call('HINCRBY', key, 'stat', -1) end
    redis.call('ZREM', members_key(film.site, film.study), film.id)
  elseif verdict.outcome == 'not_assessed' then
    redis.call('HINCRBY', key, 'unread', 1)
    if verdict.is_lateral then redis.call('HINCRBY', key, 'laterals', 1) end
  else
    redis.call('HINCRBY', key, verdict.outcome, 1)
  end
  reindex(film.site, film.study)
  publish(film, 'done', verdict.outcome)
end

-- Ends an open film. Frees first (see the top), then nothing of it is left in streams, retry or open.
local function close(film, verdict, by)
  free(film.priority, film.mid)
  redis.call('ZREM', RETRY, film.id)
  redis.call('ZREM', OPEN, film.id)
  local key = instance(film.id)
  redis.call('HSET', key, 'state', 'done', 'outcome', verdict.outcome, 'result', verdict.result, 'done_ms', now_ms(),
    'done_by', by)
  redis.call('HINCRBY', key, 'commits', 1)
  redis.call('EXPIRE', key, RECORD_SECONDS)
  if verdict.is_dead then
    redis.call('XADD', DEAD, 'MAXLEN', '~', DEAD_KEPT, '*', 'id', film.id, 'reason', verdict.reason)
  end
  count_done(film, verdict)
end
