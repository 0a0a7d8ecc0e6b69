-- Reads counters by their names. KEYS: head, counters, names. ARGV from 3 on:
-- lower bound, upper bound, limit.
local names = call('ZRANGEBYLEX', KEYS[3], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
return cmsgpack.pack({OK, now, names, fields(KEYS[2], names)})
