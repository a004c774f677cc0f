#!lua
--[[
Tell the cell its rules: windows, limits, deadlines, and which pools an offer draws from.

Called by  engine/inventory/service/publish.py
Cost       O(rules); rules <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[6]    tg:{c}:rules     hash    channels, campaigns, offers, pauses

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    rules            msgpack list of {field, version, body}; the body is a list whose first value is
                            the version; an empty one ends the rule, whatever its version

Returns    msgpack {"OK", now, log_id, results}, one result a rule:
           {"SET"}  {"REPEATED"}   the cell has this version, or a newer one
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was set
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"

local fields = {}
for i, claim in ipairs(claims) do
  fields[i] = claim[1]
end
local known = fetch(KEYS[6], fields)

local results = {}
for i, claim in ipairs(claims) do
  local field, version, body = claim[1], claim[2], claim[3]
  local current = known[field] and cmsgpack.unpack(known[field])[1] or 0
  local ends = #body == 0
  if ends and current == 0 or not ends and version <= current then
    results[i] = { "REPEATED" }
  else
    known[field] = not ends and cmsgpack.pack(body)
    if ends then
      write("HDEL", KEYS[6], field)
    else
      write("HSET", KEYS[6], field, known[field])
    end
    events[#events + 1] = { "S", field, now, {}, version }
    results[i] = { "SET" }
  end
end
return commit(results)
