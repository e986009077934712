-- Ends open films that are past their deadline, whoever holds them. ARGV: the caller's clock in ms, deadlines as JSON
-- {stat, routine: ms, of_sites: {site or site/priority: ms}}, outcome, reason, result, offset into the open films, how
-- many to look at. Returns {looked at, ended}.
-- A film is late only by two clocks: by Redis' own since it is open, and by the caller's since it was submitted. One
-- clock that jumps, at whatever host, ends nothing.
local caller_ms, deadlines = tonumber(ARGV[1]), cjson.decode(ARGV[2])
local offset, size = tonumber(ARGV[6]), tonumber(ARGV[7])

local function deadline_of(film) -- as Deadlines.of
  return deadlines.of_sites[film.site .. '/' .. film.priority] or deadlines.of_sites[film.site]
    or deadlines[film.priority]
end

-- Open films are in the order in which they became open: those that are late by no deadline are not looked at.
local function shortest()
  local least = math.min(deadlines.stat, deadlines.routine)
  for _, ms in pairs(deadlines.of_sites) do least = math.min(least, ms) end
  return least
end

local now, ended = now_ms(), 0
local latest = string.format('%.0f', now - shortest())
local open = redis.call('ZRANGEBYSCORE', OPEN, '-inf', latest, 'WITHSCORES', 'LIMIT', offset, size)
for at = 1, #open, 2 do
  local film = film_of(open[at])
  if film and film.state ~= 'done' then
    local age_ms = math.min(now - tonumber(open[at + 1]), caller_ms - film.submitted_ms)
    if age_ms > deadline_of(film) then
      close(film, { outcome = ARGV[3], reason = ARGV[4], is_dead = true, result = ARGV[5] }, 'deadline')
      ended = ended + 1
    end
  end
end
return { #open / 2, ended }
