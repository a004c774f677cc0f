-- A cart split into orders before payment: a claim takes over units of another pending hold of its
-- buyer. What is held stays held, so no pool changes, and nothing is asked of window or stock.

-- Bundles stay in the order they came in: neither they nor their components are taken over.
local function stays(line)
  return line[4] == bundles.SOLD or bundles.is_part(line)
end

-- Read the holds that these claims are split from, and the counters that go with the units.
local function load_sources(list)
  local sources, add = distinct()
  for _, claim in ipairs(list) do
    if claim[SPLIT_FROM] ~= "" then
      add(claim[SPLIT_FROM])
    end
  end
  if #sources > 0 then
    local missing, add_missing = distinct()
    for _, id in ipairs(sources) do
      if holds[id] == nil then
        add_missing(id)
      end
    end
    load_holds(missing)
    load_ends_of(sources)
  end
end

-- Why the units cannot be taken over, or nothing.
local function not_split(claim, source)
  if not source then
    return { "UNKNOWN_ORDER" }
  elseif TERMINAL[source[STATE]] then
    return { TERMINAL[source[STATE]] }
  end
  for hold_field, claim_field in pairs({
    [TENANT] = C_TENANT, [CHANNEL] = C_CHANNEL, [CAMPAIGN] = C_CAMPAIGN, [BUYER] = C_BUYER,
    [CURRENCY] = C_CURRENCY,
  }) do
    if source[hold_field] ~= claim[claim_field] then
      return { "SHORT", 0 }
    end
  end
  if (source[PAID] or 0) > 0 then
    return { "SHORT", 0 }
  end
  local left = {}
  for _, line in ipairs(source[LINES]) do
    left[line[1]] = (left[line[1]] or 0) + (stays(line) and 0 or line[2])
  end
  for n, line in ipairs(claim[C_LINES]) do
    left[line[1]] = (left[line[1]] or 0) - line[2]
    if left[line[1]] < 0 then
      return { "SHORT", n }
    end
  end
end

-- The source may have been accepted in this very call: its event still refers to these.
local function copies(list)
  local copied = {}
  for i, one in ipairs(list) do
    copied[i] = { one[1], one[2], one[3] }
  end
  return copied
end

-- Units of the source's line m become units of the claim's line n, with what they count.
local function pass_units(source, m, units, n, taken)
  local function recount(given)
    for _, entry in ipairs(given) do
      count(entry[1], entry[2])
      note_count(taken.counted, entry[1], entry[2], n)
    end
  end
  recount(uncount_line(source, m, units))
  for i = #source[DRAWS], 1, -1 do
    local held = source[DRAWS][i]
    if held[1] == m and units > 0 then
      local part = math.min(units, held[3])
      recount(uncount_line(source, m, part, held[2]))
      taken.draws[#taken.draws + 1] = { n, held[2], part }
      held[3], units = held[3] - part, units - part
      if held[3] == 0 then
        table.remove(source[DRAWS], i)
      end
    end
  end
end

-- Take the claim's units over from a hold that `not_split` found fit. An order that is counted as
-- one stays counted: the new one counts too, and the old one until nothing is left of it. Returns
-- what left the source's lines, and the deposits that its units had.
local function split(claim, source, taken)
  local cut = {}
  source[DRAWS], source[COUNTERS] = copies(source[DRAWS]), copies(source[COUNTERS])
  local prices = {}
  for n, line in ipairs(claim[C_LINES]) do
    local need, offer = line[2], claim.scope.offers[line[1]]
    if offer then
      check_floor(claim, n, line, offer, taken)
    end
    for m, from in ipairs(source[LINES]) do
      local units = from[1] == line[1] and not stays(from) and math.min(need, from[2]) or 0
      if units > 0 then
        if need == line[2] then
          prices[#prices + 1] = { n, deposit_of(source, m) }
        end
        pass_units(source, m, units, n, taken)
        cut[#cut + 1] = { m, units, cut_line(source, m, units) }
        need = need - units
      end
    end
  end
  for _, met in ipairs(claim.limits) do
    if met[4] == 0 and met[5] ~= "" then
      count(met[1], met[2])
      taken.counted[#taken.counted + 1] = { met[1], met[2], 0 }
    end
  end
  return cut, prices
end

-- Say what is left of the hold it was split from; with nothing left it ends.
local function end_split(claim, source, cut)
  local id, left = claim[SPLIT_FROM], 0
  for _, line in ipairs(source[LINES]) do
    left = left + line[2]
  end
  if left == 0 then
    uncount_all(source)
    source[TOTAL] = 0
    finish(id, source, "R")
  end
  held_dirty[id] = true
  events[#events + 1] = {
    "L", id, now, {}, claim[ORDER], "split", "", claim[ACTOR], cut, source[STATE], source[TOTAL],
    copies(source[DRAWS]), 0,
  }
end
