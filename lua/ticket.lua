#!lua
--[[
Give buyers their turns in campaigns' waiting rooms, and once it is a buyer's turn, a ticket.

Called by  engine/reservation/store.py
Cost       O(claims); claims <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time; the next turn of each waiting room
KEYS[2]    tg:{c}:log       stream  only its last id: a turn is no fact that others rebuild from
KEYS[6]    tg:{c}:rules     hash    campaigns

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list of {tenant, campaign, buyer, place}; a place was given by an earlier
                            call, "" asks for one

Returns    msgpack {"OK", now, log_id, results}, one result a claim:
           {"WAIT", turn_at, place, ahead}   come again at turn_at (ms) with this place; so many are before
           {"TICKET", until, ticket}         it is the buyer's turn: orders until then are accepted with it
           {"NO_ROOM"}                       there is no such campaign, or anybody may order in it
           {"ENDED", ends_at}
           {"INVALID"}                       that place was not given to this buyer for this campaign
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was given
]]
local PHASE = "open"
local SEP = "\31"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "room"

local rule_fields, turn_fields = {}, {}
for i, claim in ipairs(claims) do
  rule_fields[i] = "campaign" .. SEP .. claim[1] .. SEP .. claim[2]
  turn_fields[i] = "turn" .. SEP .. claim[1] .. SEP .. claim[2]
end
local rules, turns, changed = fetch(KEYS[6], rule_fields), fetch(KEYS[1], turn_fields), {}

-- Turns are a campaign's next free instants, one every 1000 / per_second ms from its start on: that is
-- the rate, however many wait. A turn is kept for as long as a ticket lives, then it is lost.
local function turn_of(rule, room, field)
  local turn = math.max(now, rule[2], tonumber(turns[field]) or 0)
  turns[field] = string.format("%.3f", turn + 1000 / room[1])
  changed[field] = true
  return math.ceil(turn)
end

local function judge(claim, rule, field)
  local room = rule and rule[8]
  if not room then
    return { "NO_ROOM" }
  elseif now >= rule[3] then
    return { "ENDED", rule[3] }
  end
  local who, turn = whose(claim[1], claim[2], claim[3]), nil
  if claim[4] ~= "" then
    turn = instant_of(room, "place", who, claim[4])
    if not turn then
      return { "INVALID" }
    end
  end
  if not turn or now >= turn + room[2] then
    turn = turn_of(rule, room, field)
  end
  if turn <= now then
    local till = now + room[2]
    return { "TICKET", till, sealed(room, "ticket", who, string.format("%.0f", till)) }
  end
  local place = sealed(room, "place", who, string.format("%.0f", turn))
  return { "WAIT", turn, place, math.ceil((turn - now) * room[1] / 1000) }
end

local results, read = {}, {}
for i, claim in ipairs(claims) do
  local field = rule_fields[i]
  if read[field] == nil then
    read[field] = rules[field] and cmsgpack.unpack(rules[field]) or false
  end
  results[i] = judge(claim, read[field], turn_fields[i])
end
for field in pairs(changed) do
  write("HSET", KEYS[1], field, turns[field])
end
return commit(results)
