-- Collect every write, then do them: the log entry first, because it is what others rebuild from.
-- A script that fails half-way is not rolled back, so a write that fails closes the cell.
local events, payloads, writes = {}, {}, {}

local function write(command, key, ...)
  writes[#writes + 1] = { command, key, { ... }, 1, select("#", ...) }
end

-- HSET, HDEL, ZADD, ZREM of any number of values; 4,000 a command, far below unpack's 8,000.
local function write_all(command, key, values)
  for first = 1, #values, 4000 do
    writes[#writes + 1] = { command, key, values, first, math.min(first + 3999, #values) }
  end
end

-- A msgpack list of values; those that are text are packed already.
local function packed_list(list)
  local parts, count, ready = {}, #list, false
  for i = 1, count do
    ready = ready or type(list[i]) == "string"
  end
  if not ready then
    return cmsgpack.pack(list)
  end
  for i = 1, count do
    parts[i] = type(list[i]) == "string" and list[i] or cmsgpack.pack(list[i])
  end
  local short = count < 16 and string.char(144 + count)
  return (short or string.char(220, math.floor(count / 256), count % 256)) .. table.concat(parts)
end

local function closed_by(failure)
  redis.pcall("HSET", KEYS[1], "phase", "closed", "reason", "a write failed: " .. failure, "closed_at", now)
  return cmsgpack.pack({ "FENCED", now, log_id, { ARGV[1], "closed" } })
end

-- Do all writes and answer with `results`; without events nothing is appended to the log.
local function commit(results)
  if #events > 0 then
    local entry = { "XADD", KEYS[2], "*", "v", "2", "e", packed_list(events) }
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
    local one = writes[i]
    local reply = redis.pcall(one[1], one[2], unpack(one[3], one[4], one[5]))
    if type(reply) == "table" and reply.err then
      return closed_by(reply.err)
    end
  end
  -- the head of a list of four
  return "\148" .. cmsgpack.pack("OK", now, log_id) .. packed_list(results)
end
