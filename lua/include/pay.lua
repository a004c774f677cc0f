-- Book one payment on one hold. A payment:
local P_ORDER, P_ID, AMOUNT, P_CURRENCY, P_METHOD, PAID_AT, STAGE, P_ACTOR = 1, 2, 3, 4, 5, 6, 7, 8
local PAYMENTS_MAX = 16

local function facts(payment)
  return {
    payment[P_ID], payment[AMOUNT], payment[P_CURRENCY], payment[P_METHOD], payment[PAID_AT],
    payment[STAGE], payment[P_ACTOR],
  }
end

local function remember_payment(payment, hold, outcome)
  hold[PAYMENTS][#hold[PAYMENTS] + 1] = { payment[P_ID], outcome, payment[AMOUNT] }
  held_dirty[payment[P_ORDER]] = true
end

-- The money is here and no goods are for it: recorded, never lost, to be refunded.
local function refund_due(payment, hold, reason)
  remember_payment(payment, hold, reason)
  events[#events + 1] = { "M", payment[P_ORDER], now, {}, facts(payment), reason }
end

local function earlier_outcome(payment, hold)
  for _, known in ipairs(hold[PAYMENTS]) do
    if known[1] == payment[P_ID] then
      return known[2], known[3] or payment[AMOUNT]
    end
  end
end

-- A copy: the event is packed after the whole batch, and the next payment may change the hold.
local function stages_left(hold)
  return { unpack(hold[STAGES] or {}) }
end

local function take_deposit(payment, hold)
  remember_payment(payment, hold, "applied")
  forget_mine(payment[P_ORDER], hold) -- partly paid: no other claim may take its place
  next_stage(hold, payment[AMOUNT])
  due_add[payment[P_ORDER]] = hold[PAY_BY]
  events[#events + 1] = {
    "A", payment[P_ORDER], now, {}, facts(payment), hold[PAY_BY], hold[UNTIL], stages_left(hold),
  }
  return { "DEPOSITED", hold[PAY_BY], unpaid(hold) }
end

local function confirm(payment, hold)
  begin()
  for _, held in ipairs(hold[DRAWS]) do
    post(held[2], HELD, -held[3])
    post(held[2], SOLD, held[3])
  end
  keep()
  remember_payment(payment, hold, "applied")
  end_stages(hold)
  finish(payment[P_ORDER], hold, "C")
  events[#events + 1] = { "C", payment[P_ORDER], now, moves, facts(payment), hold[ATTEMPT] }
  return { "CONFIRMED" }
end

-- Every state but EXPIRED; `nil` leaves that one to the caller.
local function book(payment)
  local hold = holds[payment[P_ORDER]]
  if not hold then
    return { "UNKNOWN_ORDER" }
  end
  local outcome, amount = earlier_outcome(payment, hold)
  if outcome and amount ~= payment[AMOUNT] then
    return { "CHANGED", amount }
  elseif outcome then
    return { "REPEATED", outcome }
  elseif #hold[PAYMENTS] >= PAYMENTS_MAX then
    return { "UNKNOWN_ORDER" } -- what the cell cannot remember it must not decide: Postgres does
  elseif hold[STATE] == "C" then
    refund_due(payment, hold, "second_payment")
    return { "ALREADY_CONFIRMED" }
  elseif hold[STATE] == "R" then
    refund_due(payment, hold, "cancelled")
    return { "ALREADY_RELEASED" }
  end
  local whole, due = payment[AMOUNT] == unpaid(hold), amount_due(hold)
  if not whole and payment[AMOUNT] ~= due or payment[P_CURRENCY] ~= hold[CURRENCY] then
    return { "CONFLICT", due, hold[CURRENCY] }
  elseif hold[STATE] == "P" then
    return (whole and confirm or take_deposit)(payment, hold)
  end
end
