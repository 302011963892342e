-- wrk's script: sends requests that were made before, one after the other, and prints what came of them as JSON.
-- A file has each with its length, in eight digits, before it.
--
-- Without RATE: as fast as they are answered, from one file (REQUESTS). With it: each thread has one connection and a file of its
-- own (REQUESTS.0, REQUESTS.1, …) and sends the n-th when it is due (START, in seconds of the monotonic clock, and n / RATE
-- after it), or as soon as the one before is answered; RATE 0: at once. Latency counts from when a request was due; from when it
-- was sent, where that is earlier: wrk's timer knows only milliseconds, and is told the one before.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds; long nanos; } moment; int clock_gettime(int clock, moment *now);")
local moment = ffi.new("moment")

local rate = tonumber(os.getenv("RATE"))
local start, number = tonumber(os.getenv("START")), tonumber(os.getenv("THREADS"))
local threads = {}
local file, due, sent
local asked, answered = 0, 0
-- Of each request of this thread, in µs: how long it took, and how late it was sent.
took, late, refused = {}, {}, 0

local function now()
    ffi.C.clock_gettime(1, moment)
    return tonumber(moment.seconds) + tonumber(moment.nanos) / 1e9
end

function setup(thread)
    thread:set("id", #threads)
    table.insert(threads, thread)
end

function init()
    file = assert(io.open(os.getenv("REQUESTS") .. (rate and "." .. id or ""), "rb"))
    total = rate and tonumber(file:read(8))
end

local function next_request()
    local length = file:read(8)
    if not length then
        io.stderr:write("more was answered than requests were made for\n")
        os.exit(3)
    end
    return file:read(tonumber(length))
end

if not rate then
    -- wrk builds one request before it begins, to look at it, and sends it nowhere.
    request = next_request
else
    local looked

    function delay()
        if rate == 0 then
            due = now()
            return 0
        end
        due = start + (asked * number + id) / rate
        return math.max(0, math.floor((due - now()) * 1000))
    end

    function request()
        if not due then
            looked = next_request()
            return looked
        end
        local raw = looked or next_request()
        looked = nil
        sent = now()
        asked = asked + 1
        return raw
    end

    function response(status)
        table.insert(took, math.floor((now() - math.min(sent, due)) * 1e6))
        table.insert(late, math.floor((sent - due) * 1e6))
        if status < 200 or status > 299 then
            refused = refused + 1
        end
        answered = answered + 1
        if answered == total then
            io.write("finished\n")
            io.flush()
            wrk.thread:stop()
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    local lost = errors.connect + errors.read + errors.write + errors.timeout
    if rate then
        local all, lates, bad = {}, {}, 0
        for _, thread in ipairs(threads) do
            for _, micros in ipairs(thread:get("took")) do table.insert(all, micros) end
            for _, micros in ipairs(thread:get("late")) do table.insert(lates, micros) end
            bad = bad + thread:get("refused")
        end
        io.write(string.format('\n{"refused": %d, "lost": %d, "took": [%s], "late": [%s]}\n', bad, lost,
            table.concat(all, ","), table.concat(lates, ",")))
        return
    end
    io.write(string.format(
        '\n{"requests": %d, "micros": %d, "refused": %d, "lost": %d, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f}\n',
        summary.requests, summary.duration, errors.status, lost,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
