-- Acknowledges and writes the result in one step; the first writer wins.
-- ARGV: id, priority, mid, who finishes, outcome, reason, is_dead, result, is_lateral, run. Returns 1 for the first
-- writer (also when it repeats the call), 0 where another result stands, the film is unknown, or is being scored again:
-- a worker that held it before that must not decide it.
local id, priority, mid, by = unpack(ARGV, 1, 4)
free(priority, mid)
local film = film_of(id)
if not film then return 0 end -- lost by Redis; the spool will submit it again
if film.run ~= tonumber(ARGV[10]) then return 0 end
if film.state == 'done' then
  return redis.call('HGET', instance(id), 'done_by') == by and 1 or 0
end
close(film, {
  outcome = ARGV[5], reason = ARGV[6], is_dead = ARGV[7] == '1', result = ARGV[8], is_lateral = ARGV[9] == '1',
}, by)
return 1
