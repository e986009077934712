-- Says whether a submit would be refused now. ARGV: site, payload bytes, then the limits: depth, bytes, films of one
-- site. Returns 'full', 'share', or nothing.
return refusal(ARGV[1], tonumber(ARGV[2]), {
  depth = tonumber(ARGV[3]), bytes = tonumber(ARGV[4]), of_site = tonumber(ARGV[5]),
})
