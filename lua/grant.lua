#!lua flags=allow-oom
--[[
Change what pools were given, by numbered deltas; the first grant of a pool makes it.

More units repay what is owed first. Fewer units take at most what is available: what could not be
taken is answered, logged, and stays granted. A pool that has ended passes what it gets to its
successor. Runs even when memory is full.

Called by  engine/inventory/service/publish.py
Cost       O(grants); grants <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    grants           msgpack list of {pool, seq, delta, reason, reference}; seq counts from 1 per pool

Returns    msgpack {"OK", now, log_id, results}, one result a grant:
           {"GRANTED", applied}       units that the pool really got or gave
           {"SHORT", missing}         a shrink found fewer units free; the rest was taken
           {"REPEATED"}               this seq was applied before
           {"OUT_OF_ORDER", seq}      this seq is expected next: nothing was done
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any grant
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"

local wanted, add = distinct()
for _, claim in ipairs(claims) do
  add(claim[1])
end
load_pools(wanted)

-- It was meant for a pool that ended meanwhile, from which nothing is sold: its successor gets it.
local function pass_on(id)
  local target, units = heir(id), pools[id][AVAILABLE]
  if target ~= id then
    post(id, AVAILABLE, -units)
    post(id, GRANTED, -units)
    post(target, GRANTED, units)
    free(target, units)
  end
end

local function judge(claim)
  local id, seq, delta = claim[1], claim[2], claim[3]
  local pool = pools[id] or { 0, 0, 0, 0, 0, 0, "", 0 }
  if seq <= pool[SEQ] then
    return { "REPEATED" }
  elseif seq > pool[SEQ] + 1 then
    return { "OUT_OF_ORDER", pool[SEQ] + 1 }
  end
  pools[id], dirty[id] = pool, true
  pool[SEQ] = seq
  begin()
  local applied = delta
  if delta > 0 then
    post(id, GRANTED, delta)
    free(id, delta)
    pass_on(id)
  else
    applied = -math.min(-delta, pool[AVAILABLE])
    post(id, GRANTED, applied)
    post(id, AVAILABLE, applied)
  end
  events[#events + 1] = { "G", id, now, moves, seq, delta, applied, claim[4], claim[5] }
  keep()
  if applied ~= delta then
    return { "SHORT", applied - delta }
  end
  return { "GRANTED", applied }
end

local results = {}
for i, claim in ipairs(claims) do
  results[i] = judge(claim)
end
write_pools()
return commit(results)
