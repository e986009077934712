-- Hands over one film whose worker fell silent. It is counted before it runs, because a film that kills its worker
-- cannot be counted afterwards. Suspects that were given back in good order are not counted again.
-- ARGV: consumer, token, idle ms. Returns {} or {job}.
local consumer, token, idle_ms = ARGV[1], ARGV[2], ARGV[3]
local caller = consumer .. ':reap'

local again = repeated(caller, consumer, token)
if again then return again end

local now = now_ms()

local function claim(priority, mid, owner)
  local film = film_of(film_id_at(priority, mid) or '')
  if not film or film.state == 'done' or film.mid ~= mid then
    free(priority, mid)
    return nil
  end
  if not is_suspect(film, owner) then return nil end
  redis.call('XCLAIM', stream(priority), GROUP, consumer, 0, mid, 'JUSTID')
  if owner ~= ASIDE then film.crashes = redis.call('HINCRBY', instance(film.id), 'crashes', 1) end
  mark_running(film, now)
  remember(caller, token, { { id = film.id, priority = priority, mid = mid, taken_ms = now } })
  return { handed_out(film, mid, now) }
end

for _, priority in ipairs(PRIORITIES) do
  for _, entry in ipairs(pending(priority, 'IDLE', idle_ms, '-', '+', 1000)) do
    local claimed = claim(priority, entry[1], entry[2])
    if claimed then return claimed end
  end
end
return {}
