-- Puts a film off after a transient failure. ARGV: id, priority, mid, then the waits in ms.
-- Returns 1 where it is put off, 0 where its tries are used up (nothing is written), -1 where it is not held.
local id, priority, mid = unpack(ARGV, 1, 3)
if not holder(priority, mid) then return -1 end
local film = film_of(id)
if film and film.tries >= #ARGV - 3 then return 0 end
free(priority, mid)
if not film or film.state == 'done' or film.mid ~= mid then return -1 end
redis.call('ZADD', RETRY, now_ms() + tonumber(ARGV[4 + film.tries]), id)
redis.call('HSET', instance(id), 'state', 'queued', 'tries', film.tries + 1)
return 1
