-- Films that are taken back, by whoever sent them or by a rejection note, whatever has become of them.

local function rejected_key(site, uid) return TAG .. ':rejected:' .. site .. '|' .. uid end

-- Ends a film as withdrawn; returns whether it was not yet. A decision that it has goes into its history. Its payload
-- stays as long as that of any film. Whoever holds the film finds its entry gone, and decides nothing any more.
local function withdraw(film, result, by)
  if film.state == 'done' then
    film.counted = counted_before(film)
    if film.counted == 'withdrawn' then return false end
    redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
    give_up(film)
    count_pending(film)
  end
  close(film, { outcome = 'not_assessed', reason = 'withdrawn', is_dead = false, result = result }, by)
  return true
end

-- Withdraws a film that has just come, where a rejection note has named it before. The note left what to write.
local function withdraw_if_rejected(id, uid)
  local film = film_of(id)
  local result = redis.call('GET', rejected_key(film.site, uid))
  if result then withdraw(film, result, 'rejected') end
end
