-- What every script begins with. KEYS[1] is the shard's head; ARGV[1] is the
-- latest time, in milliseconds, that the caller knows; ARGV[2] is '' where time
-- goes by the server's clock.
--
-- A script answers with one MessagePack array: a code, the time, and what the
-- code says. It writes nothing before it has looked at everything that could
-- make it fail, since what it has written stays.
local OK, MISSING, DAMAGED, FENCED, HISTORY, REPEATED, HELD, OVERFLOW = 0, 1, 2, 3, 4, 5, 6, 7

-- Lua passes no more than some 8,000 arguments; even, so that pairs stay whole.
local CHUNK = 4000

local call, sub, min, max = redis.call, string.sub, math.min, math.max

local head = call('GET', KEYS[1])
if not head then
    return cmsgpack.pack({MISSING})
end
if #head ~= 64 then
    return cmsgpack.pack({DAMAGED})
end

-- The head's numbers are 8 bytes, big-endian. What is counted with here (times,
-- epochs, sequence numbers) stays below 2^53, up to which a Lua number is exact;
-- commit numbers are only compared, as bytes.
local function number(bytes, at)
    local high, low = struct.unpack('>I4I4', bytes, at)
    return high * 4294967296 + low
end

local function bytes(number)
    local low = number % 4294967296
    return struct.pack('>I4I4', (number - low) / 4294967296, low)
end

local now = max(tonumber(ARGV[1]), number(head, 57))
if ARGV[2] == '' then
    local time = call('TIME')
    now = max(now, time[1] * 1000 + math.floor(time[2] / 1000))
end

-- Does the fence, an epoch and a nonce, own the shard? The zero nonce never does.
local function owns(fence)
    return sub(head, 1, 24) == fence and sub(fence, 9) ~= string.rep('\0', 16)
end

-- At its memory limit the server refuses the first write of a script that could
-- take more, and lets a script go on that has written. This changes nothing.
local function pass_memory_limit()
    call('PERSIST', KEYS[1])
end

-- The values of a hash's fields, false for an absent one.
local function fields(hash, names)
    local values = {}
    for from = 1, #names, CHUNK do
        local found = call('HMGET', hash, unpack(names, from, min(from + CHUNK - 1, #names)))
        for i = 1, #found do
            values[from + i - 1] = found[i]
        end
    end
    return values
end

-- The values under keys, false for an absent key. A key whose value is empty
-- stands in the index only.
local function lookup(data, index, keys)
    local values, absent, places = fields(data, keys), {}, {}
    for i = 1, #values do
        if not values[i] then
            absent[#absent + 1], places[#places + 1] = keys[i], i
        end
    end
    for from = 1, #absent, CHUNK do
        local scores = call('ZMSCORE', index, unpack(absent, from, min(from + CHUNK - 1, #absent)))
        for i = 1, #scores do
            if scores[i] then
                values[places[from + i - 1]] = ''
            end
        end
    end
    return values
end
