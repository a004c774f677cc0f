#!lua flags=allow-oom
--[[
End pending holds whose time is over, oldest first; at `pay_by` only say that the end is near.

It writes the cell's time even when nothing is due, so that after a crash the closed time is known
to a second. While deadlines still move after an opening (see `extend`) it expires nothing. Runs
even when memory is full.

Called by  engine/reservation/store.py
Cost       O(limit + lines of the holds); limit <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time, deadlines still to move
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[9]    tg:{c}:done      zset    ended holds by the instant from which they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of one number: at most how many holds

Returns    msgpack {"OK", now, log_id, {done, next}}: how many were due, and the next deadline (0: none)
           {"OK", now, log_id, {-1, 0}}   deadlines still move: nothing was done
           or {"FENCED" | "TOO_LATE", now, log_id, detail}
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"

local moving = redis.call("HGET", KEYS[1], "shift_to")
if moving and moving ~= "" then
  return commit({ -1, 0 })
end
local due = redis.call("ZRANGEBYSCORE", KEYS[5], "-inf", now, "LIMIT", 0, claims[1])
local following = redis.call("ZRANGEBYSCORE", KEYS[5], "(" .. now, "+inf", "WITHSCORES", "LIMIT", 0, 1)
load_holds(due)
load_ends_of(due)

for _, order_id in ipairs(due) do
  local hold = holds[order_id]
  if not hold or hold[STATE] ~= "P" then
    due_remove[order_id] = true
  elseif now < hold[UNTIL] then
    hold[WARNED], held_dirty[order_id] = 1, true
    due_add[order_id] = hold[UNTIL]
    events[#events + 1] = { "W", order_id, now, {}, hold[UNTIL] }
  else
    begin()
    give_all_back(hold, HELD)
    hold[DRAWS], hold[COUNTERS] = {}, {}
    keep()
    finish(order_id, hold, "E")
    events[#events + 1] = { "E", order_id, now, moves, hold[PAID] or 0 }
  end
end
write_pools()
write_holds()
write_counters()
return commit({ #due, tonumber(following[2] or 0) })
