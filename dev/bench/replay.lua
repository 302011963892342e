-- wrk's script: sends requests that were made before, one after the other, and prints what came of them as JSON.
-- The file (REQUESTS) has each with its length, in eight digits, before it.
local file = assert(io.open(os.getenv("REQUESTS"), "rb"))

-- wrk builds one request before it begins, to look at it, and sends it nowhere.
function request()
    local length = file:read(8)
    if not length then
        io.stderr:write("more was answered than requests were made for\n")
        os.exit(3)
    end
    return file:read(tonumber(length))
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "micros": %d, "refused": %d, "lost": %d, "p50_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f}\n',
        summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
