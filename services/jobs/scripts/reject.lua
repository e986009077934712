-- Withdraws the films that a rejection note names, and remembers their names for as long as records live, so that what
-- is not here yet is withdrawn when it comes. The first write is one that Redis out of memory refuses, as in submit:
-- names are new work, and nothing else bounds them. ARGV: site, result, then study and SOPInstanceUID of each.
-- Returns the ids of the films that this call withdrew.
local site, result = ARGV[1], ARGV[2]
local withdrawn, of_studies = {}, {}

-- Films that came before there was the index are found by their study; each is looked through once.
local function films_by_uid(study)
  if of_studies[study] then return of_studies[study] end
  local films = {}
  for _, id in ipairs(redis.call('ZRANGE', members_key(site, study), 0, -1)) do
    local job = redis.call('HGET', instance(id), 'job')
    local uid = job and cjson.decode(job).sop_instance_uid
    if type(uid) == 'string' then
      films[uid] = films[uid] or {}
      table.insert(films[uid], id)
    end
  end
  of_studies[study] = films
  return films
end

-- Several where the same instance came with other pixels.
local function films_of(study, uid)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', sop_key(site, uid), 0, -1)) do found[id] = true end
  for _, id in ipairs(films_by_uid(study)[uid] or {}) do found[id] = true end
  return found
end

for at = 3, #ARGV, 2 do
  redis.call('SET', rejected_key(site, ARGV[at + 1]), result, 'EX', RECORD_SECONDS)
  for id in pairs(films_of(ARGV[at], ARGV[at + 1])) do
    local film = film_of(id)
    if film and withdraw(film, result, 'rejected') then withdrawn[#withdrawn + 1] = id end
  end
end
return withdrawn
