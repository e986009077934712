-- Hands out waiting jobs: stat first, but one of every SHARE taken jobs is routine where routine waits, counted
-- across takes and workers. Suspects are put aside for reap, which hands them out alone.
-- ARGV: consumer, token, count, share. Returns {jobs, last id of stat, last id of routine}; the ids let the caller
-- wait for what comes next without taking it.
local consumer, token, count, share = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local now = now_ms()

local again = repeated(consumer, consumer, token)
if again then return { again, '0-0', '0-0' } end

local jobs, taken = {}, {}

local function hand_out(film, mid)
  mark_running(film, now)
  jobs[#jobs + 1] = handed_out(film, mid, now)
  taken[#taken + 1] = { id = film.id, priority = film.priority, mid = mid, taken_ms = now }
end

-- Frees the entry of a film that is done, lost or queued elsewhere; nothing is to be done for it.
local function living(priority, mid, id)
  local film = id and film_of(id)
  if film and film.state ~= 'done' and film.mid == mid then return film end
  free(priority, mid)
end

local function take_given_back(priority, wanted)
  -- More than wanted, because suspects stand in the same list and stay there.
  for _, entry in ipairs(pending(priority, '-', '+', wanted + 100, ASIDE)) do
    local film = living(priority, entry[1], film_id_at(priority, entry[1]))
    if film and film.crashes == 0 and wanted > 0 then
      redis.call('XCLAIM', stream(priority), GROUP, consumer, 0, entry[1], 'JUSTID')
      hand_out(film, entry[1])
      wanted = wanted - 1
    end
  end
  return wanted
end

local function read_new(priority, wanted)
  local command = { 'XREADGROUP', 'GROUP', GROUP, consumer, 'COUNT', wanted, 'STREAMS', stream(priority), '>' }
  local reply = redis.pcall(unpack(command))
  if without_group(reply) then
    redis.call('XGROUP', 'CREATE', stream(priority), GROUP, '0', 'MKSTREAM') -- from 0: '$' would skip what waits
    reply = redis.call(unpack(command))
  end
  return reply and reply[1] and reply[1][2] or {}
end

local function take(priority, wanted)
  if wanted <= 0 then return end -- COUNT 0 would deliver everything
  wanted = take_given_back(priority, wanted)
  while wanted > 0 do
    local entries = read_new(priority, wanted)
    if #entries == 0 then return end
    for _, entry in ipairs(entries) do
      local film = living(priority, entry[1], entry[2][2])
      if film and film.crashes > 0 then
        put_aside(priority, entry[1], 1)
      elseif film then
        hand_out(film, entry[1])
        wanted = wanted - 1
      end
    end
  end
end

local position = tonumber(redis.call('GET', SHARE) or 0)
local reserved = math.floor((position + count) / share) - math.floor(position / share)
take('stat', count - reserved)
take('routine', count - #jobs)
take('stat', count - #jobs)

if #jobs > 0 then
  redis.call('INCRBY', SHARE, #jobs)
  remember(consumer, token, taken)
  return { jobs, '0-0', '0-0' }
end

local function last_id(priority)
  local facts = redis.pcall('XINFO', 'STREAM', stream(priority))
  if facts.err then return '0-0' end
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' then return facts[at + 1] end
  end
end
return { jobs, last_id('stat'), last_id('routine') }
