-- Gives back an assessment that the audit ledger holds and Redis has lost. In the order in which they were given; what is
-- known stands, and the call may be repeated. The first write is one that Redis out of memory refuses, as in submit.
-- ARGV: site, study, assessment, standing of the study when it was given. Returns 1 where it was not known.
local site, study, text, then_standing = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key, wanted = assessments_key(site, study), cjson.decode(text)
for _, line in ipairs(redis.call('LRANGE', key, 0, -1)) do
  if cjson.decode(line).id == wanted.id then return 0 end
end
local left_seconds = ASSESSED_SECONDS - math.floor((now_ms() - wanted.at_ms) / 1000)
if left_seconds <= 0 then return 0 end
local standing = redis.call('GET', standing_key(site, study))
redis.call('RPUSH', key, text)
redis.call('EXPIRE', key, math.min(ASSESSED_SECONDS, left_seconds))
redis.call('HSET', truths_key(site), 'standing|' .. study, standing or then_standing)
keep_truth(site, study, wanted)
if standing then place_blind(site, study, cjson.decode(standing)) end
raise_revision()
return 1
