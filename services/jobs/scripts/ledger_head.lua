-- Notes how far a chain of the audit ledger is durable; never backwards. ARGV: file, seq, digest. Returns 1.
redis.call('ZREM', LEDGER_DUE, '') -- frees nothing, but Redis out of memory refuses no later write (see shared.lua)
note_head(ARGV[1], tonumber(ARGV[2]), ARGV[3])
return 1
