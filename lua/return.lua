#!lua flags=allow-oom
--[[
Bring sold units of confirmed orders back to sale, once per return id. Runs even when memory is full.

An order whose marketplace tells of it by snapshots has given back what they no longer want: of such a
one nothing is taken, and the return is done.

Called by  engine/orders/store.py, from the outbox, so a closed cell only delays it
Cost       O(draws of the batch); returns <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    not written
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[8]    tg:{c}:once      hash    return and move ids that were done
KEYS[9]    tg:{c}:done      zset    when they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    returns          msgpack list of {return_id, order_id, {{pool, units, line}, …}}; with a line the
                            buyer's limits and the caps count these units no longer

Returns    msgpack {"OK", now, log_id, results}, one result a return:
           {"RETURNED"}  {"REPEATED"}  {"UNKNOWN_POOL", pool}
           {"CONFLICT", pool}   the pool has fewer units sold: nothing was done
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any return
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"

local ids, order_ids = {}, {}
local wanted, add = distinct()
for i, claim in ipairs(claims) do
  ids[i], order_ids[i] = "r" .. SEP .. claim[1], claim[2]
  for _, part in ipairs(claim[3]) do
    add(part[1])
  end
end
local once = fetch(KEYS[8], ids)
load_pools(wanted)
load_holds(order_ids)
load_ends_of(order_ids)

-- The hold has drawn as much less; its channel may become a marketplace, whose snapshots look there.
local function undraw(hold, pool, units, n)
  for i = #hold[DRAWS], 1, -1 do
    local held = hold[DRAWS][i]
    if held[2] == pool and held[1] == n then
      local part = math.min(units, held[3])
      held[3], units = held[3] - part, units - part
      if held[3] == 0 then
        table.remove(hold[DRAWS], i)
      end
    end
  end
end

-- The buyer may take again what he gave back; what counts once an order, when nothing is left of it.
local function uncount_returned(hold, parts, order_id)
  local left = 0
  for _, part in ipairs(parts) do
    local line = part[3] and hold[LINES][part[3]]
    if line then
      undraw(hold, part[1], part[2], part[3])
      uncount_line(hold, part[3], part[2], nil)
      uncount_line(hold, part[3], part[2], part[1])
      line[2] = math.max(0, line[2] - part[2])
      held_dirty[order_id] = true
    end
  end
  for _, line in ipairs(hold[LINES]) do
    left = left + line[2]
  end
  if left == 0 then
    uncount_all(hold)
  end
end

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
  local hold = holds[claim[2]]
  -- since its marketplace tells of the order, what it wants is what its snapshot says
  if not (hold and hold[SEEN]) then
    for _, part in ipairs(claim[3]) do
      give_back(part[1], part[2], SOLD)
    end
    keep()
    if hold then
      uncount_returned(hold, claim[3], claim[2])
    end
  end
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
write_holds()
write_counters()
return commit(results)
