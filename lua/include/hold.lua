-- A hold, and after its end the memory that its order was seen. Fields of the packed list:
local STATE, ATTEMPT, FINGERPRINT, TENANT, CHANNEL, CAMPAIGN, BUYER = 2, 3, 4, 5, 6, 7, 8
local CURRENCY, TOTAL, PAY_BY, UNTIL, LINES, DRAWS, COUNTERS = 9, 10, 11, 12, 13, 14, 15
local PAYMENTS, CANCELS, WARNED, SINCE, DROPPED, KEYS_OF_BUYER = 16, 17, 18, 19, 20, 21
local STAGES, PAID = 22, 23
-- Of an order that a marketplace sold, see snapshot.lua; a hold with these has all fields before them.
local SEEN, PROGRESS, LINE_KEYS, SHORTS, UNMAPPED, BELOW = 24, 25, 26, 27, 28, 29
-- STATE    P pending, C confirmed, R released, E expired
-- LINES    {sku, open units, payable, on_short or how it takes part in a bundle}
-- DRAWS    {line, pool, units}
-- COUNTERS {field, units, line}; line 0: once an order   PAYMENTS {payment_id, outcome, amount}
-- STAGES   what is still to be paid, see stages.lua, and PAID of it; neither where all is due at once
local TERMINAL = { C = "ALREADY_CONFIRMED", R = "ALREADY_RELEASED", E = "EXPIRED" }
local HOLD_VERSION = 1

-- A bundle is a line that is sold and paid for and draws nothing, marked SOLD; its components are lines
-- behind all that were asked for, drawn and not paid for, marked "line*units": of which line, and how
-- many units of it are in each. A component of line 0 belongs to no line any more.
local bundles = {
  SOLD = "bundle",
  is_part = function(line)
    return line[4] and string.find(line[4], "*", 1, true) ~= nil
  end,
  part_of = function(line)
    local of, per = string.match(line[4] or "", "^(%d+)%*(%d+)$")
    return tonumber(of), tonumber(per)
  end,
}
local SEP = "\31"
local KEEP_MS = 604800000

-- As they are stored, and each unpacked when it is first asked for.
local stored = {}
local holds = setmetatable({}, {
  __index = function(unpacked, order_id)
    local packed = stored[order_id]
    if packed then
      packed = cmsgpack.unpack(packed)
      unpacked[order_id] = packed
    end
    return packed
  end,
})
local held_dirty = {}
local due_add, due_remove, done_add, done_remove = {}, {}, {}, {}
local counters, counted_dirty = {}, {}

-- What is written before all that is marked dirty: values as HSET and ZADD take them, of claims that
-- never became a hold's table. A later claim of the same call may change one; its value comes after.
local fresh = { holds = {}, due = {}, counters = {} }

local function load_holds(ids)
  for i, packed in ipairs(values_of(KEYS[4], ids)) do
    stored[ids[i]] = packed or nil
  end
end

-- Numbers of units and orders; only a buyer's field "m…" names an order instead.
local function load_counters(fields)
  for i, value in ipairs(values_of(KEYS[7], fields)) do
    local field = fields[i]
    if string.byte(field) == 109 then
      counters[field] = value
    else
      counters[field] = value and tonumber(value) or 0
    end
  end
end

local function count(field, units)
  counters[field] = counters[field] + units
  counted_dirty[field] = true
end

local function mine(hold)
  return "m" .. SEP .. hold[TENANT] .. SEP .. hold[CAMPAIGN] .. SEP .. hold[BUYER]
end

-- Every pool and counter that the end of these holds may touch, read before anything is written.
local function load_ends_of(ids)
  local wanted_pools, add_pool = distinct()
  local wanted_counters, add_counter = distinct()
  for i = 1, #ids do
    local hold = holds[ids[i]]
    if hold then
      for _, draw in ipairs(hold[DRAWS]) do
        add_pool(draw[2])
      end
      for _, entry in ipairs(hold[COUNTERS]) do
        add_counter(entry[1])
      end
      if hold[BUYER] ~= "" then
        add_counter(mine(hold))
      end
    end
  end
  load_pools(wanted_pools)
  load_counters(wanted_counters)
end

-- The buyer's replaceable hold is this one no longer.
local function forget_mine(order_id, hold)
  if hold[BUYER] ~= "" and counters[mine(hold)] == order_id then
    counters[mine(hold)] = false
    counted_dirty[mine(hold)] = true
  end
end

-- Move a hold to its end: it leaves the sweeper's list and is remembered for a while.
local function finish(order_id, hold, state)
  hold[STATE] = state
  held_dirty[order_id] = true
  due_add[order_id], due_remove[order_id] = nil, true
  done_add[order_id] = now + KEEP_MS
  forget_mine(order_id, hold)
end

-- Cut a line; returns the money that leaves with the units: floor(payable * units / open units).
local function cut_line(hold, n, units)
  local line = hold[LINES][n]
  -- by way of the remainder: payable * units is more than a double holds for large sums
  local rest = math.fmod(line[3], line[2])
  local share = (line[3] - rest) / line[2] * units + math.floor(rest * units / line[2])
  line[2], line[3] = line[2] - units, line[3] - share
  hold[TOTAL] = hold[TOTAL] - share
  return share
end

-- What a line counts towards a limit or, with a pool, towards the cap of what it drew from there;
-- returns what was given back as {field, units}.
local function uncount_line(hold, n, units, pool)
  local given = {}
  local cap = pool and "c" .. SEP .. pool .. SEP .. hold[CHANNEL]
  for i = #hold[COUNTERS], 1, -1 do
    local entry = hold[COUNTERS][i]
    local counts = cap and entry[1] == cap or not cap and string.sub(entry[1], 1, 2) ~= "c" .. SEP
    if entry[3] == n and counts then
      local part = math.min(units, entry[2])
      count(entry[1], -part)
      given[#given + 1] = { entry[1], part }
      entry[2] = entry[2] - part
      units = cap and units - part or units -- a line may have drawn from one pool twice
      if entry[2] == 0 then
        table.remove(hold[COUNTERS], i)
      end
    end
  end
  return given
end

-- Note what an order counts; of one line and field there is one entry, or a release would give both
-- back for the same units.
local function note_count(list, field, units, n)
  for i = 1, #list do
    if list[i][1] == field and list[i][3] == n then
      list[i][2] = list[i][2] + units
      return
    end
  end
  list[#list + 1] = { field, units, n }
end

local function uncount_all(hold)
  for _, entry in ipairs(hold[COUNTERS]) do
    count(entry[1], -entry[2])
  end
  hold[COUNTERS] = {}
end

-- Give back everything that is still held, and what it counted for the buyer's limits.
local function give_all_back(hold, account)
  for _, draw in ipairs(hold[DRAWS]) do
    give_back(draw[2], draw[3], account)
  end
  for _, entry in ipairs(hold[COUNTERS]) do
    count(entry[1], -entry[2])
  end
end

local function write_holds()
  local values, removed = fresh.holds, {}
  for id in pairs(held_dirty) do
    values[#values + 1] = id
    values[#values + 1] = cmsgpack.pack(holds[id])
  end
  write_all("HSET", KEYS[4], values)
  values = fresh.due
  for id, at in pairs(due_add) do
    values[#values + 1] = at
    values[#values + 1] = id
  end
  write_all("ZADD", KEYS[5], values)
  for id in pairs(due_remove) do
    removed[#removed + 1] = id
  end
  write_all("ZREM", KEYS[5], removed)
  values = {}
  for id, at in pairs(done_add) do
    values[#values + 1] = at
    values[#values + 1] = "o" .. SEP .. id
  end
  write_all("ZADD", KEYS[9], values)
  removed = {}
  for id in pairs(done_remove) do
    removed[#removed + 1] = "o" .. SEP .. id
  end
  write_all("ZREM", KEYS[9], removed)
end

local function write_counters()
  local values, removed = fresh.counters, {}
  for field in pairs(counted_dirty) do
    if counters[field] == 0 or counters[field] == false then
      removed[#removed + 1] = field
    else
      values[#values + 1] = field
      values[#values + 1] = counters[field]
    end
  end
  write_all("HSET", KEYS[7], values)
  write_all("HDEL", KEYS[7], removed)
end
