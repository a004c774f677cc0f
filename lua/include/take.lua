-- Judge what a claim asks for against rules, limits and pools, and take it in the working copy.
-- A claim as packed by engine/reservation/store.py:
local ORDER, PRINT, C_TENANT, C_CHANNEL, C_CAMPAIGN, C_BUYER, C_CURRENCY, C_TOTAL = 1, 2, 3, 4, 5, 6, 7, 8
local SETTLE, METHOD, REPLACE, C_LINES, PAYMENT, BUYER_KEYS, PLACED_AT, ACTOR = 9, 10, 11, 12, 13, 14, 15, 16
local SPLIT_FROM = 17 -- the order whose held units it takes over, "" for none
local TICKET = 18 -- of a campaign's waiting room, "" or nil for none
-- C_LINES {sku, quantity, payable, on_short or how it takes part in a bundle, see hold.lua}

local rules = {}

local function pause_of(tenant, scope, id)
  return "pause" .. SEP .. tenant .. SEP .. scope .. SEP .. id
end

-- What claims of one campaign through one channel share, made once a batch: their rules, and for
-- each SKU its offer and its pause.
local scopes = {}

local function scope_of(tenant, campaign, channel)
  local key = tenant .. SEP .. campaign .. SEP .. channel
  local scope = scopes[key]
  if not scope then
    scope = {
      channel_name = channel,
      offer_prefix = "offer" .. SEP .. key .. SEP,
      buyer_prefix = "b" .. SEP .. tenant .. SEP .. campaign .. SEP,
      mine_prefix = "m" .. SEP .. tenant .. SEP .. campaign .. SEP,
      channel_field = "channel" .. SEP .. tenant .. SEP .. channel,
      pause_prefix = pause_of(tenant, "sku", ""), offer_fields = {}, pause_fields = {}, offers = {},
    }
    if campaign ~= "" then
      scope.campaign_field = "campaign" .. SEP .. tenant .. SEP .. campaign
      scope.pause_field = pause_of(tenant, "campaign", campaign)
    end
    scopes[key] = scope
  end
  return scope
end

-- A SKU's rules will be read with its scope's.
local function ask_for(scope, sku)
  if not scope.offer_fields[sku] then
    scope.offer_fields[sku] = scope.offer_prefix .. sku
    scope.pause_fields[sku] = scope.pause_prefix .. sku
  end
end

-- How much of a shared pool one channel has drawn, against its cap.
local function cap_field(pool, channel)
  return "c" .. SEP .. pool .. SEP .. channel
end

local function value_by(claim, by)
  if by == "buyer_id" then
    return claim[C_BUYER]
  end
  for _, pair in ipairs(claim[BUYER_KEYS]) do
    if pair[1] == by then
      return pair[2]
    end
  end
  return ""
end

-- Every limit that a claim meets, as {field, units, maximum, line, value}; what counts once
-- for the whole order has line 0 and is given back with all of it.
local function limits_of(claim)
  local scope, met = claim.scope, {}
  for n, line in ipairs(claim[C_LINES]) do
    local offer = scope.offers[line[1]]
    if offer and offer[3] > 0 and line[2] > 0 and not bundles.is_part(line) then
      local field = scope.buyer_prefix .. line[1] .. SEP .. claim[C_BUYER]
      met[#met + 1] = { field, line[2], offer[3], n, claim[C_BUYER] }
    end
  end
  local limits = scope.campaign and scope.campaign[6]
  for i = 1, limits and #limits or 0 do
    local limit = limits[i]
    local value = value_by(claim, limit[2])
    -- by what it counts, not by where it stands: a PUT may put another limit in front
    local kind = limit[1] .. SEP .. limit[2] .. SEP .. limit[4]
    local prefix = "l" .. SEP .. claim[C_TENANT] .. SEP .. claim[C_CAMPAIGN] .. SEP .. kind .. SEP .. value
    if limit[4] == "orders" and limit[1] == "campaign" then
      met[#met + 1] = { prefix, 1, limit[3], 0, value }
    else
      local seen = {}
      for n, line in ipairs(claim[C_LINES]) do
        local field = limit[1] == "sku" and prefix .. SEP .. line[1] or prefix
        local units = limit[4] == "units" and line[2] or 1
        if line[2] > 0 and not bundles.is_part(line) and (limit[4] == "units" or not seen[field]) then
          seen[field] = true
          met[#met + 1] = { field, units, limit[3], limit[4] == "units" and n or 0, value }
        end
      end
    end
  end
  return met
end

-- Count a claim against its limits; `counted` receives {field, units, line} of what was added.
local function within_limits(claim, counted)
  for _, met in ipairs(claim.limits) do
    local field, units = met[1], met[2]
    if met[5] == "" then
      return { "LIMIT_REACHED", met[4], met[3], -1 }
    end
    if counters[field] + units > met[3] then
      return { "LIMIT_REACHED", met[4], met[3], counters[field] }
    end
    count(field, units)
    counted[#counted + 1] = { field, units, met[4] }
  end
end

local function uncount(counted, line)
  for i = #counted, 1, -1 do
    if line == nil or counted[i][3] == line then
      count(counted[i][1], -counted[i][2])
      table.remove(counted, i)
    end
  end
end

local function reachable(source, channel)
  local pool = pools[source[1]]
  if not pool or pool[ENDED] == 1 then
    return 0
  end
  if source[2] < 0 then
    return pool[AVAILABLE]
  end
  return math.max(0, math.min(pool[AVAILABLE], source[2] - counters[cap_field(source[1], channel)]))
end

-- SOLD_OUT with what a sold-out flag needs: whether every pool was at 0, and which pools they are.
-- Asked after the claim's own draws were rolled back: what it did not get is still for sale.
local function sold_out(n, offer)
  local empty, ids = 1, {}
  for _, source in ipairs(offer[2]) do
    ids[#ids + 1] = source[1]
    if pools[source[1]] and pools[source[1]][AVAILABLE] > 0 then
      empty = 0
    end
  end
  return { "SOLD_OUT", n, empty, ids }
end

-- Note what a line draws from a pool; where the offer has a cap on that pool, it counts.
local function drawn(claim, n, offer, id, units, taken)
  taken.draws[#taken.draws + 1] = { n, id, units }
  for _, source in ipairs(offer[2]) do
    if source[1] == id and source[2] >= 0 then
      local field = cap_field(id, claim[C_CHANNEL])
      count(field, units)
      taken.counted[#taken.counted + 1] = { field, units, n }
    end
  end
end

-- Take up to `need` units of a line from the pools of its offer; returns how many are lacking.
local function draw(claim, n, offer, need, account, taken)
  for _, source in ipairs(offer[2]) do
    local units = math.min(need, reachable(source, claim[C_CHANNEL]))
    if units > 0 then
      post(source[1], AVAILABLE, -units)
      post(source[1], account, units)
      drawn(claim, n, offer, source[1], units, taken)
      need = need - units
    end
  end
  return need
end

-- A price by mistake sells the whole shelf: nobody may buy on before a person has looked.
local function pause_below_floor(claim, sku)
  local field = claim.scope.pause_fields[sku]
  if not rules[field] then
    rules[field] = { now, "floor_price", claim[ORDER] }
    write("HSET", KEYS[6], field, cmsgpack.pack(rules[field]))
    events[#events + 1] = { "U", "sku", now, {}, claim[C_TENANT], sku, 1, "floor_price", claim[ORDER] }
  end
end

-- Whether anything can be drawn for a SKU at all.
local function usable(offer)
  return offer and offer[2][1] and pools[offer[2][1][1]]
end

-- Below the least price of its offer, or in another currency, in which no price can be compared.
local function check_floor(claim, n, line, offer, taken)
  local other = (offer[6] or "") ~= "" and offer[6] ~= claim[C_CURRENCY]
  if offer[4] > 0 and (other or line[3] < offer[4] * line[2]) then
    taken.below_floor[#taken.below_floor + 1] = n
  end
end

-- Whether a bundle is sold here: by a campaign only if it names it, else wherever its components are.
local function sells_bundle(scope, offer)
  return not scope.campaign_field or offer and offer[7] == 1
end

-- Take every line, or none: returns a refusal, or nothing and `taken` is filled.
local function take(claim, account, taken)
  for n, line in ipairs(claim[C_LINES]) do
    local offer = claim.scope.offers[line[1]]
    -- a line of no units was dropped or cancelled before its order is held again
    if line[2] > 0 and line[4] == bundles.SOLD then
      if not sells_bundle(claim.scope, offer) then
        return { "UNKNOWN_SKU", n }
      elseif offer then
        check_floor(claim, n, line, offer, taken)
      end
    elseif line[2] > 0 and not usable(offer) then
      return { "UNKNOWN_SKU", n }
    elseif line[2] > 0 then
      local room = 0
      for _, source in ipairs(offer[2]) do
        room = room + reachable(source, claim[C_CHANNEL])
      end
      if room >= line[2] then
        draw(claim, n, offer, line[2], account, taken)
      elseif line[4] == "drop" then
        taken.dropped[#taken.dropped + 1] = n
        uncount(taken.counted, n)
      else
        return { "SOLD_OUT", n, offer }
      end
      if not bundles.is_part(line) then
        check_floor(claim, n, line, offer, taken)
      end
    end
  end
  if #taken.dropped == #claim[C_LINES] then
    local n = taken.dropped[1] -- an order of nothing is no order
    return { "SOLD_OUT", n, claim.scope.offers[claim[C_LINES][n][1]] }
  end
end

local function nothing_taken()
  return { draws = {}, counted = {}, dropped = {}, below_floor = {} }
end

-- How long a claim may stay unpaid: by payment method, else its campaign, else its channel.
local function deadline(scope, method)
  local channel, campaign = scope.channel, scope.campaign
  local hold_ms, grace_ms = channel[3], channel[4]
  if campaign and campaign[4] > 0 then
    hold_ms, grace_ms = campaign[4], campaign[5]
  end
  hold_ms = channel[5][method] or hold_ms
  return now + hold_ms, now + hold_ms + grace_ms
end

local function put_in_scope(list)
  for _, claim in ipairs(list) do
    local scope = scope_of(claim[C_TENANT], claim[C_CAMPAIGN], claim[C_CHANNEL])
    claim.scope = scope
    for _, line in ipairs(claim[C_LINES]) do
      ask_for(scope, line[1])
    end
  end
end

-- Read the rules of every scope, and of the SKUs that were asked for there.
local function load_rules()
  local wanted = {}
  for _, scope in pairs(scopes) do
    wanted[#wanted + 1] = scope.channel_field
    if scope.campaign_field then
      wanted[#wanted + 1] = scope.campaign_field
      wanted[#wanted + 1] = scope.pause_field
    end
    for sku, field in pairs(scope.offer_fields) do
      wanted[#wanted + 1] = field
      wanted[#wanted + 1] = scope.pause_fields[sku]
    end
  end
  for i, packed in ipairs(values_of(KEYS[6], wanted)) do
    rules[wanted[i]] = packed and cmsgpack.unpack(packed) or nil
  end
  for _, scope in pairs(scopes) do
    scope.channel = rules[scope.channel_field]
    scope.campaign = scope.campaign_field and rules[scope.campaign_field]
    for sku, field in pairs(scope.offer_fields) do
      scope.offers[sku] = rules[field]
    end
  end
end

-- Read the pools that the offers name, and with these counters those of their caps.
local function load_stock(wanted_counters, add_counter)
  local wanted_pools, add_pool = distinct()
  for _, scope in pairs(scopes) do
    for _, offer in pairs(scope.offers) do
      for _, source in ipairs(offer and offer[2] or {}) do
        add_pool(source[1])
        if source[2] >= 0 then
          add_counter(cap_field(source[1], scope.channel_name))
        end
      end
    end
  end
  load_pools(wanted_pools)
  load_counters(wanted_counters)
end

-- What these claims count towards, once their rules are known.
local function count_for(list, add_counter)
  for _, claim in ipairs(list) do
    claim.limits = limits_of(claim)
    for _, met in ipairs(claim.limits) do
      add_counter(met[1])
    end
    if claim[C_BUYER] ~= "" then
      claim.mine = claim.scope.mine_prefix .. claim[C_BUYER]
      add_counter(claim.mine)
    end
  end
end

-- Read all that these claims may meet: rules first, then the pools and counters that they name.
local function load_for(list)
  put_in_scope(list)
  load_rules()
  local wanted, add = distinct()
  count_for(list, add)
  load_stock(wanted, add)
end

-- The hold of a claim that took what `taken` says.
local function hold_of(claim, state, attempt, taken, pay_by, held_until)
  local lines, total = {}, claim[C_TOTAL]
  for n, line in ipairs(claim[C_LINES]) do
    lines[n] = { line[1], line[2], line[3], line[4] }
  end
  for _, n in ipairs(taken.dropped) do
    total = total - lines[n][3]
    lines[n][2], lines[n][3] = 0, 0
  end
  local payments = {}
  if claim[PAYMENT][1] then
    payments[1] = { claim[PAYMENT][1], "applied", claim[PAYMENT][2] }
  end
  return {
    HOLD_VERSION, state, attempt, claim[PRINT], claim[C_TENANT], claim[C_CHANNEL], claim[C_CAMPAIGN],
    claim[C_BUYER], claim[C_CURRENCY], total, pay_by, held_until, lines, taken.draws, taken.counted,
    payments, {}, 0, now, taken.dropped, claim[BUYER_KEYS],
  }
end

-- The log's word that a claim was taken; its payload follows in the same entry.
local function reserved_event(claim, hold, taken, payload, replaced)
  payloads[#payloads + 1] = payload
  return {
    "R", claim[ORDER], hold[SINCE], moves, hold[ATTEMPT], hold[STATE], hold[PAY_BY], hold[UNTIL],
    taken.draws, taken.counted, {}, taken.dropped, {}, taken.below_floor,
    hold[FINGERPRINT], hold[TENANT], hold[CHANNEL], hold[CAMPAIGN], hold[BUYER], hold[CURRENCY],
    hold[TOTAL], claim[ACTOR], #payloads, claim[PAYMENT], replaced, claim[SETTLE],
    hold[STAGES] and { unpack(hold[STAGES]) }, -- a copy: a payment may follow in the same batch
  }
end
