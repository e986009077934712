-- What the page's sessions are worth, all at one moment. KEYS: their names. Returns for each {key's id (or false),
-- milliseconds left}.
local found = {}
for at, name in ipairs(KEYS) do found[at] = { redis.call('GET', name), redis.call('PTTL', name) } end
return found
