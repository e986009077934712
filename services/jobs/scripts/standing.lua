-- Counts a settled study as what it is now, once; what it was counted as before is taken back. ARGV: site, study, its
-- number among the settled as the caller saw it, the new standing as JSON, or '' where there is nothing to be counted
-- (its films are open again). Returns 1 where it took effect, 0 where the study has settled again meanwhile, somebody
-- else has counted it, or the call is repeated.
local site, study, text = ARGV[1], ARGV[2], ARGV[4]
local member, key, tally = site .. '|' .. study, standing_key(site, study), tally_key(site)
local number = redis.call('ZSCORE', SETTLED, member)
if not number or tonumber(number) ~= tonumber(ARGV[3]) then return 0 end
redis.call('ZREM', SETTLED, member)
if text == '' then return 1 end

local function count(standing, by)
  for _, field in ipairs(standing.counted) do
    if redis.call('HINCRBY', tally, field, by) <= 0 then redis.call('HDEL', tally, field) end
  end
end

local before, standing = redis.call('GET', key), cjson.decode(text)
if before then count(cjson.decode(before), -1) end
count(standing, 1)
redis.call('EXPIRE', tally, ASSESSED_SECONDS) -- as truths
redis.call('SET', key, text, 'EX', STANDING_SECONDS)
if redis.call('HGET', truths_key(site), 'standing|' .. study) then
  redis.call('HSET', truths_key(site), 'standing|' .. study, text)
end
place_blind(site, study, standing)
return 1
