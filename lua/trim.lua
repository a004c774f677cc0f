#!lua flags=allow-oom
--[[
Cut the log below an id that Postgres has passed, and remember where it was cut.

Exact: XTRIM leaves no trace of what it removed, and a recorder that finds its own offset before
`trimmed_to` must know that there is a gap. Runs even when memory is full.

Called by  engine/orders/store.py
Cost       O(entries removed); the caller trims often, so they are few

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  what was accepted

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of one log id: the oldest that stays

Returns    msgpack {"OK", now, log_id, {}}
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was cut
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "ids"

-- A recorder that was overtaken asks for less than is gone already: the mark never goes back.
local trimmed_to = redis.call("HGET", KEYS[1], "trimmed_to")
if not trimmed_to or after(claims[1], trimmed_to) then
  -- first the mark, then the cut: a mark too high only says less than is there
  write("HSET", KEYS[1], "trimmed_to", claims[1])
  write("XTRIM", KEYS[2], "MINID", "=", claims[1])
end
return commit({})
