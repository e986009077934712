-- Notes that a finished film's payload is about to be deleted. ARGV: id, payload. Returns 1 if it may be.
local field = redis.call('HMGET', instance(ARGV[1]), 'state', 'payload')
if field[1] ~= 'done' or field[2] ~= ARGV[2] then return 0 end
redis.call('HDEL', instance(ARGV[1]), 'payload')
return 1
