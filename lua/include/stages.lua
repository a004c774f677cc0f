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
  -- what had a deposit may be cancelled: then all of the rest is due
  return amount > 0 and math.min(amount, unpaid(hold)) or unpaid(hold)
end

-- Everything is paid. A marketplace's hold keeps the two fields: there are others behind them.
local function end_stages(hold)
  hold[STAGES], hold[PAID] = hold[SEEN] and {} or nil, hold[SEEN] and 0 or nil
end

-- The deposit for one unit of a line, 0 for none.
local function deposit_of(hold, n)
  for _, price in ipairs(hold[STAGES] and hold[STAGES][1][PRICES] or {}) do
    if price[1] == n then
      return price[2]
    end
  end
  return 0
end

-- The deposit is booked: the next stage's deadline is the hold's.
local function next_stage(hold, amount)
  hold[PAID] = hold[PAID] + amount
  table.remove(hold[STAGES], 1)
  local stage = hold[STAGES][1]
  hold[PAY_BY], hold[UNTIL], hold[WARNED] = stage[STAGE_PAY_BY], stage[STAGE_UNTIL], 0
end

-- Give a new hold its two stages, unless the deposit would be nothing, or all of it.
local function two_stages(hold, prices, balance_by, balance_until)
  local asked = {}
  for _, price in ipairs(prices) do
    if price[2] > 0 and hold[LINES][price[1]][2] > 0 then
      asked[#asked + 1] = price
    end
  end
  if #asked == 0 then
    return
  end
  hold[STAGES], hold[PAID] = {
    { "deposit", hold[PAY_BY], hold[UNTIL], asked },
    { "balance", balance_by, balance_until, {} },
  }, 0
  if amount_due(hold) == hold[TOTAL] then
    hold[STAGES], hold[PAID] = nil, nil
  end
end

-- The stages of a campaign that sells on deposit: prices and deadlines of the first reservation.
local function set_stages(hold, campaign, offers)
  local balance_by = campaign and campaign[7] or 0
  if hold[PAY_BY] == 0 or balance_by <= hold[PAY_BY] then
    return
  end
  local prices = {}
  for n, line in ipairs(hold[LINES]) do
    local offer = offers[line[1]]
    if offer and offer[6] == hold[CURRENCY] and not bundles.is_part(line) then
      prices[#prices + 1] = { n, offer[5] or 0 }
    end
  end
  two_stages(hold, prices, balance_by, balance_by + hold[UNTIL] - hold[PAY_BY])
end

-- The stages of a claim that was split from a hold: what it would have been asked there.
local function inherit_stages(hold, source, prices)
  local balance = source[STAGES] and source[STAGES][2]
  if balance then
    two_stages(hold, prices, balance[STAGE_PAY_BY], balance[STAGE_UNTIL])
  end
end

-- The closed time moved the hold's deadline: its stage says the same, and no later one comes before.
local function move_stages(hold, length)
  for i, stage in ipairs(hold[STAGES] or {}) do
    if i == 1 then
      stage[STAGE_PAY_BY], stage[STAGE_UNTIL] = hold[PAY_BY], hold[UNTIL]
    elseif stage[STAGE_UNTIL] < hold[UNTIL] then
      stage[STAGE_PAY_BY], stage[STAGE_UNTIL] = stage[STAGE_PAY_BY] + length, stage[STAGE_UNTIL] + length
    end
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
    if amount > 0 then
      told[#told + 1] = { stage[1], amount, stage[STAGE_PAY_BY] }
    end
    left = left - amount
  end
  return told
end
