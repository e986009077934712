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

local field = redis.call('HMGET', key, 'payload', 'result', 'done_ms', 'taken_ms', 'attempts', 'done_by')
local result = cjson.decode(field[2])

local function has_wanted_reason()
  for at = 6, #ARGV do
    if ARGV[at] == result.reason then return true end
  end
  return #ARGV < 6
end

-- Films that ended under 0.1.0 do not say. One of reason `view` is then the lateral that its study counts, or else is
-- taken for it; that way round nothing unread is excused.
local function counted_before()
  if film.counted then return film.counted end
  local laterals = tonumber(redis.call('HGET', study_key(film.site, film.study), 'laterals') or 0)
  return counted_as({
    outcome = result.outcome, reason = result.reason, is_lateral = result.reason == 'view' and laterals > 0,
  })
end

film.counted = counted_before()
film.bytes = cjson.decode(film.job).payload_bytes
if film.counted == 'withdrawn' then return { 'withdrawn' } end
if not has_wanted_reason() then return { 'other' } end
if not field[1] then return { 'gone' } end
local refused = refusal(film.site, film.bytes, limits)
if refused then return { refused } end

local now = now_ms()
local kept = redis.call('RPUSH', history(id), cjson.encode({
  result = field[2], done_ms = field[3], taken_ms = field[4] or nil, attempts = field[5], done_by = field[6],
  counted = film.counted, replaced_ms = string.format('%.0f', now),
}))
for _, part in ipairs({ key, history(id) }) do redis.call('PERSIST', part) end
local due_ms = redis.call('ZSCORE', LEDGER_DUE, id)
if due_ms then -- not in the ledger yet: it is still owed, from the history
  redis.call('ZREM', LEDGER_DUE, id)
  redis.call('ZADD', LEDGER_DUE, due_ms, id .. ':' .. (kept - 1))
end
redis.call('HDEL', key, 'outcome', 'result', 'done_ms', 'done_by', 'taken_ms')
redis.call('HSET', key, 'bytes', film.bytes, 'counted', film.counted, 'run', film.run + 1, 'rescored_by', token,
  'attempts', 0, 'crashes', 0, 'tries', 0, 'commits', 0)
become_open(film)
enqueue(id, film.priority)
count_reopened(film)
return answer()
