#!lua
--[[
Write every pool's totals into the log, for the recorder to compare when it comes by.

The parts of one checkpoint follow each other with nothing between them, so each compares exactly.

Called by  engine/assurance/store.py
Cost       O(pools): the one script that reads all of them, about 1 ms per 1,000

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time, count of accepted claims
KEYS[2]    tg:{c}:log       stream  the checkpoint, in parts of 500 pools
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of one text: the checkpoint's id

Returns    msgpack {"OK", now, log_id, {parts}}
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was written
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"

local POOLS_PER_PART = 500
local all = redis.call("HGETALL", KEYS[3])
local parts = math.max(1, math.ceil(#all / (2 * POOLS_PER_PART)))
for part = 1, parts do
  local pools = {}
  for i = (part - 1) * 2 * POOLS_PER_PART + 1, math.min(part * 2 * POOLS_PER_PART, #all), 2 do
    pools[#pools + 1] = { all[i], cmsgpack.unpack(all[i + 1]) }
  end
  events = { { "T", claims[1], now, {}, part, parts, accepted, pools } }
  if part < parts then
    local id = redis.pcall("XADD", KEYS[2], "*", "v", "2", "e", cmsgpack.pack(events))
    if type(id) == "table" then
      return closed_by(id.err)
    end
  end
end
return commit({ parts })
