-- Keeps or forgets a model's operating table. ARGV: step, digest, the table. Returns 'ok', or 'used': a policy or an
-- activation names the model.
redis.call('HDEL', TABLES, 'nothing') -- frees first, see shared.lua

local steps = {}

function steps.keep(digest, text)
  redis.call('HSET', TABLES, digest, text)
  return 'ok'
end

function steps.forget(digest)
  for _, name in ipairs({ 'active', 'previous', 'candidate' }) do
    if redis.call('HGET', BUNDLE, name) == digest then return 'used' end
  end
  local all = redis.call('HGETALL', POLICIES)
  for at = 1, #all, 2 do
    if string.match(all[at], '|(%x+)$') == digest then return 'used' end
  end
  redis.call('HDEL', TABLES, digest)
  return 'ok'
end

return steps[ARGV[1]](unpack(ARGV, 2))
