#!lua flags=allow-oom
--[[
Forget ended holds, returns and moves whose time of remembering is over.

A hold is remembered for 7 days after its end and after the end of its campaign, whichever is
later. What it still counts for the buyer's limits goes with it. Runs even when memory is full.

Called by  engine/reservation/store.py
Cost       O(limit); limit <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  not written: what is forgotten changes no stock
KEYS[3]    tg:{c}:pools     hash    not written
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    not written
KEYS[6]    tg:{c}:rules     hash    when a campaign ends
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[8]    tg:{c}:once      hash    return and move ids that were done
KEYS[9]    tg:{c}:done      zset    what may be forgotten, by the instant

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of one number: at most how many

Returns    msgpack {"OK", now, log_id, {looked_at}}
           or {"FENCED" | "TOO_LATE", now, log_id, detail}
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"

local over = redis.call("ZRANGEBYSCORE", KEYS[9], "-inf", now, "LIMIT", 0, claims[1])
local order_ids = {}
for _, member in ipairs(over) do
  if string.sub(member, 1, 2) == "o" .. SEP then
    order_ids[#order_ids + 1] = string.sub(member, 3)
  end
end
load_holds(order_ids)
load_ends_of(order_ids)
local wanted, add = distinct()
for _, id in ipairs(order_ids) do
  if holds[id] and holds[id][CAMPAIGN] ~= "" then
    add("campaign" .. SEP .. holds[id][TENANT] .. SEP .. holds[id][CAMPAIGN])
  end
end
local rules = fetch(KEYS[6], wanted)

local function kept_until(hold)
  local packed = rules["campaign" .. SEP .. hold[TENANT] .. SEP .. hold[CAMPAIGN]]
  return packed and cmsgpack.unpack(packed)[3] + KEEP_MS or 0
end

local forgotten, members, marks = {}, {}, {}
for _, member in ipairs(over) do
  local id = string.sub(member, 3)
  local hold = string.sub(member, 1, 2) == "o" .. SEP and holds[id]
  if hold and kept_until(hold) > now then
    done_add[id] = kept_until(hold)
  else
    members[#members + 1] = member
    if hold and hold[STATE] ~= "P" then
      for _, entry in ipairs(hold[COUNTERS]) do
        count(entry[1], -entry[2])
      end
      forgotten[#forgotten + 1] = id
    elseif not hold then
      marks[#marks + 1] = member
    end
  end
end
write_all("HDEL", KEYS[4], forgotten)
write_all("HDEL", KEYS[8], marks)
write_all("ZREM", KEYS[9], members)
write_holds()
write_counters()
return commit({ #over })
