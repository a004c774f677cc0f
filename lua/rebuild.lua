#!lua flags=allow-oom
--[[
Write a part of what Postgres has back into a cell that `wipe` emptied; the last part ends it.

Parts are numbered from 1 and each is done once: what one of them counts is added to the counters.
Values in bulk do not come through here: this script and the plain writes of a part are one transaction
over a record of the cell that nobody changed meanwhile (`Cell.call_with`), because a script's arguments
cost twice what a command's do. Only where memory is over are they given here, as only scripts may write.

With the last one the cell is `restoring`, and API processes hand in what Postgres does not have.
Nothing is told to the log: all of it was recorded.

Called by  engine/assurance/store.py
Cost       O(values); fields and members of a call <= REBUILD_ITEMS_PER_CALL, but for what a hold brings along

KEYS[1]    tg:{c}:cell      hash    number of the last part; with the last one all that a cell knows of itself
KEYS[2]    tg:{c}:log       stream  not written
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[6]    tg:{c}:rules     hash    channels, campaigns, offers, pauses
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps; buyers' replaceable orders
KEYS[8]    tg:{c}:once      hash    return and move ids that were done
KEYS[9]    tg:{c}:done      zset    what may be forgotten, by the instant

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list {part, {how many values for each section}, end}; end is {} or, in the
                            last part, {accepted, closed_at, shift_from, shift_to} ("": none)
ARGV[4..]  values           the sections one after another, in the order of SECTIONS: field and value or,
                            of zsets, score and member

Returns    msgpack {"OK", now, log_id, {{"DONE"}}}
           {"OK", now, log_id, {{"REPEATED"}}}           this part was done before
           {"OK", now, log_id, {{"OUT_OF_ORDER", part}}}  this part is expected next: nothing was done
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done
]]
local PHASE = "rebuilding"
--- @include "server"
--- @include "guard"
--- @include "write"
local SECTIONS = {
  { "HSET", KEYS[3] }, { "HSET", KEYS[4] }, { "ZADD", KEYS[5] }, { "HSET", KEYS[6] },
  { "HSET", KEYS[7] }, { "HINCRBY", KEYS[7] }, { "HSET", KEYS[8] }, { "ZADD", KEYS[9] },
}
local CHUNK_MAX = 4000

local part, counts, ending = claims[1], claims[2], claims[3]
local done = tonumber(redis.call("HGET", KEYS[1], "parts") or 0)
if part <= done then
  return commit({ { "REPEATED" } })
elseif part ~= done + 1 then
  return commit({ { "OUT_OF_ORDER", done + 1 } })
end
local first = 4
for n, section in ipairs(SECTIONS) do
  local chunk, last = section[1] == "HINCRBY" and 2 or CHUNK_MAX, first + counts[n] - 1
  for at = first, last, chunk do
    -- as they came, and where they are: a million of them go through here
    writes[#writes + 1] = { section[1], section[2], ARGV, at, math.min(at + chunk - 1, last) }
  end
  first = last + 1
end
write("HSET", KEYS[1], "parts", part)
if ending[1] then
  accepted = ending[1]
  write("HSET", KEYS[1], "phase", "restoring", "closed_at", ending[2], "shift_from", ending[3],
    "shift_to", ending[4])
  write("HDEL", KEYS[1], "parts")
end
return commit({ { "DONE" } })
