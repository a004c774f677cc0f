#!lua flags=allow-oom
--[[
Give pending holds back, whole or by line. Runs even when memory is full.

What is cancelled of a line leaves its share of the line's money with it; an order with nothing
left is released. Money: the share of k out of n units is floor(payable * k / n), the rest stays.
What was paid of an order and is given back can no longer count towards it: kind "refunded" ends a
pending hold whole and turns an expired one into a released one, so that money that comes later is
due back and never holds again. While a cell is opened, releases that
Postgres does not have are handed in again. Nothing moves for an expired one: its event has no lines, and of
the deposit that `expire` told of it says nothing.

Called by  engine/reservation/store.py
Cost       O(claims + lines of their holds); claims <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[9]    tg:{c}:done      zset    ended holds by the instant from which they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of {order_id, cancel_id, kind, reason, actor, {{line, units}, …}};
                            no lines is all of it; kind "duplicate" also ends a confirmed hold, kind
                            "refunded", which names no lines, also an expired one

Returns    msgpack {"OK", now, log_id, results}, one result a claim:
           {"RELEASED", state, total}     state P while something is left, else R
           {"REPEATED", state, total}     this cancel_id came before
           {"CONFLICT", line}             the line has fewer units left: nothing was done; line 0: after a
                                          deposit or 64 cancels only all that is left may be cancelled
           {"ALREADY_CONFIRMED"}  {"ALREADY_RELEASED"}  {"EXPIRED"}  {"UNKNOWN_ORDER"}
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any claim
]]
local PHASE = redis.call("HGET", KEYS[1], "phase")
if PHASE ~= "restoring" then
  PHASE = "open"
end
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"
local R_ORDER, CANCEL, KIND, REASON, R_ACTOR, R_LINES = 1, 2, 3, 4, 5, 6
local CANCELS_MAX = 64

local order_ids, add = distinct()
for _, claim in ipairs(claims) do
  add(claim[R_ORDER])
end
load_holds(order_ids)
load_ends_of(order_ids)

-- What is asked for as {line, units}, the same line summed; or the line that has fewer left. A bundle
-- takes its components along, and none of them goes without it.
local function wanted_of(claim, hold)
  local units = {}
  for _, asked in ipairs(claim[R_LINES]) do
    units[asked[1]] = (units[asked[1]] or 0) + asked[2]
  end
  local wanted, of_line = {}, {}
  for n, line in ipairs(hold[LINES]) do
    local of, per = bundles.part_of(line)
    if of and units[n] then
      return nil, n
    elseif of then
      units[n] = of_line[of] and of_line[of] * per
    end
    of_line[n] = units[n]
    local asked = #claim[R_LINES] == 0 and line[2] or units[n] or 0
    if asked > line[2] then
      return nil, n
    end
    units[n] = nil
    if asked > 0 then
      wanted[#wanted + 1] = { n, asked }
    end
  end
  return next(units) == nil and wanted or nil, next(units)
end

-- Units of one line go back where they came from, the last drawn first.
local function release_line(hold, n, units, account)
  for i = #hold[DRAWS], 1, -1 do
    local held = hold[DRAWS][i]
    if held[1] == n and units > 0 then
      local part = math.min(units, held[3])
      give_back(held[2], part, account)
      uncount_line(hold, n, part, held[2])
      held[3] = held[3] - part
      units = units - part
      if held[3] == 0 then
        table.remove(hold[DRAWS], i)
      end
    end
  end
end

local function remember_cancel(claim, hold)
  if #hold[CANCELS] < CANCELS_MAX then
    hold[CANCELS][#hold[CANCELS] + 1] = claim[CANCEL]
  end
  held_dirty[claim[R_ORDER]] = true
end

local function release(claim, hold, wanted)
  begin()
  local account = hold[STATE] == "C" and SOLD or HELD
  local cancelled = {}
  for _, part in ipairs(wanted) do
    local n, units = part[1], part[2]
    release_line(hold, n, units, account)
    uncount_line(hold, n, units)
    cancelled[#cancelled + 1] = { n, units, cut_line(hold, n, units) }
  end
  local left, draws = 0, {}
  for _, line in ipairs(hold[LINES]) do
    left = left + line[2]
  end
  -- a copy: the event is packed after the whole batch, and the next claim may change the hold
  for i, held in ipairs(hold[DRAWS]) do
    draws[i] = { held[1], held[2], held[3] }
  end
  if left == 0 then
    uncount_all(hold)
    hold[TOTAL] = 0
    finish(claim[R_ORDER], hold, "R")
  end
  keep()
  remember_cancel(claim, hold)
  events[#events + 1] = {
    "L", claim[R_ORDER], now, moves, claim[CANCEL], claim[KIND], claim[REASON], claim[R_ACTOR],
    cancelled, hold[STATE], hold[TOTAL], draws, hold[PAID] or 0,
  }
  return { "RELEASED", hold[STATE], hold[TOTAL] }
end

-- Its units went back when it expired.
local function release_expired(claim, hold)
  finish(claim[R_ORDER], hold, "R")
  remember_cancel(claim, hold)
  events[#events + 1] = {
    "L", claim[R_ORDER], now, {}, claim[CANCEL], claim[KIND], claim[REASON], claim[R_ACTOR], {},
    hold[STATE], hold[TOTAL], {}, 0,
  }
  return { "RELEASED", hold[STATE], hold[TOTAL] }
end

local function judge(claim)
  local hold = holds[claim[R_ORDER]]
  if not hold then
    return { "UNKNOWN_ORDER" }
  end
  for _, known in ipairs(hold[CANCELS]) do
    if known == claim[CANCEL] then
      return { "REPEATED", hold[STATE], hold[TOTAL] }
    end
  end
  if claim[KIND] == "refunded" and hold[STATE] == "E" then
    return release_expired(claim, hold)
  end
  local duplicate = claim[KIND] == "duplicate" and hold[STATE] == "C"
  if TERMINAL[hold[STATE]] and not duplicate then
    return { TERMINAL[hold[STATE]] }
  end
  local wanted, line = wanted_of(claim, hold)
  if not wanted then
    return { "CONFLICT", line }
  elseif #claim[R_LINES] > 0 and (#hold[CANCELS] >= CANCELS_MAX or (hold[PAID] or 0) > 0) then
    return { "CONFLICT", 0 }
  end
  return release(claim, hold, wanted)
end

local results = {}
for i, claim in ipairs(claims) do
  results[i] = judge(claim)
end
write_pools()
write_holds()
write_counters()
return commit(results)
