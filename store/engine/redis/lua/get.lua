-- Reads the values of keys. KEYS: head, data, index. ARGV[3]: {key, ...}.
return cmsgpack.pack({OK, now, lookup(KEYS[2], KEYS[3], cmsgpack.unpack(ARGV[3]))})
