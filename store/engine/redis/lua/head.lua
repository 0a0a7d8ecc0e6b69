-- Reads the head. KEYS: head.
return cmsgpack.pack({OK, now, head})
