#!lua flags=allow-oom
--[[
Move deadlines that fell into a closed time by its length, a bounded number a call.

A moved deadline lies after the closed time, so none is moved twice; until all are moved, `expire`
does nothing. Also moved is the end of a hold whose pay_by nobody had swept before the closing: it
is warned here. Repeat until `more` is 0, and before the next `open` if the cell falls meanwhile.

Called by  engine/assurance/store.py
Cost       O(limit); limit <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    phase, and the closed time whose deadlines still move
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    not written
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[7]    tg:{c}:counters  hash    not written
KEYS[9]    tg:{c}:done      zset    not written

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of one number: at most how many holds

Returns    msgpack {"OK", now, log_id, {moved, more}}   more 1: call again
           or {"FENCED" | "TOO_LATE", now, log_id, detail}
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
--- @include "stages"

local span = redis.call("HMGET", KEYS[1], "shift_from", "shift_to")
if not span[2] or span[2] == "" then
  return commit({ 0, 0 })
end
local from, to = tonumber(span[1]), tonumber(span[2])
local length = to - from

local function move(order_id, hold)
  if hold[UNTIL] < from then
    due_add[order_id] = to -- over before the closing, and only not swept: the next expire ends it
    return
  end
  hold[UNTIL] = hold[UNTIL] + length
  held_dirty[order_id] = true
  if hold[WARNED] == 0 and hold[PAY_BY] >= from then
    hold[PAY_BY] = hold[PAY_BY] + length
    due_add[order_id] = hold[PAY_BY]
  else
    due_add[order_id] = hold[UNTIL]
  end
  move_stages(hold, length)
  events[#events + 1] = { "D", order_id, now, {}, hold[PAY_BY], hold[UNTIL], hold[STAGES] }
  if hold[WARNED] == 0 and hold[PAY_BY] < from then
    -- its pay_by came between the last sweep and the closing
    hold[WARNED] = 1
    events[#events + 1] = { "W", order_id, now, {}, hold[UNTIL] }
  end
end

local due = {}
if length > 0 then
  due = redis.call("ZRANGEBYSCORE", KEYS[5], "-inf", "(" .. to, "LIMIT", 0, claims[1])
end
load_holds(due)
for _, order_id in ipairs(due) do
  local hold = holds[order_id]
  if not hold or hold[STATE] ~= "P" then
    due_remove[order_id] = true
  else
    move(order_id, hold)
  end
end
local more = #due == claims[1] and 1 or 0
if more == 0 then
  write("HSET", KEYS[1], "shift_from", "", "shift_to", "")
end
write_pools()
write_holds()
write_counters()
return commit({ #due, more })
