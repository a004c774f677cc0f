#!lua flags=allow-oom
--[[
Take a cell into a new epoch, in two steps: `restoring`, in which only `restore` and `extend` are
accepted, then `open`.

The log's next id comes after everything Postgres has, so that a rebuilt cell whose clock is behind
is still read. Deadlines that fell into the closed time are moved afterwards, by `extend`.

Called by  engine/assurance/store.py
Cost       O(pools) in the second step

KEYS[1]    tg:{c}:cell      hash    epoch, run_id, phase, and the deadlines still to move
KEYS[2]    tg:{c}:log       stream  says that it was opened
KEYS[3]    tg:{c}:pools     hash    empty in a new cell; what is free there repays what is owed

ARGV[1]    epoch            the new one, as it stands in Postgres
ARGV[2]    step             "restoring" | "open"
ARGV[3]    claims           msgpack list {identity, last_id}: the database's identity and log position

Returns    msgpack {"OK", now, log_id, {closed_at}}
           {"OTHER_DATABASE", now, log_id, {identity}}   this cell belongs to another database
           {"FENCED", now, log_id, detail}: a newer epoch is at work, or the steps are out of order
]]
--- @include "server"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "ids"

local claims = cmsgpack.unpack(ARGV[3])
local identity, last_id = claims[1], claims[2]
local epoch = tonumber(ARGV[1])
local state = redis.call("HMGET", KEYS[1], "identity", "closed_at")

local fresh = not state[1] and redis.call("HLEN", KEYS[3]) == 0 and redis.call("EXISTS", KEYS[2]) == 0
if state[1] ~= identity and not fresh then
  return cmsgpack.pack({ "OTHER_DATABASE", now, log_id, { state[1] or "" } })
end
local known = tonumber(cell[1] or 0)
if ARGV[2] == "restoring" then
  if known >= epoch then
    return cmsgpack.pack({ "FENCED", now, log_id, { cell[1] or "", cell[3] or "" } })
  end
  local closed_at = state[2]
  if cell[3] == "open" or not closed_at then
    closed_at = cell[4] or now
  end
  write("HSET", KEYS[1], "identity", identity, "epoch", epoch, "run_id", run_id, "phase", "restoring",
    "reason", "", "closed_at", closed_at)
  return commit({ tonumber(closed_at) })
end
if known ~= epoch or cell[2] ~= run_id or cell[3] ~= "restoring" then
  return cmsgpack.pack({ "FENCED", now, log_id, { cell[1] or "", cell[3] or "" } })
end
local closed_at = tonumber(state[2])
-- the log may be further than the cell's own mark, where a write failed half-way
local newest = redis.call("XREVRANGE", KEYS[2], "+", "-", "COUNT", 1)[1]
if newest and after(newest[1], log_id) then
  log_id = newest[1]
end
local id = "*"
if after(last_id, log_id) and tonumber(string.match(last_id, "(%d+)-")) >= clock[1] * 1000 then
  local ms, seq = string.match(last_id, "(%d+)-(%d+)")
  id = ms .. "-" .. string.format("%.0f", seq + 1)
end
local pool_ids = redis.call("HKEYS", KEYS[3])
table.sort(pool_ids)
load_pools(pool_ids)
for _, pool_id in ipairs(pool_ids) do
  settle(pool_id)
end
keep()
local opened = redis.pcall("XADD", KEYS[2], id, "v", "2", "e",
  cmsgpack.pack({ { "O", "opened", now, moves, epoch, "", closed_at, now } }))
if type(opened) == "table" then
  return closed_by(opened.err)
end
log_id = opened
write_pools()
write("HSET", KEYS[1], "phase", "open", "reason", "", "shift_from", closed_at, "shift_to", now)
return commit({ closed_at })
