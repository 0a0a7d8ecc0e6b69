-- Runs every command that the scripts run, on keys of its own, so that one which
-- the user may not run is found before anything depends on it. KEYS: string,
-- hash, sorted set. ARGV[1]: channel.
local call, text, hash, set = redis.call, KEYS[1], KEYS[2], KEYS[3]
call('PERSIST', text) -- as the scripts pass the memory limit
call('TIME')
call('SET', text, '1')
call('GET', text)
call('HSET', hash, 'a', '1')
call('HINCRBY', hash, 'b', 1)
call('HMGET', hash, 'a', 'b')
call('HDEL', hash, 'a', 'b')
call('ZADD', set, '0', 'a')
call('ZMSCORE', set, 'a')
call('ZRANGEBYLEX', set, '-', '+', 'LIMIT', 0, 1)
call('ZREVRANGEBYLEX', set, '+', '-', 'LIMIT', 0, 1)
call('ZREM', set, 'a')
call('ZREMRANGEBYLEX', set, '-', '+')
call('PUBLISH', ARGV[1], '')
call('DEL', text, hash, set)
return cmsgpack.pack(struct.unpack('>I4', '\0\0\0\1'))
