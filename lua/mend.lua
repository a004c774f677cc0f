#!lua flags=allow-oom
--[[
Put right what the reconciler is sure of, each only if it still is as it was seen.

What it changes is bookkeeping beside the pools' units: a counter that is not what the holds count,
the sweeper's list, and numbers of grants that no log entry tells of and whose units never came. It
never moves a unit, so nothing is appended to the log. Runs even when memory is full.

Called by  engine/assurance/reconciling/repairing.py
Cost       O(claims); claims <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  not written: no unit moves
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool, its number of grants
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[9]    tg:{c}:done      zset    not written

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of {"counter", field, found, right}, {"seq", pool, found, right}
                            or {"due", order_id}: becomes what the hold says

Returns    msgpack {"OK", now, log_id, results}, one result a claim:
           {"MENDED"}
           {"CHANGED"}   it is not as it was seen any more, or was right: nothing was done
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"

local wanted = { counter = {}, seq = {}, due = {} }
for _, claim in ipairs(claims) do
  local list = wanted[claim[1]]
  list[#list + 1] = claim[2]
end
load_counters(wanted.counter)
load_pools(wanted.seq)
load_holds(wanted.due)
local dues = {}
for _, id in ipairs(wanted.due) do
  dues[id] = redis.call("ZSCORE", KEYS[5], id)
end

local mend = {}

function mend.counter(field, found, right)
  if counters[field] ~= found then
    return false
  end
  counters[field], counted_dirty[field] = right, true
  return true
end

function mend.seq(id, found, right)
  local pool = pools[id]
  if not pool or pool[SEQ] ~= found then
    return false
  end
  pool[SEQ], dirty[id] = right, true
  return true
end

function mend.due(id)
  local hold, score = holds[id], dues[id] and tonumber(dues[id]) or nil
  local right
  if hold and hold[STATE] == "P" and hold[UNTIL] > 0 then
    right = hold[WARNED] == 1 and hold[UNTIL] or hold[PAY_BY]
  end
  if right == score then
    return false
  end
  if right then
    due_add[id] = right
  else
    due_remove[id] = true
  end
  return true
end

local results = {}
for i, claim in ipairs(claims) do
  results[i] = { mend[claim[1]](claim[2], claim[3], claim[4]) and "MENDED" or "CHANGED" }
end
write_pools()
write_holds()
write_counters()
return commit(results)
