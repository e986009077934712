-- Notes that a finished film's payload is about to be deleted. ARGV: id, payload. Returns 1 if it may be: what is sent
-- to targets is made from its header, so it waits a while for those that are away.
local field = redis.call('HMGET', instance(ARGV[1]), 'state', 'payload', 'done_ms')
if field[1] ~= 'done' or field[2] ~= ARGV[2] then return 0 end
if is_awaited(film_of(ARGV[1]), tonumber(field[3])) then return 0 end
redis.call('HDEL', instance(ARGV[1]), 'payload')
return 1
