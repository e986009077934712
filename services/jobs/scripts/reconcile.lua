-- Queues again every open film that is neither waiting nor pending nor put off (DELCONSUMER, XTRIM, XGROUP DESTROY).
-- ARGV: offset into the open films, how many to look at. Returns {looked at and still open, queued again, looked at}.
local offset, size = tonumber(ARGV[1]), tonumber(ARGV[2])

-- '<ms>-<n>' compared as Redis does.
local function is_after(left, right)
  local left_ms, left_n = string.match(left, '(%d+)-(%d+)')
  local right_ms, right_n = string.match(right, '(%d+)-(%d+)')
  if left_ms ~= right_ms then return tonumber(left_ms) > tonumber(right_ms) end
  return tonumber(left_n) > tonumber(right_n)
end

-- The last entry that the group handed out; before the group exists, everything waits.
local function last_delivered(priority)
  local groups = redis.pcall('XINFO', 'GROUPS', stream(priority))
  if groups.err then return '0-0' end
  for _, group in ipairs(groups) do
    local fact = {}
    for at = 1, #group, 2 do fact[group[at]] = group[at + 1] end
    if fact.name == GROUP then return fact['last-delivered-id'] end
  end
  return '0-0'
end

local delivered = { stat = last_delivered('stat'), routine = last_delivered('routine') }

local function is_in_queue(film)
  if redis.call('ZSCORE', RETRY, film.id) then return true end
  if not film_id_at(film.priority, film.mid) then return false end
  return is_after(film.mid, delivered[film.priority]) or holder(film.priority, film.mid) ~= nil
end

local ids = redis.call('ZRANGE', OPEN, offset, offset + size - 1)
local requeued, left = 0, 0
for _, id in ipairs(ids) do
  local film = film_of(id)
  if not film then
    left = left + redis.call('ZREM', OPEN, id) -- its hash is lost; the spool submits it again
  elseif film.state == 'done' then
    leave_open(film)
    left = left + 1
  elseif not is_in_queue(film) then
    free(film.priority, film.mid)
    enqueue(id, film.priority)
    requeued = requeued + 1
  end
end
return { #ids - left, requeued, #ids }
