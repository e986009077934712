-- Withdraws a film; one that was withdrawn before stays as it is. ARGV: id, result, by whom.
-- Returns {'unknown'}, or {1 where it was withdrawn by this call, also where that is repeated; fields of the record}.
local id, by = ARGV[1], ARGV[3]
local film = film_of(id)
if not film then return { 'unknown' } end
withdraw(film, ARGV[2], by)
return {
  redis.call('HGET', instance(id), 'done_by') == by and 1 or 0,
  redis.call('HMGET', instance(id), 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result'),
}
