-- Ends an attempt to send a decision. ARGV: step, target, member, leased until, attempts before, then what the step takes.
-- Returns 1 where it took effect, or is delivered already; 0 where the lease is over, nothing is owed any more, or the call
-- is repeated: that changes nothing.
local target, member, leased_ms, attempts = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local due = delivery_key('due', target)
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)

local steps = {}

-- Whoever has sent it: it is there.
function steps.delivered() forget_owed(target, member) end

function steps.later(note, wait_ms, reason)
  note.attempts, note.reason, note.leased_ms = attempts + 1, reason, 0
  keep_delivery_note(target, member, note)
  redis.call('ZADD', due, now_ms() + tonumber(wait_ms), member)
end

-- Unharmed: no attempt is counted.
function steps.give_back(note)
  note.leased_ms = 0
  keep_delivery_note(target, member, note)
  redis.call('ZADD', due, now_ms(), member)
end

function steps.dead(note, reason)
  note.attempts = attempts + 1
  keep_delivery_note(target, member, note)
  bury(target, member, reason)
end

-- A later decision of the film has waited for this attempt to end.
local function wake_later()
  local id, number = string.match(member, '^(%x+):(%d+)$')
  local film = film_of(id)
  if not film or decision_number(film) == tonumber(number) then return end
  local later = id .. ':' .. decision_number(film)
  if redis.call('ZSCORE', due, later) and delivery_note(target, later).leased_ms == 0 then
    redis.call('ZADD', due, now_ms(), later)
  end
end

if not redis.call('ZSCORE', due, member) then return ARGV[1] == 'delivered' and 1 or 0 end
local note = delivery_note(target, member)
if ARGV[1] ~= 'delivered' and note.leased_ms ~= leased_ms then return 0 end
steps[ARGV[1]](note, unpack(ARGV, 6))
wake_later()
return 1
