-- Changes sites' policies. ARGV: step, then what policies.py gives that step. Returns a word and what goes with it.
local KNOWN_SINCE, HISTORY_KEPT = 'known', 1000

local function current(site, digest) return redis.call('HGET', POLICIES, site .. '|' .. digest) end
local function version_of(text) return text and tonumber(string.match(text, '"version":(%d+)')) or 0 end
local function at_of(text) return string.match(text, '"at_ms":(%d+)') or '' end

local function latest(site) return redis.call('LINDEX', policy_history(site), -1) end

-- By the history, and by what decides: one text that somebody damaged must not have a version given out twice.
local function version_now(site)
  local version = version_of(latest(site))
  local all = redis.call('HGETALL', POLICIES)
  for at = 1, #all, 2 do
    if string.match(all[at], '^(.+)|%x+$') == site then version = math.max(version, version_of(all[at + 1])) end
  end
  return version
end

-- Workers read policies again where it is another one.
local function revise()
  redis.call('HSET', POLICIES, 'revision', raised(redis.call('HGET', POLICIES, 'revision')))
end

local function keep(site, digest, text)
  redis.call('HSET', POLICIES, site .. '|' .. digest, text)
  redis.call('RPUSH', policy_history(site), text)
  redis.call('LTRIM', policy_history(site), -HISTORY_KEPT, -1)
  revise()
end

-- As policies.py writes them. Not by cjson, on whose way a threshold would lose digits.
local function numbered(version, at_ms, body)
  return '{"version":' .. version .. ',"at_ms":' .. at_ms .. ',' .. string.sub(body, 2)
end

local steps = {}

function steps.put(site, digest, seen, body)
  local last, version = latest(site), version_now(site)
  if last and version == tonumber(seen) + 1 and last == numbered(version, at_of(last), body) then return { 'ok', last } end
  if version ~= tonumber(seen) then return { 'changed', tostring(version) } end
  if redis.call('HEXISTS', TABLES, digest) == 0 then return { 'unknown', '' } end
  local text = numbered(version + 1, string.format('%.0f', now_ms()), body)
  keep(site, digest, text)
  return { 'ok', text }
end

-- Puts a version where it belongs, unless it is there: workers give back what decides, the trail all versions.
local function remember_version(site, version, text)
  local key, later = policy_history(site), nil
  for at = -1, -HISTORY_KEPT, -1 do
    local other = redis.call('LINDEX', key, at)
    local its = version_of(other)
    if its == version then return end
    if not other or (its > 0 and its < version) then
      if later then redis.call('LINSERT', key, 'BEFORE', later, text) else redis.call('RPUSH', key, text) end
      redis.call('LTRIM', key, -HISTORY_KEPT, -1)
      return
    end
    later = other
  end
end

-- What somebody remembers replaces what Redis has of an earlier version: after the loss of its memory, or of its tail.
function steps.restore(site, digest, version, text)
  remember_version(site, tonumber(version), text)
  if version_of(current(site, digest)) >= tonumber(version) then return { 'known', '' } end
  redis.call('HSET', POLICIES, site .. '|' .. digest, text)
  revise()
  return { 'restored', '' }
end

function steps.known()
  redis.call('HSET', POLICIES, KNOWN_SINCE, string.format('%.0f', now_ms()))
  return { 'ok', '' }
end

redis.call('HDEL', POLICIES, 'nothing') -- frees first, see shared.lua: a full Redis must not keep a site from flagging more
return steps[ARGV[1]](unpack(ARGV, 2))
