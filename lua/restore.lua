#!lua flags=allow-oom
--[[
Put accepted claims back that Postgres does not have, while a cell is being opened.

They were promised: window, pause, limits and `not_after` are not asked again; id, instant and
deadline are the original ones. A claim that the cell still has is left as it is.

Called by  engine/reservation/store.py
Cost       O(lines of the batch); claims <= CLAIMS_PER_CALL_MAX, lines <= LINES_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time, count of accepted claims
KEYS[2]    tg:{c}:log       stream  one entry for each batch that accepted something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[6]    tg:{c}:rules     hash    channels, campaigns, offers
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[9]    tg:{c}:done      zset    ended holds by the instant from which they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        unused by the caller, always 0
ARGV[3]    claims           msgpack list, fields as in include/take.lua and then {pay_by, accepted_at,
                            anew}: anew 1, nothing that it waits for will come any more
ARGV[4..]  payloads         bytes, one a claim: what the recorder is told

Returns    msgpack {"OK", now, log_id, results}, one result a claim:
           {"RESERVED", state, pay_by, total, dropped}
           {"REPEATED", state, pay_by, total, dropped}   the cell still has it
           {"LATER"}          the order that it is split from is not back yet: nothing was done
           {"SHORT", line}    the units are gone: the cell must not be opened
           or {"FENCED", now, log_id, detail}: nothing was done to any claim
]]
local PHASE = "restoring"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"
--- @include "take"
--- @include "stages"
--- @include "replace"
--- @include "split"
local PROMISED = 18
local OVERDUE_MAX = 256

local order_ids, add = distinct()
for _, claim in ipairs(claims) do
  add(claim[ORDER])
end
load_holds(order_ids)
load_for(claims)
load_replaceable(claims, order_ids)
load_sources(claims)

-- The buyer's hold that it replaced when it was accepted; one that came later stays.
local function replace_older(claim, accepted_at)
  local id = claim[C_BUYER] ~= "" and counters[claim.mine]
  if id and holds[id] and holds[id][SINCE] < accepted_at then
    return replace(claim)
  end
  return ""
end

local function remember_mine(claim, accepted_at)
  local id = counters[claim.mine]
  if not (id and holds[id] and holds[id][SINCE] > accepted_at) then
    counters[claim.mine], counted_dirty[claim.mine] = claim[ORDER], true
  end
end

-- A cell that was rebuilt has holds again that had ended unseen: units of those whose time was over
-- when this claim was accepted are what it was given. The one that ends first goes first.
local function end_overdue(claim, accepted_at)
  local wanted = {}
  for _, line in ipairs(claim[C_LINES]) do
    local offer = claim.scope.offers[line[1]]
    for _, source in ipairs(offer and offer[2] or {}) do
      wanted[source[1]] = true
    end
  end
  local due = redis.call("ZRANGEBYSCORE", KEYS[5], "-inf", accepted_at, "LIMIT", 0, OVERDUE_MAX)
  load_holds(due)
  for _, order_id in ipairs(due) do
    local hold, needed = holds[order_id], false
    if hold and hold[STATE] == "P" and hold[UNTIL] <= accepted_at then
      for _, held in ipairs(hold[DRAWS]) do
        needed = needed or wanted[held[2]]
      end
    end
    if needed then
      local counted = counters
      counters = {}
      load_ends_of({ order_id })
      for field, value in pairs(counters) do
        if counted[field] == nil then
          counted[field] = value -- what this call has changed already stays
        end
      end
      counters = counted
      begin()
      give_all_back(hold, HELD)
      hold[DRAWS], hold[COUNTERS] = {}, {}
      keep()
      finish(order_id, hold, "E")
      events[#events + 1] = { "E", order_id, now, moves, hold[PAID] or 0 }
      return true
    end
  end
end

-- All of it anew: what it counts is counted again without asking whether it may be.
local function take_anew(claim, account, taken)
  for _, met in ipairs(claim.limits) do
    if met[5] ~= "" then
      count(met[1], met[2])
      taken.counted[#taken.counted + 1] = { met[1], met[2], met[4] }
    end
  end
  return take(claim, account, taken)
end

local restore

function restore(claim, payload)
  local seen, promised = holds[claim[ORDER]], claim[PROMISED]
  if seen then
    return { "REPEATED", seen[STATE], seen[PAY_BY], seen[TOTAL], seen[DROPPED] }
  elseif claim[SPLIT_FROM] ~= "" and not holds[claim[SPLIT_FROM]] and promised[3] ~= 1 then
    return { "LATER" } -- fresh units would be lacking when that one comes
  end
  begin()
  local taken = nothing_taken()
  local replaced, replaced_hold = replace_older(claim, promised[2])
  local settled = claim[SETTLE] ~= ""
  local source = claim[SPLIT_FROM] ~= "" and holds[claim[SPLIT_FROM]]
  local cut, prices, refusal
  if source and not not_split(claim, source) then
    cut, prices = split(claim, source, taken)
  else -- it was no split, or what it was split from has ended
    refusal = take_anew(claim, settled and SOLD or HELD, taken)
  end
  if refusal then
    uncount(taken.counted)
    put_back(replaced_hold)
    rollback()
    if promised[3] == 1 and end_overdue(claim, promised[2]) then
      return restore(claim, payload)
    end
    return { "SHORT", refusal[2] }
  end
  keep()
  end_replaced(replaced, replaced_hold)
  local held_until = 0
  if promised[1] > 0 then
    local pay_by, ends = deadline(claim.scope, claim[METHOD])
    held_until = promised[1] + ends - pay_by
  end
  local hold = hold_of(claim, settled and "C" or "P", 1, taken, promised[1], held_until)
  hold[SINCE] = promised[2]
  if cut then
    inherit_stages(hold, source, prices)
  else
    set_stages(hold, claim.scope.campaign, claim.scope.offers)
  end
  holds[claim[ORDER]], held_dirty[claim[ORDER]] = hold, true
  if settled then
    done_add[claim[ORDER]] = now + KEEP_MS
  elseif held_until > 0 then
    due_add[claim[ORDER]] = promised[1]
  end
  if not settled and claim[C_BUYER] ~= "" then
    remember_mine(claim, promised[2])
  end
  accepted = accepted + 1
  events[#events + 1] = reserved_event(claim, hold, taken, payload, replaced)
  if cut then
    end_split(claim, source, cut)
  end
  return { "RESERVED", hold[STATE], hold[PAY_BY], hold[TOTAL], taken.dropped }
end

local results = {}
for i, claim in ipairs(claims) do
  results[i] = restore(claim, ARGV[3 + i])
end
write_pools()
write_holds()
write_counters()
return commit(results)
