-- Changes which bundle is active. ARGV: step, then what activation.py gives that step. Returns a word for the outcome.
-- An attempt is one operator's try; a repeated step (its reply was lost) finds its attempt and answers the same.
local CANDIDATE = { 'candidate', 'attempt', 'candidate_by', 'candidate_ms', 'until_ms' }

local function field(name) return redis.call('HGET', BUNDLE, name) end

-- As the caller may have seen it, who takes a candidate whose time is over for none.
local revision_before = tonumber(field('revision')) or 0

local function without_candidate() redis.call('HDEL', BUNDLE, unpack(CANDIDATE)) end

-- Starts at the clock, so that a Redis that lost everything never repeats an old revision.
local function revise()
  local revision = math.max(now_ms(), (tonumber(field('revision')) or 0) + 1)
  redis.call('HSET', BUNDLE, 'revision', string.format('%.0f', revision))
end

local function refuse(code)
  local digest, by = field('candidate'), field('candidate_by')
  without_candidate()
  redis.call('HSET', BUNDLE, 'refused', digest, 'refused_code', code, 'refused_by', by,
    'refused_ms', string.format('%.0f', now_ms()))
  revise()
end

-- Sites that decide by a policy of their own, and have none for this model: they would fall back to a point that nobody
-- there has chosen. Returns nil where there are none.
local function without_policy(digest)
  local missing, seen = {}, {}
  local all = redis.call('HGETALL', POLICIES)
  for at = 1, #all, 2 do
    local site = string.match(all[at], '^(.+)|%x+$')
    if site and not seen[site] then
      seen[site] = true
      if redis.call('HEXISTS', POLICIES, site .. '|' .. digest) == 0 then missing[#missing + 1] = site end
    end
  end
  table.sort(missing)
  return missing[1] and 'missing ' .. table.concat(missing, ' ')
end

local steps = {}

function steps.propose(attempt, digest, by, for_ms, seen_revision)
  if field('attempt') == attempt then return 'ok' end
  if field('candidate') then return 'busy' end
  if revision_before ~= tonumber(seen_revision) then return 'changed' end
  local missing = without_policy(digest)
  if missing then return missing end
  local now = now_ms()
  redis.call('HSET', BUNDLE, 'candidate', digest, 'attempt', attempt, 'candidate_by', by,
    'candidate_ms', string.format('%.0f', now), 'until_ms', string.format('%.0f', now + tonumber(for_ms)))
  revise()
  return 'ok'
end

-- `served` is what workers have scored with where nothing was ever activated: the way back leads there.
function steps.activate(attempt, served)
  if field('attempt') ~= attempt then
    return field('active_attempt') == attempt and 'ok' or 'gone'
  end
  local digest, by, before = field('candidate'), field('candidate_by'), field('active') or served
  local missing = without_policy(digest) -- a site may have chosen its first policy since this was proposed
  if missing then return missing end
  without_candidate()
  if before ~= '' and before ~= digest then redis.call('HSET', BUNDLE, 'previous', before) end
  redis.call('HSET', BUNDLE, 'active', digest, 'active_by', by, 'active_attempt', attempt,
    'active_ms', string.format('%.0f', now_ms()))
  revise()
  return 'ok'
end

function steps.withdraw(attempt, code)
  if field('attempt') == attempt then
    refuse(code)
  elseif field('active_attempt') == attempt then
    return 'active'
  end
  return 'ok'
end

-- What a worker remembers replaces what Redis has of an earlier time: after the loss of its memory, or of its tail.
function steps.restore(revision, active, previous, by, active_ms)
  if (tonumber(field('revision')) or 0) >= tonumber(revision) then return 'ok' end
  without_candidate()
  redis.call('HSET', BUNDLE, 'active', active, 'active_by', by, 'active_ms', active_ms, 'revision', revision)
  if previous ~= '' then redis.call('HSET', BUNDLE, 'previous', previous) end
  return 'ok'
end

redis.call('HDEL', BUNDLE, 'nothing') -- frees first, see shared.lua: a full Redis must not keep anybody from going back
local until_ms = tonumber(field('until_ms'))
-- Whoever proposed it is gone; or the clock went back, and its end would come too late by as much.
if until_ms and (until_ms < now_ms() or tonumber(field('candidate_ms')) > now_ms() + 1000) then refuse('timeout') end
return steps[ARGV[1]](unpack(ARGV, 2))
