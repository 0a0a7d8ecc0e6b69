-- Carries out a batch. KEYS: head, data, index, counters, names. ARGV from 3 on:
-- fence or '', number of the commit before, number of the commit, channel of the
-- hint or '', batch: {guard keys, guard values, groups}, a group being {number of
-- guards, {name, addition, ...}, operation, list, operation, list, ...}.
local DATA, INDEX, COUNTERS, NAMES = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local fence, before, commit, channel = ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local fenced, repeated = fence ~= '', false
if fenced then
    if not owns(fence) then
        return cmsgpack.pack({FENCED, now})
    end
    local last = sub(head, 25, 32)
    repeated = last == commit and sub(head, 33, 40) == sub(fence, 1, 8)
    if not repeated and last ~= before then
        return cmsgpack.pack({HISTORY, now, last})
    end
end

local batch = cmsgpack.unpack(ARGV[7])
local groups = batch[3]

-- Every guard is looked at before anything of the batch is there.
local skip, skipped, carried = {}, {}, 0
do
    local wanted, found, at = batch[2], lookup(DATA, INDEX, batch[1]), 0
    for i = 1, #groups do
        local guards = groups[i][1]
        for k = at + 1, at + guards do
            if found[k] ~= wanted[k] then
                skip[i] = true
                skipped[#skipped + 1] = i - 1
                skipped[#skipped + 1] = k - at - 1
                skipped[#skipped + 1] = found[k]
                break
            end
        end
        if not skip[i] then
            carried = carried + 1
        end
        at = at + guards
    end
end
if repeated then
    carried = 0
end

-- Fenced batches settle jobs and free memory; one that changes nothing takes none.
if fenced or carried == 0 then
    pass_memory_limit()
end

-- Counters come first: an addition is the only step that can still be refused,
-- and what was added before it is taken back.
local function add(additions)
    local done = {}
    for i = 1, #additions, 2 do
        local name, addition = additions[i], additions[i + 1]
        local value = redis.pcall('HINCRBY', COUNTERS, name, addition)
        if type(value) == 'table' then
            for k = #done - 2, 1, -3 do
                local back = tostring(done[k + 1])
                if type(done[k + 1]) == 'number' then
                    back = -done[k + 1]
                elseif sub(back, 1, 1) == '-' then
                    back = sub(back, 2)
                else
                    back = '-' .. back
                end
                if call('HINCRBY', COUNTERS, done[k], back) == 0 then
                    call('HDEL', COUNTERS, done[k])
                end
            end
            return value
        end
        done[#done + 1], done[#done + 2], done[#done + 3] = name, addition, value
    end
    for k = 1, #done, 3 do
        if done[k + 2] == 0 then
            call('HDEL', COUNTERS, done[k])
            call('ZREM', NAMES, done[k])
        elseif done[k + 2] == tonumber(done[k + 1]) then
            call('ZADD', NAMES, '0', done[k])
        end
    end
end

-- Additions that come as numbers are small enough that their sum is exact; great
-- ones come as text and are added one by one.
local function additions()
    local list, sums, names = {}, {}, {}
    for i = 1, #groups do
        local counters = not skip[i] and groups[i][2] or {}
        for k = 1, #counters, 2 do
            local name, addition = counters[k], counters[k + 1]
            if type(addition) == 'string' then
                list[#list + 1], list[#list + 2] = name, addition
            elseif sums[name] then
                sums[name] = sums[name] + addition
            else
                names[#names + 1], sums[name] = name, addition
            end
        end
    end
    for i = 1, #names do
        if sums[names[i]] ~= 0 then
            list[#list + 1], list[#list + 2] = names[i], sums[names[i]]
        end
    end
    return list
end

if carried > 0 then
    local refused = add(additions())
    if refused then
        if string.find(refused.err, 'overflow', 1, true) then
            return cmsgpack.pack({OVERFLOW, now})
        end
        return refused
    end
end

-- Calls a command with a list, some at a time.
local function each(command, key, list, count)
    for from = 1, count, CHUNK do
        call(command, key, unpack(list, from, min(from + CHUNK - 1, count)))
    end
end

local seq = number(head, 41)
local first = seq + 1

-- Puts are gathered over all groups and written together: those with values,
-- {key, value, ...} and {'0', key, ...}, and those without, {'0', key, ...}.
local values, indexed, valued, empty, emptied = {}, {}, 0, {}, 0

local function write()
    for from = 1, emptied, CHUNK do
        local to = min(from + CHUNK - 1, emptied)
        if call('ZADD', INDEX, unpack(empty, from, to)) < (to - from + 1) / 2 then
            -- Some were there before, and may have had a value.
            for i = from + 1, to, 2 do
                call('HDEL', DATA, empty[i])
            end
        end
    end
    each('HSET', DATA, values, valued)
    each('ZADD', INDEX, indexed, valued)
    values, indexed, valued, empty, emptied = {}, {}, 0, {}, 0
end

local function put(key, value)
    if value == '' then
        empty[emptied + 1], empty[emptied + 2] = '0', key
        emptied = emptied + 2
    else
        values[valued + 1], values[valued + 2] = key, value
        indexed[valued + 1], indexed[valued + 2] = '0', key
        valued = valued + 2
    end
end

-- The operations of a group, by their number.
local operations = {
    -- Deletes keys.
    function(keys)
        write()
        each('HDEL', DATA, keys, #keys)
        each('ZREM', INDEX, keys, #keys)
    end,
    -- Deletes ranges: {from, to, ...}.
    function(ranges)
        write()
        for i = 1, #ranges, 2 do
            local low, high = '[' .. ranges[i], '(' .. ranges[i + 1]
            local at, keys = low
            repeat
                keys = call('ZRANGEBYLEX', INDEX, at, high, 'LIMIT', 0, CHUNK)
                if #keys > 0 then
                    call('HDEL', DATA, unpack(keys))
                    at = '(' .. keys[#keys]
                end
            until #keys < CHUNK
            call('ZREMRANGEBYLEX', INDEX, low, high)
        end
    end,
    -- Puts: {key, value, ...}.
    function(list)
        for i = 1, #list, 2 do
            put(list[i], list[i + 1])
        end
    end,
    -- Puts keys that were put before in this batch.
    function(list)
        for i = 1, #list, 2 do
            write()
            put(list[i], list[i + 1])
        end
    end,
    -- Puts under the next sequence numbers: {stem, value, ...}. A key with its number
    -- may have been put as it is, which only these operations do not tell.
    function(list)
        for i = 1, #list, 2 do
            seq = seq + 1
            if list[i + 1] == '' and valued > 0 then
                write()
            end
            put(list[i] .. bytes(seq), list[i + 1])
        end
    end,
}

for i = 1, carried > 0 and #groups or 0 do
    if not skip[i] then
        local group = groups[i]
        for k = 3, #group, 2 do
            operations[group[k]](group[k + 1])
        end
    end
end
write()

-- The head comes last, and is written by every batch: time goes on from it, and
-- who waits for replicas waits for all that was written before it.
local author = sub(head, 33, 40)
if fenced then
    author = sub(fence, 1, 8)
else
    commit = sub(head, 25, 32)
end
call('SET', KEYS[1], sub(head, 1, 24) .. commit .. author .. bytes(seq) .. sub(head, 49, 56) .. bytes(now))
if repeated then
    return cmsgpack.pack({REPEATED, now})
end
if channel ~= '' and carried > 0 then
    redis.pcall('PUBLISH', channel, '') -- a hint may be lost
end
return cmsgpack.pack({OK, now, first, skipped})
