-- Ends the ownership of the shard's owner. KEYS: head. ARGV[3]: fence.
if not owns(ARGV[3]) then
    return cmsgpack.pack({FENCED, now})
end
pass_memory_limit()
call('SET', KEYS[1], sub(head, 1, 8) .. string.rep('\0', 16) .. sub(head, 25, 48) .. bytes(0) .. bytes(now))
return cmsgpack.pack({OK, now})
