-- Says of a film whether it is known, else whether a submit of it would be refused now, else which film the same object
-- is already. ARGV: id, site, payload bytes, then the limits: depth, bytes, films of one site; SOPInstanceUID ('' for
-- none). Returns {'known', fields of the record...}, {'sibling', id, payload (false where it is gone), fields of its
-- record...}, or one of {'full'}, {'share'}, {'room'}.
local function fields_of(id)
  return redis.call('HMGET', instance(id), 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result')
end

local field = fields_of(ARGV[1])
for at = 1, 6 do
  if field[at] then return { 'known', unpack(field, 1, 6) } end
end
local refused = refusal(ARGV[2], tonumber(ARGV[3]), {
  depth = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]), of_site = tonumber(ARGV[6]),
})
if refused then return { refused } end
local sibling = ARGV[7] ~= '' and newest_of_sop(ARGV[2], ARGV[7])
if not sibling then return { 'room' } end
return { 'sibling', sibling, redis.call('HGET', instance(sibling), 'payload'), unpack(fields_of(sibling), 1, 6) }
