-- Reads counters. KEYS: head, counters. ARGV[3]: {name, ...}.
return cmsgpack.pack({OK, now, fields(KEYS[2], cmsgpack.unpack(ARGV[3]))})
