-- Gives a film the outcome that the audit ledger holds, where Redis knows none. A film that was submitted again
-- meanwhile gets it instead of another score; whoever holds it decides nothing any more. What Redis knows stands, but
-- for films that were withdrawn.
-- The first write of a lost film is one that Redis out of memory refuses, so a refusal leaves no trace.
-- ARGV: id, job, payload ('' where it is gone), priority, site, study, submitted_ms, payload bytes, outcome, reason,
-- is_dead, result, counted, done_ms, done_by, taken_ms ('' for none), attempts, then earlier decisions as the history
-- has them, oldest first. Returns 'restored', 'known' (it is done), 'reopened' (it is to be scored again), or 'expired'.
local id, job, payload, priority, site, study = unpack(ARGV, 1, 6)
local submitted_ms, bytes, done_ms = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[14])
local key, film = instance(id), film_of(id)
local verdict = {
  outcome = ARGV[9], reason = ARGV[10], is_dead = ARGV[11] == '1', result = ARGV[12], is_lateral = ARGV[13] == 'lateral',
}

if film and film.state == 'done' then
  -- A Redis that came back from an older copy must not show again what was taken back since.
  return verdict.reason == 'withdrawn' and withdraw(film, verdict.result, ARGV[15]) and 'restored' or 'known'
end
if film and film.run > 0 then
  local given_up = redis.call('LINDEX', history(id), -1)
  if not given_up or tonumber(cjson.decode(given_up).done_ms) >= done_ms then return 'reopened' end
end
local left_seconds = math.min(RECORD_SECONDS, RECORD_SECONDS - math.floor((now_ms() - done_ms) / 1000))
if left_seconds <= 0 then return 'expired' end

local study_seconds = redis.call('TTL', study_key(site, study))
if film then
  free(film.priority, film.mid)
  redis.call('ZREM', RETRY, id)
  leave_open(film)
  redis.call('HSET', key, 'commits', 0)
else
  redis.call('HSET', key, 'job', job, 'priority', priority, 'site', site, 'study', study, 'submitted_ms', ARGV[7],
    'bytes', bytes, 'crashes', 0, 'tries', 0, 'commits', 0)
  if payload ~= '' then redis.call('HSET', key, 'payload', payload) end
  film = { id = id, priority = priority, site = site, study = study, submitted_ms = submitted_ms, bytes = bytes }
  film.sop = cjson.decode(job).sop_instance_uid
  if film.sop == cjson.null then film.sop = false end
  if film.sop then redis.call('HSET', key, 'sop', film.sop) end
  count_submitted(film)
end
redis.call('HSET', key, 'attempts', ARGV[17])
if ARGV[16] ~= '' then redis.call('HSET', key, 'taken_ms', ARGV[16]) end
redis.call('DEL', history(id))
for at = 18, #ARGV do redis.call('RPUSH', history(id), ARGV[at]) end
film.run = math.max(#ARGV - 17, 0)
redis.call('HSET', key, 'run', film.run)
settle(film, verdict, ARGV[14], ARGV[15])
owe_targets(film) -- nobody knows whether they have it; it comes to them under the same UIDs

-- As long as they would have lived: record and history since the film ended, the study a day longer than any of them.
for _, part in ipairs({ key, history(id) }) do redis.call('EXPIRE', part, left_seconds) end
for _, part in ipairs({ study_key(site, study), members_key(site, study) }) do
  if study_seconds ~= -1 and redis.call('TTL', part) > 0 then -- -1: open films kept it, and others may have ended
    redis.call('EXPIRE', part, math.max(study_seconds, left_seconds + STUDY_SECONDS - RECORD_SECONDS))
  end
end
if film.sop then withdraw_if_rejected(id, film.sop) end -- by a note that came while nobody knew the film
return 'restored'
