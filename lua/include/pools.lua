-- The pools a call touches, as a working copy: judged and changed here, written back once.
-- A pool is {granted, owed, available, held, sold, seq, successor, ended, debts, round}, and at every
-- instant granted + owed = available + held + sold. The last two are there only once somebody owed:
-- DEBTS  {pool, units, round}: orders that draw from here first are owed as much there, by the last
--        pool of their offer, where everybody who shares it waits in one queue
-- ROUND  how often the pool began to owe; a debt of an earlier round was repaid
local GRANTED, OWED, AVAILABLE, HELD, SOLD, SEQ, SUCCESSOR, ENDED = 1, 2, 3, 4, 5, 6, 7, 8
local DEBTS, ROUND = 9, 10
local pools, dirty = {}, {}
local moves, moved, lent = {}, {}, {}

-- Read pools, the successors that units coming back would go to, and the pools that would be repaid.
local function load_pools(ids)
  for _ = 1, 8 do
    local missing, add = distinct()
    for i = 1, #ids do
      if pools[ids[i]] == nil then
        add(ids[i])
      end
    end
    ids = {}
    for i, packed in ipairs(values_of(KEYS[3], missing)) do
      local id = missing[i]
      pools[id] = packed and cmsgpack.unpack(packed)
      if packed and pools[id][ENDED] == 1 and pools[id][SUCCESSOR] ~= "" then
        ids[#ids + 1] = pools[id][SUCCESSOR]
      end
      for _, debt in ipairs(packed and pools[id][DEBTS] or {}) do
        ids[#ids + 1] = debt[1]
      end
    end
    if #ids == 0 then
      return
    end
  end
end

local function begin()
  moves, moved, lent = {}, {}, {}
end

local function post(id, account, units)
  if units == 0 then
    return
  end
  local pool, move = pools[id], moved[id]
  if not move then
    move = { id, 0, 0, 0, 0, 0 }
    moved[id], moves[#moves + 1] = move, move
  end
  pool[account] = pool[account] + units
  move[account + 1] = move[account + 1] + units
end

local function rollback()
  for _, move in ipairs(moves) do
    local pool = pools[move[1]]
    for account = 1, 5 do
      pool[account] = pool[account] - move[account + 1]
    end
  end
  for _, part in ipairs(lent) do
    part[1][2] = part[1][2] + part[2]
  end
  begin()
end

local function keep()
  for _, move in ipairs(moves) do
    dirty[move[1]] = true
  end
end

-- Units that become free repay what is owed before they are for sale: here, and where orders that
-- draw from here first are owed.
local function free(id, units)
  local repaid = math.min(pools[id][OWED], units)
  post(id, OWED, -repaid)
  units = units - repaid
  for _, debt in ipairs(pools[id][DEBTS] or {}) do
    local other = pools[debt[1]]
    local part = other and other[ROUND] == debt[3] and math.min(units, debt[2], other[OWED]) or 0
    if part > 0 then
      post(id, GRANTED, -part)
      post(debt[1], GRANTED, part)
      post(debt[1], OWED, -part)
      debt[2], units = debt[2] - part, units - part
      lent[#lent + 1] = { debt, part }
    end
  end
  post(id, AVAILABLE, units)
end

-- Owe units by one pool to orders that draw from these others first.
local function begin_to_owe(id, units, others)
  local pool = pools[id]
  if pool[OWED] == 0 then
    pool[DEBTS], pool[ROUND] = pool[DEBTS] or {}, (pool[ROUND] or 0) + 1
  end
  post(id, OWED, units)
  for _, other in ipairs(others) do
    local debts, known = {}, 0
    for _, debt in ipairs(pools[other][DEBTS] or {}) do
      if debt[1] == id then
        known = debt[3] == pool[ROUND] and debt[2] or 0
      else
        debts[#debts + 1] = debt
      end
    end
    debts[#debts + 1] = { id, known + units, pool[ROUND] }
    pools[other][DEBTS], pools[other][ROUND], dirty[other] = debts, pools[other][ROUND] or 0, true
  end
end

-- The pool itself or, once it has ended, the one that took its place.
local function heir(id)
  for _ = 1, 8 do
    local pool = pools[id]
    if pool[ENDED] ~= 1 or pool[SUCCESSOR] == "" or not pools[pool[SUCCESSOR]] then
      break
    end
    id = pool[SUCCESSOR]
  end
  return id
end

-- What is free in a pool repays what is owed, where both came about by themselves.
local function settle(id)
  local pool = pools[id]
  local owed = pool[OWED]
  for _, debt in ipairs(pool[DEBTS] or {}) do
    local other = pools[debt[1]]
    owed = owed + (other and other[ROUND] == debt[3] and math.min(debt[2], other[OWED]) or 0)
  end
  local units = math.min(owed, pool[AVAILABLE])
  post(id, AVAILABLE, -units)
  free(id, units)
end

-- A pool that ends leaves what it owes to its successor, and what it would have repaid elsewhere.
local function bequeath(id, target)
  local to, debts = pools[target], { { id, pools[id][OWED], pools[id][ROUND] } }
  for _, debt in ipairs(pools[id][DEBTS] or {}) do
    debts[#debts + 1] = debt
  end
  for _, debt in ipairs(debts) do
    if debt[2] > 0 and debt[1] ~= target then
      to[DEBTS], to[ROUND], dirty[target] = to[DEBTS] or {}, to[ROUND] or 0, true
      to[DEBTS][#to[DEBTS] + 1] = { debt[1], debt[2], debt[3] }
    end
  end
  settle(target)
end

-- Units leave a hold or a sale; a pool that has ended passes them to its successor.
local function give_back(id, units, account)
  post(id, account, -units)
  local target = heir(id)
  if target ~= id then
    local repaid = math.min(pools[id][OWED], units)
    post(id, OWED, -repaid)
    units = units - repaid
    post(id, GRANTED, -units)
    post(target, GRANTED, units)
  end
  free(target, units)
end

local function write_pools()
  local values = {}
  for id in pairs(dirty) do
    values[#values + 1] = id
    values[#values + 1] = cmsgpack.pack(pools[id])
  end
  write_all("HSET", KEYS[3], values)
end
