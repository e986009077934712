-- Says of a film whether it is known, else whether a submit of it would be refused now. ARGV: id, site, payload bytes,
-- then the limits: depth, bytes, films of one site. Returns {'known', fields of the record...}, or one of {'full'},
-- {'share'}, {'room'}.
local field = redis.call('HMGET', instance(ARGV[1]), 'job', 'state', 'attempts', 'taken_ms', 'done_ms', 'result')
for at = 1, 6 do
  if field[at] then return { 'known', unpack(field, 1, 6) } end
end
local refused = refusal(ARGV[2], tonumber(ARGV[3]), {
  depth = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]), of_site = tonumber(ARGV[6]),
})
return { refused or 'room' }
