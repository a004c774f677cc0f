-- Collect every write, then do them: the log entry first, because it is what others rebuild from.
-- A script that fails half-way is not rolled back, so a write that fails closes the cell.
local events, payloads, writes = {}, {}, {}

local function write(...)
  writes[#writes + 1] = { ... }
end

-- HSET, HDEL, ZADD, ZREM of any number of values; 4,000 a command, far below unpack's 8,000.
local function write_all(command, key, values)
  for first = 1, #values, 4000 do
    local last = math.min(first + 3999, #values)
    local chunk = { command, key }
    for i = first, last do
      chunk[#chunk + 1] = values[i]
    end
    writes[#writes + 1] = chunk
  end
end

local function closed_by(failure)
  redis.pcall("HSET", KEYS[1], "phase", "closed", "reason", "a write failed: " .. failure, "closed_at", now)
  return cmsgpack.pack({ "FENCED", now, log_id, { ARGV[1], "closed" } })
end

-- Do all writes and answer with `results`; without events nothing is appended to the log.
local function commit(results)
  if #events > 0 then
    local entry = { "XADD", KEYS[2], "*", "v", "1", "e", cmsgpack.pack(events) }
    for i = 1, #payloads do
      entry[#entry + 1] = "p"
      entry[#entry + 1] = payloads[i]
    end
    local id = redis.pcall(unpack(entry))
    if type(id) == "table" then
      return closed_by(id.err)
    end
    log_id = id
  end
  write("HSET", KEYS[1], "now", now, "last", log_id, "accepted", accepted)
  for i = 1, #writes do
    local reply = redis.pcall(unpack(writes[i]))
    if type(reply) == "table" and reply.err then
      return closed_by(reply.err)
    end
  end
  return cmsgpack.pack({ "OK", now, log_id, results })
end
