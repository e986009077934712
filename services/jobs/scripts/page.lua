-- Merges a page of the worklist from its index, all at one moment. ARGV: a JSON object {limit, sites (all where
-- absent), segments: [{priority, sources: [{class, low, high}]}], after: {segment, score, study, site}}; segments
-- come in reading order, and within one the oldest first, then by study, then by site.
-- Returns rows {segment, score, site, study, counters...}, at most limit.
local wanted = cjson.decode(ARGV[1])
local sites = wanted.sites or redis.call('SMEMBERS', SITES)

local function precedes(left, right)
  if left.score ~= right.score then return left.score < right.score end
  if left.study ~= right.study then return left.study < right.study end
  return left.site < right.site
end

local function read(site, segment, source, after, need)
  local key = worklist_key(site, segment.priority, source.class)
  local low = after and string.format('%.0f', after.score) or source.low
  local found, offset = {}, 0
  repeat
    local members = redis.call('ZRANGEBYSCORE', key, low, source.high, 'WITHSCORES', 'LIMIT', offset, need)
    for at = 1, #members, 2 do
      local entry = { site = site, study = members[at], score = tonumber(members[at + 1]) }
      -- A study past its retention is listed until prune comes by.
      local is_wanted = (not after or precedes(after, entry)) and redis.call('EXISTS', study_key(site, entry.study)) == 1
      if is_wanted then found[#found + 1] = entry end
    end
    offset = offset + need
  until #found >= need or #members == 0
  return found
end

local function row(at, entry)
  local field = redis.call('HMGET', study_key(entry.site, entry.study), 'priority', 'class', 'submitted_ms',
    'updated_ms', 'films', 'pending', 'unread')
  return { at, string.format('%.0f', entry.score), entry.site, entry.study, unpack(field, 1, 7) }
end

local rows = {}
for at, segment in ipairs(wanted.segments) do
  local resumes = wanted.after and wanted.after.segment or 1
  if #rows >= wanted.limit then break end
  if at >= resumes then
    local after = wanted.after and at == resumes and wanted.after or nil
    local entries = {}
    for _, site in ipairs(sites) do
      for _, source in ipairs(segment.sources) do
        for _, entry in ipairs(read(site, segment, source, after, wanted.limit)) do
          entries[#entries + 1] = entry
        end
      end
    end
    table.sort(entries, precedes)
    for _, entry in ipairs(entries) do
      if #rows >= wanted.limit then break end
      rows[#rows + 1] = row(at, entry)
    end
  end
end
return rows
