#!lua flags=allow-oom
--[[
Move free units between two pools while orders run, once per move id.

With end_from the first pool is over: the second becomes its successor, and whatever comes back to
the first from then on goes there. Runs even when memory is full.

Called by  engine/inventory/service/controls.py
Cost       O(moves); moves <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[8]    tg:{c}:once      hash    return and move ids that were done
KEYS[9]    tg:{c}:done      zset    when they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    moves            msgpack list of {move_id, from, to, units, end_from, reason, keep?}; units -1 is
                            all that is free, and with keep so many stay free

Returns    msgpack {"OK", now, log_id, results}, one result a move:
           {"MOVED", units}  {"REPEATED"}  {"UNKNOWN_POOL"}
           {"SHORT", spare}       fewer units are free to go: nothing was moved
           {"CONFLICT"}           a pool cannot end into itself, or into one that ended
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was moved
]]
local PHASE = "open"
local SEP, KEEP_MS = "\31", 604800000
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"

local ids, wanted, add = {}, distinct()
for i, claim in ipairs(claims) do
  ids[i] = "v" .. SEP .. claim[1]
  add(claim[2])
  add(claim[3])
end
local once = fetch(KEYS[8], ids)
load_pools(wanted)

local function judge(claim, id)
  local from, to = pools[claim[2]], pools[claim[3]]
  if once[id] then
    return { "REPEATED" }
  elseif not from or not to then
    return { "UNKNOWN_POOL" }
  elseif claim[2] == claim[3] or to[ENDED] == 1 then
    return { "CONFLICT" }
  end
  local spare = math.max(0, from[AVAILABLE] - (claim[7] or 0))
  local units = claim[4] < 0 and spare or claim[4]
  if units > spare then
    return { "SHORT", spare }
  end
  begin()
  post(claim[2], AVAILABLE, -units)
  post(claim[2], GRANTED, -units)
  post(claim[3], GRANTED, units)
  free(claim[3], units)
  if claim[5] == 1 then
    bequeath(claim[2], claim[3])
  end
  keep()
  if claim[5] == 1 then
    from[ENDED], from[SUCCESSOR], dirty[claim[2]] = 1, claim[3], true
  end
  once[id] = now
  write("HSET", KEYS[8], id, now)
  write("ZADD", KEYS[9], now + KEEP_MS, id)
  events[#events + 1] = { "V", claim[1], now, moves, claim[2], claim[3], units, claim[6], claim[5] }
  return { "MOVED", units }
end

local results = {}
for i, claim in ipairs(claims) do
  results[i] = judge(claim, ids[i])
end
write_pools()
return commit(results)
