-- Puts a film off after a transient failure. ARGV: consumer, id, priority, mid, then the waits in ms.
-- Returns 1 where it is put off, 0 where its tries are used up (nothing is written), -1 where the consumer does not
-- hold it: a worker that was thought dead must not take it from the one that has it now.
local consumer, id, priority, mid = unpack(ARGV, 1, 4)
if holder(priority, mid) ~= consumer then return -1 end
local film = film_of(id)
if film and film.tries >= #ARGV - 4 then return 0 end
free(priority, mid)
if not film or film.state == 'done' or film.mid ~= mid then return -1 end
redis.call('ZADD', RETRY, now_ms() + tonumber(ARGV[5 + film.tries]), id)
redis.call('HSET', instance(id), 'state', 'queued', 'tries', film.tries + 1)
return 1
