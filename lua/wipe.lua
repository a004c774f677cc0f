#!lua flags=allow-oom
--[[
Take a cell that has lost its data, or has an older state of it, into a new epoch: empty, and
`rebuilding`. Nothing but `rebuild` is accepted then.

Whoever calls this has made sure that Postgres has recorded all that the log still has. Called again
under a newer epoch it begins anew, so a rebuild that was broken off is repeated from here. The log's
next id comes after everything Postgres has, and time goes on behind all that Postgres knows of.

Called by  engine/assurance/store.py
Cost       O(1): the server frees what it unlinks in the background

KEYS[1]    tg:{c}:cell      hash    identity, epoch, run_id, phase, trimmed_to; all else is forgotten
KEYS[2]    tg:{c}:log       stream  removed; begins with an event that says so
KEYS[3]    tg:{c}:pools     hash    removed
KEYS[4]    tg:{c}:holds     hash    removed
KEYS[5]    tg:{c}:due       zset    removed
KEYS[6]    tg:{c}:rules     hash    removed
KEYS[7]    tg:{c}:counters  hash    removed
KEYS[8]    tg:{c}:once      hash    removed
KEYS[9]    tg:{c}:done      zset    removed

ARGV[1]    epoch            the new one, as it stands in Postgres
ARGV[3]    claims           msgpack list {identity, last_id, seen}: the database's identity and log position,
                            and the latest cell time in ms that Postgres knows of

Returns    msgpack {"OK", now, log_id, {}}
           {"OTHER_DATABASE", now, log_id, {identity}}   this cell belongs to another database, and is not
                                                         empty, or open
           {"FENCED", now, log_id, detail}: this epoch, or a newer one, is at work
]]
--- @include "server"
--- @include "write"
--- @include "ids"

local claims = cmsgpack.unpack(ARGV[3])
local identity, last_id, seen = claims[1], claims[2], claims[3]
local epoch = tonumber(ARGV[1])
local owner = redis.call("HGET", KEYS[1], "identity")
local units = redis.call("HLEN", KEYS[3]) + redis.call("HLEN", KEYS[4])
-- one that is open and empty may be about to be filled
if owner ~= identity and (units > 0 or cell[3] == "open") then
  return cmsgpack.pack({ "OTHER_DATABASE", now, log_id, { owner or "" } })
end
-- the epochs of another database are not ours
if owner == identity and tonumber(cell[1] or 0) >= epoch then
  return cmsgpack.pack({ "FENCED", now, log_id, { cell[1] or "", cell[3] or "" } })
end
now = math.max(now, seen)
accepted = 0
local id = "*"
if tonumber(string.match(last_id, "(%d+)-")) >= clock[1] * 1000 then
  local ms, seq = string.match(last_id, "(%d+)-(%d+)")
  id = ms .. "-" .. string.format("%.0f", seq + 1)
end
local gone = redis.pcall("UNLINK", KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7],
  KEYS[8], KEYS[9])
if type(gone) == "table" then
  return closed_by(gone.err)
end
local begun = redis.pcall("XADD", KEYS[2], id, "v", "2", "e",
  cmsgpack.pack({ { "O", "rebuilding", now, {}, epoch, "", 0, 0 } }))
if type(begun) == "table" then
  return closed_by(begun.err)
end
log_id = begun
write("HSET", KEYS[1], "identity", identity, "epoch", epoch, "run_id", run_id, "phase", "rebuilding",
  "reason", "", "trimmed_to", last_id)
write("HDEL", KEYS[1], "parts", "closed_at", "shift_from", "shift_to")
return commit({})
