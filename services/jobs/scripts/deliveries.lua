-- What targets outside are owed: each decision, once for each target that is announced when it is made. A decision of a
-- film is named `<id>:<n>`, n from 1 on: those before it are in its history. (`commits` begins anew with each run.)

local HELD_MS = 72 * 3600000 -- a payload waits so long for targets that are away, a weekend; longer would fill the spool

local function delivery_key(part, target) return TAG .. ':deliver:' .. part .. ':' .. target end

-- Number of the decision that a film has, or had last while it is scored again; 0 where there is none.
local function decision_number(film)
  return film.state == 'done' and film.run + 1 or film.run
end

-- Whether a target that is announced has not got this film's decision, and may still: it waits, or was given up, and an
-- operator may have it sent again.
local function is_awaited(film, done_ms)
  if now_ms() - done_ms > HELD_MS then return false end
  local member = film.id .. ':' .. decision_number(film)
  for _, target in ipairs(redis.call('SMEMBERS', DELIVER_TARGETS)) do
    for _, part in ipairs({ 'due', 'dead' }) do
      if redis.call('ZSCORE', delivery_key(part, target), member) then return true end
    end
  end
  return false
end

-- Takes a decision off what is owed to a target.
local function forget_owed(target, member)
  redis.call('ZREM', delivery_key('since', target), member)
  redis.call('HDEL', delivery_key('notes', target), member)
  return redis.call('ZREM', delivery_key('due', target), member)
end

-- How a target fared with a decision: how many attempts failed and why the last, until when somebody tries again (0 for
-- nobody), since when it is owed.
local function delivery_note(target, member)
  local text = redis.call('HGET', delivery_key('notes', target), member)
  return text and cjson.decode(text) or { attempts = 0, reason = '', leased_ms = 0 }
end

local function keep_delivery_note(target, member, note)
  redis.call('HSET', delivery_key('notes', target), member, cjson.encode(note))
end

-- Gives a decision up for a target: it is listed, and may be asked for again, for as long as records live.
local function bury(target, member, reason)
  local dead, notes, now = delivery_key('dead', target), delivery_key('notes', target), now_ms()
  local note = delivery_note(target, member)
  note.since_ms, note.reason, note.leased_ms = redis.call('ZSCORE', delivery_key('since', target), member), reason, 0
  forget_owed(target, member)
  keep_delivery_note(target, member, note)
  redis.call('ZADD', dead, now, member)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', dead, '-inf', now - 1000 * RECORD_SECONDS, 'LIMIT', 0, 100)) do
    redis.call('ZREM', dead, old)
    redis.call('HDEL', notes, old)
  end
end

-- That there ever was such a target. What it is owed is gone before.
local function forget_target(target)
  for _, targets in ipairs({ DELIVER_TARGETS, DELIVER_KNOWN }) do redis.call('SREM', targets, target) end
  redis.call('HDEL', DELIVER_DISABLED, target)
  redis.call('HDEL', REPLIES, 'deliver:' .. target)
end

-- Nobody leases for a target that is disabled, or while no delivery runs at all. What has no record any more is given
-- up here then, two for each that is entered, so that a target is owed no more than what has a record.
local function owe_targets(film)
  local member, now = film.id .. ':' .. (film.run + 1), now_ms()
  for _, target in ipairs(redis.call('SMEMBERS', DELIVER_TARGETS)) do
    local due, since = delivery_key('due', target), delivery_key('since', target)
    redis.call('ZADD', due, now, member)
    redis.call('ZADD', since, now, member)
    for _, old in ipairs(redis.call('ZRANGEBYSCORE', since, '-inf', now - 1000 * RECORD_SECONDS, 'LIMIT', 0, 2)) do
      bury(target, old, 'record_expired')
    end
  end
end
