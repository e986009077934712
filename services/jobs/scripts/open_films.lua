-- The films without an outcome: how many there may be, and how one ends. What one site or all of them have open is
-- counted where a film becomes open and where it ends, nowhere else; recount.lua heals what others did to the counters.

-- Returns why another film may not be opened: 'full', 'share', or nil. An entry leaves its stream when its film ends,
-- so that the streams' lengths are the true backlog.
local function refusal(site, bytes, limits)
  local depth = redis.call('XLEN', stream('stat')) + redis.call('XLEN', stream('routine')) + redis.call('ZCARD', RETRY)
  if depth >= limits.depth then return 'full' end
  if tonumber(redis.call('GET', OPEN_BYTES) or 0) + bytes > limits.bytes then return 'full' end
  local sites = redis.call('SCARD', SITES) + 1 - redis.call('SISMEMBER', SITES, site)
  if sites > 1 and tonumber(redis.call('HGET', OPEN_OF_SITE, site) or 0) >= limits.of_site then return 'share' end
end

-- Redis' clock, not the gateway's: one that is wrong by hours would end every film at its deadline.
local function become_open(film)
  redis.call('ZADD', OPEN, now_ms(), film.id)
  redis.call('INCRBY', OPEN_BYTES, film.bytes)
  redis.call('HINCRBY', OPEN_OF_SITE, film.site, 1)
end

-- Never below nothing: films of 0.1.0 became open without being counted.
local function leave_open(film)
  if redis.call('ZREM', OPEN, film.id) == 0 then return end
  if redis.call('DECRBY', OPEN_BYTES, film.bytes) <= 0 then redis.call('DEL', OPEN_BYTES) end
  if redis.call('HINCRBY', OPEN_OF_SITE, film.site, -1) <= 0 then redis.call('HDEL', OPEN_OF_SITE, film.site) end
end

-- A site's films that were scored last, on which a threshold is tried out before it decides. What is not scored, or not
-- any more, is none of them; whose record has expired is passed over by whoever looks.
local RECENT_KEPT = 5000
local function note_recent(film, verdict, done_ms)
  local key = recent_key(film.site)
  redis.call('ZREM', key, film.id)
  if verdict.outcome == 'not_assessed' then return end
  redis.call('ZADD', key, done_ms, film.id)
  redis.call('ZREMRANGEBYRANK', key, 0, -RECENT_KEPT - 1)
  redis.call('EXPIRE', key, RECORD_SECONDS)
end

-- Gives a film its outcome: record, roll-up, and its place among those that we failed.
local function settle(film, verdict, done_ms, by)
  local key = instance(film.id)
  redis.call('HSET', key, 'state', 'done', 'outcome', verdict.outcome, 'result', verdict.result, 'done_ms', done_ms,
    'done_by', by, 'counted', counted_as(verdict))
  redis.call('HINCRBY', key, 'commits', 1)
  for _, part in ipairs({ key, history(film.id) }) do redis.call('EXPIRE', part, RECORD_SECONDS) end
  index_sop(film)
  note_recent(film, verdict, done_ms)
  count_done(film, verdict)
  if verdict.is_dead then
    redis.call('XADD', DEAD, 'MAXLEN', '~', DEAD_KEPT, '*', 'id', film.id, 'reason', verdict.reason)
  end
end

-- Later than the decision that it replaces, also where Redis' clock went back: by their times the ledger tells which of
-- a film's decisions stands.
local function done_at(film)
  local past = film.run > 0 and redis.call('LINDEX', history(film.id), -1)
  return past and math.max(now_ms(), tonumber(cjson.decode(past).done_ms) + 1) or now_ms()
end

-- Films that ended under 0.1.0 do not say what their study counts them as. One of reason `view` is then the lateral that
-- its study counts, or else is taken for it; that way round nothing unread is excused.
local function counted_before(film)
  if film.counted then return film.counted end
  local result = cjson.decode(redis.call('HGET', instance(film.id), 'result'))
  local laterals = tonumber(redis.call('HGET', study_key(film.site, film.study), 'laterals') or 0)
  return counted_as({
    outcome = result.outcome, reason = result.reason, is_lateral = result.reason == 'view' and laterals > 0,
  })
end

-- Moves a film's decision into its history; it is without one then, and whoever held it decides nothing any more.
-- The first write is one that Redis out of memory refuses.
local function give_up(film)
  local key = instance(film.id)
  local field = redis.call('HMGET', key, 'result', 'done_ms', 'taken_ms', 'attempts', 'done_by')
  local kept = redis.call('RPUSH', history(film.id), cjson.encode({
    result = field[1], done_ms = field[2], taken_ms = field[3] or nil, attempts = field[4], done_by = field[5],
    counted = film.counted, replaced_ms = string.format('%.0f', now_ms()),
  }))
  for _, part in ipairs({ key, history(film.id) }) do redis.call('PERSIST', part) end
  local due_ms = redis.call('ZSCORE', LEDGER_DUE, film.id)
  if due_ms then -- not in the ledger yet: it is still owed, from the history
    redis.call('ZREM', LEDGER_DUE, film.id)
    redis.call('ZADD', LEDGER_DUE, due_ms, film.id .. ':' .. (kept - 1))
  end
  film.run = film.run + 1
  redis.call('HDEL', key, 'outcome', 'result', 'done_ms', 'done_by', 'taken_ms')
  redis.call('HSET', key, 'counted', film.counted, 'run', film.run, 'attempts', 0, 'crashes', 0, 'tries', 0,
    'commits', 0)
end

-- Ends an open film. Frees first (see shared.lua), then nothing of it is left in streams, retry or open.
local function close(film, verdict, by)
  free(film.priority, film.mid)
  redis.call('ZREM', RETRY, film.id)
  leave_open(film)
  settle(film, verdict, done_at(film), by)
  redis.call('ZADD', LEDGER_DUE, now_ms(), film.id)
  owe_targets(film)
end
