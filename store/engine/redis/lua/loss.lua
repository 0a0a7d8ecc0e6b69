-- Looks at a shard whose head is gone and, where ARGV[1] is not '', sets that as its
-- head. KEYS: head, data, index, counters, names. Answers with the number of entries
-- and whether they are whole: the first two of the other keys are there together, and
-- so are the last two. What is not whole goes when a head is set. Answers with nothing
-- where the head is there.
local call = redis.call
if call('EXISTS', KEYS[1]) == 1 then
    return {}
end
local entries = call('ZCARD', KEYS[3])
local whole = call('EXISTS', KEYS[2]) == call('EXISTS', KEYS[3]) and call('EXISTS', KEYS[4]) == call('EXISTS', KEYS[5])
if ARGV[1] ~= '' then
    if not whole then
        call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
    end
    call('SET', KEYS[1], ARGV[1])
end
return {entries, whole and 1 or 0}
