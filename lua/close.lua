#!lua flags=allow-oom
--[[
Close the cell: from here on every script but the opening ones answers FENCED.

Called by  engine/assurance/store.py
Cost       O(1)

KEYS[1]    tg:{c}:cell      hash    epoch, phase, reason, since when it is closed
KEYS[2]    tg:{c}:log       stream  says that it was closed, and why

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[3]    claims           msgpack list of one text: the reason, a sentence

Returns    msgpack {"OK", now, log_id, {}}   also when it was closed before
           or {"FENCED", now, log_id, detail}: a newer epoch is at work, nothing was done
]]
--- @include "server"
if cell[1] ~= ARGV[1] then
  return cmsgpack.pack({ "FENCED", now, log_id, { cell[1] or "", cell[3] or "" } })
end
local claims = cmsgpack.unpack(ARGV[3])
--- @include "write"

if cell[3] == "open" then
  write("HSET", KEYS[1], "closed_at", now)
end
write("HSET", KEYS[1], "phase", "closed", "reason", claims[1])
events[1] = { "O", "closed", now, {}, tonumber(ARGV[1]), claims[1], 0, 0 }
return commit({})
