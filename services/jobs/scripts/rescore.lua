-- Opens a film that has its outcome once more; what it was goes into its history, and counts until it is decided anew.
-- The first write is one that Redis out of memory refuses, as in submit: this is new work.
-- ARGV: id, token, the limits (depth, bytes, films of one site), then the reasons of which its outcome must have one;
-- any where there are none. Returns {verdict, fields of the record}: 'ours' also where the call is repeated, or the
-- film is being scored again already; 'unknown', 'open', 'withdrawn', 'gone' (the payload), 'other' (reason), 'full',
-- 'share' without fields, and then nothing was written.
local id, token = ARGV[1], ARGV[2]
local limits = { depth = tonumber(ARGV[3]), bytes = tonumber(ARGV[4]), of_site = tonumber(ARGV[5]) }
local key, film = instance(id), film_of(id)

local function answer()
  return { 'ours', redis.call('HMGET', key, 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result') }
end

if not film then return { 'unknown' } end
if film.run > 0 and (film.state ~= 'done' or redis.call('HGET', key, 'rescored_by') == token) then return answer() end
if film.state ~= 'done' then return { 'open' } end

local field = redis.call('HMGET', key, 'payload', 'result')

local function has_wanted_reason()
  local reason = cjson.decode(field[2]).reason
  for at = 6, #ARGV do
    if ARGV[at] == reason then return true end
  end
  return #ARGV < 6
end

film.counted = counted_before(film)
film.bytes = cjson.decode(film.job).payload_bytes
if film.counted == 'withdrawn' then return { 'withdrawn' } end
if not has_wanted_reason() then return { 'other' } end
if not field[1] then return { 'gone' } end
local refused = refusal(film.site, film.bytes, limits)
if refused then return { refused } end

give_up(film)
index_sop(film)
redis.call('HSET', key, 'bytes', film.bytes, 'rescored_by', token)
become_open(film)
enqueue(id, film.priority)
count_reopened(film)
return answer()
