#!lua flags=allow-oom
--[[
Stop the sale of a campaign or a SKU, or let it go on: effective with the next claim.

Called by  engine/inventory/service/controls.py
Cost       O(pauses); pauses <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[6]    tg:{c}:rules     hash    channels, campaigns, offers, pauses

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    pauses           msgpack list of {tenant, "campaign" | "sku", id, 1 to pause or 0 to resume, by,
                            reason}

Returns    msgpack {"OK", now, log_id, results}, one result a pause:
           {"PAUSED"}  {"RESUMED"}  {"REPEATED"}   it was so already
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done
]]
local PHASE = "open"
local SEP = "\31"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"

local fields = {}
for i, claim in ipairs(claims) do
  fields[i] = "pause" .. SEP .. claim[1] .. SEP .. claim[2] .. SEP .. claim[3]
end
local paused = fetch(KEYS[6], fields)

local results = {}
for i, claim in ipairs(claims) do
  local field, on = fields[i], claim[4] == 1
  if (paused[field] and true or false) == on then
    results[i] = { "REPEATED" }
  else
    paused[field] = on
    if on then
      write("HSET", KEYS[6], field, cmsgpack.pack({ now, claim[5], claim[6] }))
    else
      write("HDEL", KEYS[6], field)
    end
    events[#events + 1] = { "U", claim[2], now, {}, claim[1], claim[3], claim[4], claim[5], claim[6] }
    results[i] = { on and "PAUSED" or "RESUMED" }
  end
end
return commit(results)
