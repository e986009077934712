-- Whether reap has something to hand out or to clear away. Writes nothing.
-- ARGV: idle ms, then the ids that the caller itself works on. Returns 1 or 0.
local held = {}
for at = 2, #ARGV do held[ARGV[at]] = true end

for _, priority in ipairs(PRIORITIES) do
  for _, entry in ipairs(pending(priority, 'IDLE', ARGV[1], '-', '+', 1000)) do
    local film = film_of(film_id_at(priority, entry[1]) or '')
    if not film or (is_suspect(film, entry[2]) and not held[film.id]) then return 1 end
  end
end
return 0
