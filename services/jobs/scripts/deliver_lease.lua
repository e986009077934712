-- Hands out decisions that a target is owed, the longest due first, and keeps them from others for a while: who leased
-- them and died has sent nothing, or will be followed by somebody who sends the same once more.
-- ARGV: target, how many at most, lease in ms, the longest wait for another attempt in ms, token: a repeated call (its
-- reply was lost) gets what the first one handed out.
-- Returns {now, {member, leased until, attempts, owed since, fields of the record as that decision made it, earlier
-- decisions as the history has them, 1 while the film's payload is kept}, ...}.
local target, count, lease_ms, longest_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local token, caller = ARGV[5], 'deliver:' .. target
local due, now = delivery_key('due', target), now_ms()
local leased, members_leased = { string.format('%.0f', now) }, {}
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
if redis.call('HGET', DELIVER_DISABLED, target) then return leased end

-- Until when somebody sends an earlier decision of the film, or nil. What nobody sends of them is sent no more.
local function earlier_until(id, number)
  for earlier = number - 1, 1, -1 do
    local member = id .. ':' .. earlier
    if redis.call('ZSCORE', due, member) then
      local until_ms = delivery_note(target, member).leased_ms
      if until_ms > now and until_ms <= now + lease_ms then return until_ms end
      forget_owed(target, member)
    end
  end
end

-- As RECORD_FIELDS; a film that is scored again is told as it was, until it has been.
local function fields_of(film)
  if film.state == 'done' then
    return redis.call('HMGET', instance(film.id), 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result')
  end
  local past = cjson.decode(redis.call('LINDEX', history(film.id), film.run - 1))
  return { film.job, 'done', past.attempts, past.taken_ms or false, past.done_ms, past.result }
end

local function parts_of(member)
  local id, number = string.match(member, '^(%x+):(%d+)$')
  return film_of(id), id, tonumber(number)
end

local function tell(film, number, member, note)
  leased[#leased + 1] = {
    member, string.format('%.0f', note.leased_ms), note.attempts,
    redis.call('ZSCORE', delivery_key('since', target), member), fields_of(film),
    number > 1 and redis.call('LRANGE', history(film.id), 0, number - 2) or {},
    redis.call('HGET', instance(film.id), 'payload') and 1 or 0,
  }
end

local function hand_out(member)
  local film, id, number = parts_of(member)
  if not film then return bury(target, member, 'record_expired') end
  if number ~= decision_number(film) then return forget_owed(target, member) end -- a later one is owed as well
  local until_ms = earlier_until(id, number)
  if until_ms then return redis.call('ZADD', due, until_ms, member) end
  local note = delivery_note(target, member)
  note.leased_ms = now + lease_ms
  keep_delivery_note(target, member, note)
  redis.call('ZADD', due, note.leased_ms, member)
  members_leased[#members_leased + 1] = member
  tell(film, number, member, note)
end

-- As far as the caller still has them, and they are still the last of their films.
local function tell_again(before)
  for _, member in ipairs(before.members) do
    local film, _, number = parts_of(member)
    local note = delivery_note(target, member)
    if film and number == decision_number(film) and note.leased_ms == before.leased_ms then
      tell(film, number, member, note)
    end
  end
  return leased
end

local last = redis.call('HGET', REPLIES, caller)
local before = last and cjson.decode(last)
if before and before.token == token then return tell_again(before) end

local function due_now()
  local wanted = count + 1 - #leased
  local members = redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.0f', now), 'LIMIT', 0, wanted)
  if #members > 0 then return members end
  -- Further ahead than any lease or wait: a clock that went back since.
  local beyond = string.format('(%.0f', now + math.max(lease_ms, longest_ms))
  return redis.call('ZRANGEBYSCORE', due, beyond, '+inf', 'LIMIT', 0, wanted)
end

-- Each that is looked at is leased, put off or dropped, so that this ends; and it holds up Redis for no longer.
for _ = 1, 10 do
  if #leased > count then break end
  local members = due_now()
  if #members == 0 then break end
  for _, member in ipairs(members) do hand_out(member) end
end
if #members_leased > 0 then
  redis.call('HSET', REPLIES, caller, cjson.encode({
    token = token, members = members_leased, leased_ms = now + lease_ms,
  }))
end
return leased
