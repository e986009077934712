-- Keeps what a reader says of a study. The first write is one that Redis out of memory refuses, as in submit.
-- ARGV: site, study, its standing as the reader's gateway saw it, who, the assessment as JSON, how many a study may
-- have. Returns {verdict, assessment}: 'noted'; 'known' with the one that it repeats, which is the last that this
-- reader gave of the same decision; 'changed', 'full' or 'not_blind' without one.
local site, study, seen, who, text, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local key, wanted = assessments_key(site, study), cjson.decode(ARGV[5])

local earlier = redis.call('LRANGE', key, 0, -1)

local function is_of_reader(kept) return (type(kept.who) == 'string' and kept.who or '') == who end

local function last_of_reader()
  for at = #earlier, 1, -1 do
    local kept = cjson.decode(earlier[at])
    if is_of_reader(kept) then return kept, earlier[at] end
  end
end

-- Who has spoken with the outcome in view has not read blind. Nobody is nobody: an open gateway knows no readers.
local function has_seen()
  for _, line in ipairs(earlier) do
    local kept = cjson.decode(line)
    if who ~= '' and is_of_reader(kept) and not kept.blind and kept.films == wanted.films then return true end
  end
  return false
end

local last, line = last_of_reader()
if last and last.same == wanted.same then return { 'known', line } end
if redis.call('GET', standing_key(site, study)) ~= seen then return { 'changed' } end
if #earlier >= most then return { 'full' } end
if wanted.blind and (not waits_blind(site, study) or has_seen()) then return { 'not_blind' } end

redis.call('RPUSH', key, text)
redis.call('EXPIRE', key, ASSESSED_SECONDS)
redis.call('HSET', truths_key(site), 'standing|' .. study, seen)
keep_truth(site, study, wanted)
if wanted.blind then place_blind(site, study, cjson.decode(seen)) end
redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_KEPT, '*', 'id', '', 'state', 'assessed', 'outcome', '',
  'study', study, 'site', site)
raise_revision()
return { 'noted', text }
