#!lua flags=allow-oom
--[[
Bring sold units of confirmed orders back to sale, once per return id. Runs even when memory is full.

Called by  engine/orders/store.py, from the outbox, so a closed cell only delays it
Cost       O(draws of the batch); returns <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[8]    tg:{c}:once      hash    return and move ids that were done
KEYS[9]    tg:{c}:done      zset    when they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    returns          msgpack list of {return_id, order_id, {{pool, units}, …}}

Returns    msgpack {"OK", now, log_id, results}, one result a return:
           {"RETURNED"}  {"REPEATED"}  {"UNKNOWN_POOL", pool}
           {"CONFLICT", pool}   the pool has fewer units sold: nothing was done
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any return
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
  ids[i] = "r" .. SEP .. claim[1]
  for _, part in ipairs(claim[3]) do
    add(part[1])
  end
end
local once = fetch(KEYS[8], ids)
load_pools(wanted)

local function judge(claim, id)
  if once[id] then
    return { "REPEATED" }
  end
  local units = {}
  for _, part in ipairs(claim[3]) do
    units[part[1]] = (units[part[1]] or 0) + part[2]
    if not pools[part[1]] then
      return { "UNKNOWN_POOL", part[1] }
    elseif pools[part[1]][SOLD] < units[part[1]] then
      return { "CONFLICT", part[1] }
    end
  end
  begin()
  for _, part in ipairs(claim[3]) do
    give_back(part[1], part[2], SOLD)
  end
  keep()
  once[id] = now
  write("HSET", KEYS[8], id, now)
  write("ZADD", KEYS[9], now + KEEP_MS, id)
  events[#events + 1] = { "B", claim[2], now, moves, claim[1] }
  return { "RETURNED" }
end

local results = {}
for i, claim in ipairs(claims) do
  results[i] = judge(claim, ids[i])
end
write_pools()
return commit(results)
