#!lua flags=allow-oom
--[[
Book payments that came after their hold expired: hold again and confirm, in one step.

It is attempt n+1 of the same order: window and pause are ignored, stock and limits are not. Where
there is nothing left, the money is logged as refund due. Pools that ended meanwhile are replaced by
those that took their place. A deposit holds again and waits for the balance. A hold that has not
expired is confirmed as by `confirm`. Runs even when memory is full.

Called by  engine/reservation/store.py
Cost       O(payments + lines of their holds); payments <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[6]    tg:{c}:rules     hash    channels, campaigns, offers
KEYS[7]    tg:{c}:counters  hash    units counted against buyer limits and caps
KEYS[9]    tg:{c}:done      zset    ended holds by the instant from which they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    payments         msgpack list of {order_id, payment_id, amount, currency, method, paid_at, stage,
                            actor}

Returns    msgpack {"OK", now, log_id, results}, one result a payment: as `confirm`,
           {"CONFIRMED"}, {"DEPOSITED", pay_by, balance} and the others; and instead of EXPIRED
           {"REFUND_DUE", reason}     "no_stock", "limit", or "too_late" for a deposit whose balance
                                      could not be paid in time any more: logged
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any payment
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
--- @include "pay"

local REASONS = { LIMIT_REACHED = "limit", TOO_LATE = "too_late" }

-- The claim that an expired hold was, as far as taking it again needs it.
local function claim_of(payment, hold)
  local lines = {}
  for n, line in ipairs(hold[LINES]) do
    lines[n] = { line[1], line[2], line[3], line[4] }
  end
  return {
    payment[P_ORDER], hold[FINGERPRINT], hold[TENANT], hold[CHANNEL], hold[CAMPAIGN], hold[BUYER],
    hold[CURRENCY], hold[TOTAL], "paid", payment[P_METHOD], 0, lines, facts(payment),
    hold[KEYS_OF_BUYER] or {}, 0, payment[P_ACTOR],
  }
end

-- The offer as it would be written now: nobody draws from a pool that has ended, and what two of
-- its pools passed on to the same one stands there once. A cap was for units beyond its own: where
-- its own went, there is none.
local function offer_of_heirs(offer)
  local sources, at = {}, {}
  for _, source in ipairs(offer[2]) do
    local id = pools[source[1]] and heir(source[1]) or source[1]
    if not at[id] then
      sources[#sources + 1] = { id, source[2] }
      at[id] = #sources
    elseif source[2] < 0 then
      sources[at[id]][2] = -1
    end
  end
  return { offer[1], sources, offer[3], offer[4], offer[5], offer[6], offer[7] }
end

-- The offers as they are now count towards other caps than those that were written.
local function load_caps(list)
  local caps, add = distinct()
  for _, claim in ipairs(list) do
    for _, line in ipairs(claim[C_LINES]) do
      local offer = claim.scope.offers[line[1]]
      for _, source in ipairs(offer and offer[2] or {}) do
        add(cap_field(source[1], claim[C_CHANNEL]))
      end
    end
  end
  load_counters(caps)
end

-- Read all that these payments may meet; returns the claim of each that has a hold.
local function load_again(payments)
  local order_ids, add = distinct()
  for _, payment in ipairs(payments) do
    add(payment[P_ORDER])
  end
  load_holds(order_ids)
  local list, claim_for = {}, {}
  for _, payment in ipairs(payments) do
    local hold = holds[payment[P_ORDER]]
    if hold then
      claim_for[payment] = claim_of(payment, hold)
      list[#list + 1] = claim_for[payment]
    end
  end
  load_for(list)
  load_ends_of(order_ids)
  for _, scope in pairs(scopes) do
    for sku, offer in pairs(scope.offers) do
      scope.offers[sku] = offer and offer_of_heirs(offer)
    end
  end
  load_caps(list)
  return claim_for
end

local claim_for = load_again(claims)

local function taken_again(hold, payment, whole)
  if whole then
    end_stages(hold)
    finish(payment[P_ORDER], hold, "C")
    return { "CONFIRMED" }
  end
  hold[STATE], held_dirty[payment[P_ORDER]] = "P", true
  next_stage(hold, payment[AMOUNT])
  due_add[payment[P_ORDER]], due_remove[payment[P_ORDER]] = hold[PAY_BY], nil
  return { "DEPOSITED", hold[PAY_BY], unpaid(hold) }
end

local function hold_again(payment)
  local order_id = payment[P_ORDER]
  local hold = holds[order_id]
  local claim = claim_for[payment]
  local whole = payment[AMOUNT] == unpaid(hold)
  begin()
  local taken = nothing_taken()
  local refusal = not whole and now >= hold[STAGES][2][STAGE_UNTIL] and { "TOO_LATE" }
  refusal = refusal or within_limits(claim, taken.counted)
  refusal = refusal or take(claim, whole and SOLD or HELD, taken)
  if not refusal and #taken.dropped > 0 then
    refusal = { "SOLD_OUT" }
  end
  if refusal then
    uncount(taken.counted)
    rollback()
    local reason = REASONS[refusal[1]] or "no_stock"
    refund_due(payment, hold, reason)
    return { "REFUND_DUE", reason }
  end
  keep()
  hold[DRAWS], hold[COUNTERS], hold[ATTEMPT] = taken.draws, taken.counted, hold[ATTEMPT] + 1
  remember_payment(payment, hold, "applied")
  local result = taken_again(hold, payment, whole)
  events[#events + 1] = {
    "H", order_id, now, moves, facts(payment), hold[ATTEMPT], taken.draws, taken.counted,
    hold[STATE], hold[PAY_BY], hold[UNTIL], stages_left(hold),
  }
  return result
end

local results = {}
for i, payment in ipairs(claims) do
  results[i] = book(payment) or hold_again(payment)
end
write_pools()
write_holds()
write_counters()
return commit(results)
