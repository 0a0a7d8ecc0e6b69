-- Reads a range. KEYS: head, data, index. ARGV from 3 on: lower bound, upper
-- bound, limit, '' for ascending order, '' for keys with their values.
local keys
if ARGV[6] == '' then
    keys = call('ZRANGEBYLEX', KEYS[3], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
else
    keys = call('ZREVRANGEBYLEX', KEYS[3], ARGV[4], ARGV[3], 'LIMIT', 0, ARGV[5])
end
if ARGV[7] ~= '' then
    return cmsgpack.pack({OK, now, keys})
end
return cmsgpack.pack({OK, now, keys, fields(KEYS[2], keys)})
