-- Extends the lease of the shard's owner. KEYS: head. ARGV from 3 on: fence,
-- lease in milliseconds.
if not owns(ARGV[3]) then
    return cmsgpack.pack({FENCED, now})
end
pass_memory_limit()
call('SET', KEYS[1], sub(head, 1, 48) .. bytes(now + ARGV[4]) .. bytes(now))
return cmsgpack.pack({OK, now})
