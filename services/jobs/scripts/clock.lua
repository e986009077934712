-- Heals what Redis' clock leaves in the future when it goes back: claims of dead workers, which would look fresh for as
-- long as the jump was; waits for another attempt; open films, whose deadline would come late. Seen by workers that
-- announced themselves later than now. ARGV: the longest wait for another attempt in ms. Returns whether it went back.
local now, longest_wait_ms = now_ms(), tonumber(ARGV[1])
local SLACK_MS = 1000

-- Theirs is the only evidence. It goes, or claims would be made fresh for ever; who lives announces itself again.
local function forget_the_future()
  local is_back = false
  local all = redis.call('HGETALL', WORKERS)
  for at = 1, #all, 2 do
    local beat_ms = tonumber(string.match(all[at + 1], '^(%d+)|') or 0)
    if beat_ms > now + SLACK_MS then
      is_back = true
      redis.call('HDEL', WORKERS, all[at])
    end
  end
  return is_back
end

-- Everybody holds what they held, since now: who is dead is found out after the usual time.
local function claim_anew(priority)
  local from = '-'
  while true do
    local page = pending(priority, from, '+', 1000)
    for _, entry in ipairs(page) do
      local idle_ms = entry[2] == ASIDE and ASIDE_IDLE_MS or 0
      redis.call('XCLAIM', stream(priority), GROUP, entry[2], 0, entry[1], 'IDLE', idle_ms, 'JUSTID')
      from = '(' .. entry[1]
    end
    if #page < 1000 then return end
  end
end

local function bring_back(zset, latest)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', zset, '(' .. string.format('%.0f', latest), '+inf')) do
    redis.call('ZADD', zset, now, id)
  end
end

if not forget_the_future() then return 0 end
for _, priority in ipairs(PRIORITIES) do claim_anew(priority) end
bring_back(RETRY, now + longest_wait_ms)
bring_back(OPEN, now)
return 1
