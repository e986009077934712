-- What readers say of studies: which of them wait to be read blind, and what is kept of a study that was assessed.

-- A week longer than any study lives on unchanged, so that one that changes is taken out of the count it is in.
local STANDING_SECONDS = STUDY_SECONDS + 7 * 86400
local ASSESSED_SECONDS = 400 * 86400 -- a year and a month, as tallies

local function standing_key(site, study) return TAG .. ':standing:' .. site .. '|' .. study end
local function tally_key(site) return TAG .. ':tally:' .. site end
local function assessments_key(site, study) return TAG .. ':assessments:' .. site .. '|' .. study end
local function truths_key(site) return TAG .. ':truths:' .. site end
-- A class of the worklist's index: so pages are made of it, and what has expired is pruned.
local function blind_place(site, priority) return worklist_key(site, priority, 'blind') end

local function waits_blind(site, study)
  for _, priority in ipairs(PRIORITIES) do
    if redis.call('ZSCORE', blind_place(site, priority), study) then return true end
  end
  return false
end

-- Which place a drawn study has among those that wait to be read blind, if any. What was read blind of these films
-- stands, and is asked for no more.
local function place_blind(site, study, standing)
  local waited, read = waits_blind(site, study), redis.call('HGET', truths_key(site), 'blind|' .. study)
  local is_wanted = standing.is_drawn and standing.class ~= 'not_assessed' and standing.class ~= 'gone'
    and not (read and cjson.decode(read).films == standing.films)
  for _, priority in ipairs(PRIORITIES) do redis.call('ZREM', blind_place(site, priority), study) end
  local field = redis.call('HMGET', study_key(site, study), 'priority', 'submitted_ms')
  if is_wanted and field[1] then redis.call('ZADD', blind_place(site, field[1]), field[2], study) end
  if waited ~= waits_blind(site, study) then raise_revision() end
end

-- The first blind reading of the same films stands, whoever comes later; of others the last one does. Only what counts
-- is kept here, because a site's readings of 400 days are read at once.
local function keep_truth(site, study, assessment)
  local truths = truths_key(site)
  local part = (assessment.blind and 'blind|' or 'open|') .. study
  local known = assessment.blind and redis.call('HGET', truths, part)
  if not known or cjson.decode(known).films ~= assessment.films then
    redis.call('HSET', truths, part, cjson.encode({ films = assessment.films, truth = assessment.truth }))
  end
  redis.call('EXPIRE', truths, ASSESSED_SECONDS) -- of a site that is no more; others' is forgotten by the day
end
