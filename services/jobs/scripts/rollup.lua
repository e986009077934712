-- What a study amounts to, kept as counters, and its place in the worklist. Every change is an event.

-- Pages are kept by it, at gateways and in browsers.
local function raise_revision() redis.call('SET', REVISION, raised(redis.call('GET', REVISION))) end

local function publish(film, state, outcome)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'id', film.id, 'state', state, 'outcome', outcome,
    'study', film.study, 'site', film.site)
  raise_revision()
end

-- Names a study that has no open film, or no film at all, to those who count decided studies (standing.lua). By a
-- number that only grows, so that what settles again while it is being counted is counted again. Without a gateway
-- nobody takes them away: the oldest go, whatever they were decided as, and are missing in the counts.
local SETTLED_KEPT = 200000
local function note_settled(site, study)
  local member = site .. '|' .. study
  redis.call('ZADD', SETTLED, raised(redis.call('ZSCORE', SETTLED, member)), member)
  redis.call('ZREMRANGEBYRANK', SETTLED, 0, -SETTLED_KEPT - 1)
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
    note_settled(site, study)
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
  if has_open_films then
    redis.call('ZADD', waiting_key(site, priority), oldest[2], study)
  else
    note_settled(site, study)
  end
  for _, part in ipairs({ key, members }) do
    if has_open_films then redis.call('PERSIST', part) else redis.call('EXPIRE', part, STUDY_SECONDS) end
  end
end

-- Enters a film into its study, as pending.
local function enter(film)
  local key = study_key(film.site, film.study)
  redis.call('SADD', SITES, film.site)
  redis.call('ZADD', members_key(film.site, film.study), film.submitted_ms, film.id)
  redis.call('HINCRBY', key, 'films', 1)
  redis.call('HINCRBY', key, 'pending', 1)
  if film.priority == 'stat' then redis.call('HINCRBY', key, 'stat', 1) end
end

local function count_submitted(film)
  enter(film)
  reindex(film.site, film.study)
  publish(film, 'queued', '')
end

-- An oblique or mirrored frontal ends with the reason `view`, too; only a lateral is excused by the frontal beside it.
local function counted_as(verdict)
  if verdict.reason == 'withdrawn' then return 'withdrawn' end
  if verdict.outcome ~= 'not_assessed' then return verdict.outcome end
  return verdict.is_lateral and 'lateral' or 'unread'
end

local COUNTERS = {
  flagged = { 'flagged' }, not_flagged = { 'not_flagged' }, unread = { 'unread' }, lateral = { 'unread', 'laterals' },
  withdrawn = {},
}

-- Never below nothing: which film of 0.1.0 was the lateral is a guess (rescore.lua), and it may be taken off twice.
local function count_outcome(film, counted, by)
  local key = study_key(film.site, film.study)
  for _, counter in ipairs(COUNTERS[counted]) do
    if redis.call('HINCRBY', key, counter, by) < 0 then redis.call('HSET', key, counter, 0) end
  end
end

local function count_done(film, verdict)
  local key = study_key(film.site, film.study)
  redis.call('HINCRBY', key, 'pending', -1)
  if film.counted then count_outcome(film, film.counted, -1) end
  count_outcome(film, counted_as(verdict), 1)
  if verdict.reason == 'withdrawn' then
    redis.call('HINCRBY', key, 'films', -1)
    if film.priority == 'stat' then redis.call('HINCRBY', key, 'stat', -1) end
    redis.call('ZREM', members_key(film.site, film.study), film.id)
  end
  reindex(film.site, film.study)
  publish(film, 'done', verdict.outcome)
end

-- A film that gave up its decision is pending, too, and what it was still counts: the act itself lowers no study.
local function count_pending(film)
  if redis.call('ZSCORE', members_key(film.site, film.study), film.id) then
    redis.call('HINCRBY', study_key(film.site, film.study), 'pending', 1)
    return
  end
  redis.call('HDEL', instance(film.id), 'counted') -- its study's counters are lost, and it is not in them
  film.counted = nil
  enter(film)
end

local function count_reopened(film)
  count_pending(film)
  reindex(film.site, film.study)
  publish(film, 'queued', '')
end
