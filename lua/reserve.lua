#!lua
--[[
Take stock for each claim of a batch: every line of a claim, or none of them.

Called by  engine/reservation/store.py
Cost       O(lines of the batch); claims <= CLAIMS_PER_CALL_MAX, lines <= LINES_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time, count of accepted claims
KEYS[2]    tg:{c}:log       stream  one entry for each batch that accepted something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold; that it exists makes a retry harmless
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[6]    tg:{c}:rules     hash    channels, campaigns, offers, pauses
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[9]    tg:{c}:done      zset    ended holds by the instant from which they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    claims           msgpack list, fields as in include/take.lua; 0 is one that stands in the columns
ARGV[4..]  payloads         bytes, one a claim: what the recorder is told, copied to the log untouched;
                            behind them the columns of include/plain.lua, if there is such a claim

Returns    msgpack {"OK", now, log_id, results}, one result a claim:
           {"RESERVED", state, pay_by, total, dropped, stages}
           {"REPEATED", state, pay_by, total, dropped, stages, 1}   this order came before: nothing was
                                        taken; stages {{name, amount, pay_by}, …} only if it has some,
                                        1 only if it has bundles
           {"CONFLICT"}                 it came before and said something else
           {"SOLD_OUT", line, empty, pools}   empty 1: no pool had a unit left
           {"LIMIT_REACHED", line, maximum, counted}   counted -1: the claim names no such buyer
           {"NOT_STARTED", starts_at}  {"ENDED", ends_at}  {"PAUSED", scope}  {"UNKNOWN_SKU", line}
           {"TICKET_NEEDED", why}       the campaign has a waiting room; why: none, invalid or expired
           {"WRONG_CALL"}               the channel's orders are sold already, see `sync`
           {"SHORT", line}              the order it is split from has not these units; line 0: it is
                                        another buyer's, in another currency, or partly paid
           {"UNKNOWN_ORDER"}  {"ALREADY_CONFIRMED"}  {"ALREADY_RELEASED"}  {"EXPIRED"}   so is that order
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any claim
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"
--- @include "take"
--- @include "stages"
--- @include "replace"
--- @include "split"
--- @include "room"

local function outside_window(scope)
  local rule = scope.campaign
  if not scope.campaign_field then
    return nil
  elseif not rule then
    return { "UNKNOWN_SKU", 1 }
  elseif now < rule[2] then
    return { "NOT_STARTED", rule[2] }
  elseif now >= rule[3] then
    return { "ENDED", rule[3] }
  end
end

local function paused(claim)
  local scope = claim.scope
  if scope.pause_field and rules[scope.pause_field] then
    return { "PAUSED", "campaign" }
  end
  for n, line in ipairs(claim[C_LINES]) do
    if rules[scope.pause_fields[line[1]]] then
      return { "PAUSED", "sku", n }
    end
  end
end

-- Of a campaign with a waiting room, nobody buys whose turn it is not.
local function without_ticket(claim)
  local room = claim.scope.campaign and claim.scope.campaign[8]
  if not room then
    return nil
  end
  local ticket = claim[TICKET] or ""
  local who = whose(claim[C_TENANT], claim[C_CAMPAIGN], claim[C_BUYER])
  local till = instant_of(room, "ticket", who, ticket)
  if not till then
    return { "TICKET_NEEDED", ticket == "" and "none" or "invalid" }
  elseif now >= till then
    return { "TICKET_NEEDED", "expired" }
  end
end

--- @include "plain"

local order_ids, rows, accept_plainly, claim_at = plain_lane()
load_holds(order_ids)
load_replaceable(rows, order_ids)
load_sources(rows)

local function accept(claim, taken, payload, replaced, replaced_hold, source, prices)
  local settled = claim[SETTLE] ~= ""
  local pay_by, held_until = 0, 0
  if source then
    pay_by, held_until = source[PAY_BY], source[UNTIL] -- it was fixed at the first hold
  elseif not settled then
    pay_by, held_until = deadline(claim.scope, claim[METHOD])
  end
  local hold = hold_of(claim, settled and "C" or "P", 1, taken, pay_by, held_until)
  if source then
    inherit_stages(hold, source, prices)
  else
    set_stages(hold, claim.scope.campaign, claim.scope.offers)
  end
  local order_id = claim[ORDER]
  end_replaced(replaced, replaced_hold)
  holds[order_id], held_dirty[order_id] = hold, true
  if settled then
    done_add[order_id] = now + KEEP_MS
  else
    if held_until > 0 then
      hold[WARNED] = source and source[WARNED] or 0
      due_add[order_id] = hold[WARNED] == 0 and pay_by or held_until
    end
    if claim[C_BUYER] ~= "" then
      counters[claim.mine], counted_dirty[claim.mine] = order_id, true
    end
  end
  accepted = accepted + 1
  keep()
  events[#events + 1] = reserved_event(claim, hold, taken, payload, replaced)
  for _, n in ipairs(taken.below_floor) do
    pause_below_floor(claim, claim[C_LINES][n][1])
  end
  return { "RESERVED", hold[STATE], hold[PAY_BY], hold[TOTAL], taken.dropped, stages_told(hold) }
end

local function judge_split(claim, payload)
  local source = holds[claim[SPLIT_FROM]]
  local refusal = not_split(claim, source)
  if refusal then
    return refusal
  end
  begin()
  local taken = nothing_taken()
  local cut, prices = split(claim, source, taken)
  local result = accept(claim, taken, payload, "", nil, source, prices)
  end_split(claim, source, cut)
  return result
end

local function repeated(hold)
  local told = { "REPEATED", hold[STATE], hold[PAY_BY], hold[TOTAL], hold[DROPPED], stages_told(hold) }
  if bundles.is_part(hold[LINES][#hold[LINES]]) then
    told[6], told[7] = told[6] or {}, 1
  end
  return told
end

local function judge(claim, payload)
  local seen = holds[claim[ORDER]]
  if seen then
    if seen[FINGERPRINT] ~= claim[PRINT] then
      return { "CONFLICT" }
    end
    return repeated(seen)
  end
  local channel = claim.scope.channel
  if not channel then
    return { "UNKNOWN_SKU", 1 }
  elseif channel[2] ~= "gate" then
    return { "WRONG_CALL" } -- sold already: its snapshots come to `sync`
  end
  if claim[SPLIT_FROM] ~= "" then
    return judge_split(claim, payload)
  end
  local refusal = paused(claim) or outside_window(claim.scope) or without_ticket(claim)
  if refusal then
    return refusal
  end
  begin()
  local taken = nothing_taken()
  local replaced, replaced_hold = replace(claim)
  refusal = within_limits(claim, taken.counted)
  refusal = refusal or take(claim, claim[SETTLE] ~= "" and SOLD or HELD, taken)
  if refusal then
    uncount(taken.counted)
    put_back(replaced_hold)
    rollback()
    return refusal[1] == "SOLD_OUT" and sold_out(refusal[2], refusal[3]) or refusal
  end
  return accept(claim, taken, payload, replaced, replaced_hold)
end

local results = {}
for i = 1, #claims do
  local payload = ARGV[3 + i]
  results[i] = accept_plainly(i, payload) or judge(claim_at(i), payload)
end
write_pools()
write_holds()
write_counters()
return commit(results)
