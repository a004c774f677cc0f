-- Paying in stages, as a presale asks: a deposit now, the balance later; the last one confirms.
-- A hold without stages is paid at once. A stage is {name, pay_by, held_until, prices}: prices are
-- {line, money for one unit}; a stage without prices asks for all that is not paid yet.
local STAGE_PAY_BY, STAGE_UNTIL, PRICES = 2, 3, 4

local function unpaid(hold)
  return hold[TOTAL] - (hold[PAID] or 0)
end

-- What the hold asks for now, in minor units: less than `unpaid` while a deposit is due.
local function amount_due(hold)
  local stage = hold[STAGES] and hold[STAGES][1]
  if not stage or #stage[PRICES] == 0 then
    return unpaid(hold)
  end
  local amount = 0
  for _, price in ipairs(stage[PRICES]) do
    amount = amount + hold[LINES][price[1]][2] * price[2]
  end
  return math.min(amount, unpaid(hold))
end

-- The deposit is booked: the next stage's deadline is the hold's.
local function next_stage(hold, amount)
  hold[PAID] = hold[PAID] + amount
  table.remove(hold[STAGES], 1)
  local stage = hold[STAGES][1]
  hold[PAY_BY], hold[UNTIL], hold[WARNED] = stage[STAGE_PAY_BY], stage[STAGE_UNTIL], 0
end

-- Give a new hold its stages if its campaign sells on deposit. The prices are those of the first
-- reservation and so are the deadlines; where the deposit would be all of it, all is due at once.
local function set_stages(hold, campaign, offers)
  local balance_by = campaign and campaign[7] or 0
  local prices = {}
  if hold[PAY_BY] > 0 and balance_by > hold[PAY_BY] then
    for n, line in ipairs(hold[LINES]) do
      local offer = offers[line[1]]
      local deposit = offer and offer[5] or 0
      if deposit > 0 and line[2] > 0 and offer[6] == hold[CURRENCY] then
        prices[#prices + 1] = { n, deposit }
      end
    end
  end
  if #prices == 0 then
    return
  end
  local grace = hold[UNTIL] - hold[PAY_BY]
  hold[STAGES] = {
    { "deposit", hold[PAY_BY], hold[UNTIL], prices },
    { "balance", balance_by, balance_by + grace, {} },
  }
  hold[PAID] = 0
  if amount_due(hold) == hold[TOTAL] then
    hold[STAGES], hold[PAID] = nil, nil
  end
end

-- As its buyer is told, {name, amount, pay_by} of each stage that is still to be paid; else nil.
local function stages_told(hold)
  if not hold[STAGES] or hold[STATE] ~= "P" then
    return nil
  end
  local told, left = {}, unpaid(hold)
  for i, stage in ipairs(hold[STAGES]) do
    local amount = i == #hold[STAGES] and left or amount_due(hold)
    told[i] = { stage[1], amount, stage[STAGE_PAY_BY] }
    left = left - amount
  end
  return told
end
