-- Makes a nonce the shard's owner. KEYS: head. ARGV from 3 on: nonce, lease in
-- milliseconds.
local nonce, owner = ARGV[3], sub(head, 9, 24)
if owner ~= nonce and owner ~= string.rep('\0', 16) and number(head, 49) > now then
    return cmsgpack.pack({HELD, now, head})
end
local epoch = max(number(head, 1) + 1, now)
head = bytes(epoch) .. nonce .. sub(head, 25, 48) .. bytes(now + ARGV[4]) .. bytes(now)
pass_memory_limit()
call('SET', KEYS[1], head)
return cmsgpack.pack({OK, now, head})
