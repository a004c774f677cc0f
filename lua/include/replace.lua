-- A buyer's claim takes the place of his own unpaid hold, if it says so.

-- Read the holds that these claims may replace, and the pools and counters of their end.
local function load_replaceable(list, order_ids)
  local others, add_other = distinct()
  local asked = false
  for _, claim in ipairs(list) do
    if claim[REPLACE] == 1 and claim[C_BUYER] ~= "" then
      asked = true
      local other = counters[claim.mine]
      if other and holds[other] == nil then
        add_other(other)
      end
    end
  end
  if asked then
    load_holds(others)
    -- counters read twice keep their value: nothing has been changed yet
    load_ends_of(others)
    load_ends_of(order_ids)
  end
end

-- Make room for the claim: returns what was replaced and how to put it back, or "".
local function replace(claim)
  local id = claim[REPLACE] == 1 and claim[C_BUYER] ~= "" and counters[claim.mine]
  local hold = id and holds[id]
  if not hold or hold[STATE] ~= "P" then
    return ""
  end
  give_all_back(hold, HELD)
  return id, hold
end

-- The claim was refused after all; the pools are rolled back with its own draws.
local function put_back(hold)
  for _, entry in ipairs(hold and hold[COUNTERS] or {}) do
    count(entry[1], entry[2])
  end
end

local function end_replaced(id, hold)
  if hold then
    finish(id, hold, "R")
    hold[COUNTERS], hold[DRAWS] = {}, {}
  end
end
