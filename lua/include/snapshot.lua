-- Orders that a marketplace has sold already, told by full snapshots in any order of arrival. Nothing
-- is refused: what is lacking is owed. A hold of such an order is a hold like any other, and then:
-- SEEN      the version of its newest snapshot     PROGRESS  how far that one says it has come
-- LINE_KEYS how the channel names its lines, "" if it does not     UNMAPPED, BELOW  line numbers
-- SHORTS    {pool, units, line} as they were owed when judged; repaying them is not noted here
-- Its COUNTERS are of caps only and have line 0. A snapshot has the fields of a claim, without those
-- of a payment or a split, its C_LINES are {sku ("": unknown), units, payable}, and then:
local S_SEEN, S_STATE, S_PROGRESS, S_KEYS, RECALLED, S_PARTS = 18, 19, 20, 21, 22, 23
-- RECALLED  a hold that this cell forgot, as Postgres has it, or {}
-- S_PARTS   {line, sku, units}: components of its lines that are bundles by now; may be missing
local FINAL = 3 -- the progress from which nothing is expected any more: shipped, delivered, closed
local LINES_KEPT_MAX = 400
local ACCOUNT = { P = HELD, C = SOLD }

-- Versions of digits are compared as numbers, others byte by byte; a number comes before a text.
local function rank(a, b)
  local a_digits, b_digits = string.match(a, "^0*(%d+)$"), string.match(b, "^0*(%d+)$")
  if a_digits and b_digits then
    a, b = a_digits, b_digits
    if #a ~= #b then
      return #a < #b and -1 or 1
    end
  elseif a_digits or b_digits then
    return a_digits and -1 or 1
  end
  if a == b then
    return 0
  end
  for i = 1, math.min(#a, #b) do
    local left, right = string.byte(a, i), string.byte(b, i)
    if left ~= right then
      return left < right and -1 or 1
    end
  end
  return #a < #b and -1 or 1
end

local function load_snapshots(list)
  local order_ids, add_order = distinct()
  for _, claim in ipairs(list) do
    add_order(claim[ORDER])
  end
  load_holds(order_ids)
  for _, claim in ipairs(list) do
    if not holds[claim[ORDER]] and claim[RECALLED][1] then
      holds[claim[ORDER]] = claim[RECALLED]
      claim[RECALLED][COUNTERS] = {} -- given back when it was forgotten
    end
  end
  put_in_scope(list)
  for _, claim in ipairs(list) do
    for _, part in ipairs(claim[S_PARTS] or {}) do
      ask_for(claim.scope, part[2])
    end
    for _, line in ipairs(holds[claim[ORDER]] and holds[claim[ORDER]][LINES] or {}) do
      if bundles.is_part(line) then
        ask_for(claim.scope, line[1])
      end
    end
  end
  load_rules()
  load_stock(distinct())
  load_ends_of(order_ids)
end

-- A line that was a bundle when its order came stays what it was then, whatever its SKU stands for by
-- now; another SKU there, or a line that is new, is what the snapshot's sender knows it to be.
local function put_components(claim, hold, lines, keys, numbers)
  local known = {}
  for m = 1, hold and #hold[LINES] or 0 do
    local line = lines[m]
    local of, per = bundles.part_of(line)
    if of and of > 0 and hold[LINES][of][1] == lines[of][1] then
      line[2], lines[of][4], known[of] = lines[of][2] * per, bundles.SOLD, true
    elseif of then
      line[4] = "0*" .. per
    end
  end
  for _, part in ipairs(claim[S_PARTS] or {}) do
    local n = numbers[part[1]]
    if not known[n] then
      lines[n][4] = bundles.SOLD
      lines[#lines + 1] = { part[2], lines[n][2] * part[3], 0, n .. "*" .. part[3] }
      keys[#lines] = ""
    end
  end
end

-- The snapshot's lines under the numbers they have in the hold: by the channel's own names, those
-- of one name, or of none, in their order. A line that is told of no more keeps its number and wants
-- nothing. `numbers` are those of the snapshot's lines.
local function numbered(claim, hold)
  local lines, keys, numbers, at, seen = {}, {}, {}, {}, {}
  local function name_of(key)
    seen[key] = (seen[key] or 0) + 1
    return key .. SEP .. seen[key]
  end
  for n, line in ipairs(hold and hold[LINES] or {}) do
    keys[n] = (hold[LINE_KEYS] or {})[n] or ""
    if bundles.is_part(line) then
      lines[n] = { line[1], 0, 0, line[4] }
    else
      lines[n], at[name_of(keys[n])] = { line[1], 0, 0, "" }, n
    end
  end
  seen = {}
  for i, line in ipairs(claim[C_LINES]) do
    local key = claim[S_KEYS][i]
    local n = hold and at[name_of(key)] or #lines + 1
    lines[n], keys[n], numbers[i] = { line[1], line[2], line[3], "" }, key, n
  end
  put_components(claim, hold, lines, keys, numbers)
  return lines, keys, numbers
end

-- Units stand in the order in which they were drawn: the last in are the first out.
local function stack(list, pool, units)
  local top = list[#list]
  if top and top[1] == pool then
    top[2] = top[2] + units
  else
    list[#list + 1] = { pool, units }
  end
end

-- What the hold has of each SKU, {pool, units} in drawing order, and the SKUs.
local function drawn_before(hold)
  local have, skus, add = {}, distinct()
  for _, held in ipairs(hold and hold[DRAWS] or {}) do
    local sku = hold[LINES][held[1]][1]
    add(sku)
    have[sku] = have[sku] or {}
    stack(have[sku], held[2], held[3])
  end
  return have, skus, add
end

-- Caps that the hold counts towards; whatever else it counts, it counted as an order that was asked for.
local function caps_of(hold)
  local caps, has = {}, {}
  for _, held in ipairs(hold and hold[COUNTERS][1] and hold[DRAWS] or {}) do
    local field = cap_field(held[2], hold[CHANNEL])
    has[field] = (has[field] or 0) + held[3]
  end
  for _, entry in ipairs(hold and hold[COUNTERS] or {}) do
    if string.sub(entry[1], 1, 2) == "c" .. SEP then
      caps[entry[1]] = (caps[entry[1]] or 0) + entry[2]
    else
      count(entry[1], -entry[2])
    end
  end
  for field, units in pairs(caps) do
    caps[field] = math.min(units, has[field] or 0) -- a release of some units leaves theirs counted
    count(field, caps[field] - units)
  end
  return caps
end

-- The pools of an offer in drawing order, each once; nobody grants to a pool that has ended, so its
-- successor stands for it.
local function heirs_of(offer)
  local ids, add = distinct()
  for _, source in ipairs(offer[2]) do
    if pools[source[1]] then
      add(heir(source[1]))
    end
  end
  return ids
end

-- Take what the caps left, for the sale has happened; what is not there at all the last pool owes: of
-- all in the offer it is the one that others share, and who placed his order first is repaid first.
local function owe(claim, offer, need, account, taken)
  local ids = heirs_of(offer)
  for _, id in ipairs(PHASE == "open" and ids or {}) do
    local units = math.min(need, pools[id][AVAILABLE])
    if units > 0 then
      post(id, AVAILABLE, -units)
      post(id, account, units)
      drawn(claim, 0, offer, id, units, taken)
      need = need - units
    end
  end
  if need > 0 then
    local last = table.remove(ids)
    begin_to_owe(last, need, ids)
    post(last, account, need)
    drawn(claim, 0, offer, last, need, taken)
    for _, short in ipairs(taken.owed) do
      if short[1] == last then
        short[2] = short[2] + need -- one entry a pool, also where two SKUs are owed
        return
      end
    end
    taken.owed[#taken.owed + 1] = { last, need }
  end
end

-- Units of one SKU go back where they came from, the last drawn first.
local function shrink(claim, have, units, account, caps)
  for i = #have, 1, -1 do
    local part = math.min(units, have[i][2])
    if part > 0 then
      local cap = cap_field(have[i][1], claim[C_CHANNEL])
      local counted = math.min(part, caps[cap] or 0)
      give_back(have[i][1], part, account)
      if counted > 0 then
        count(cap, -counted)
        caps[cap] = caps[cap] - counted
      end
      have[i][2], units = have[i][2] - part, units - part
    end
  end
end

local function grow(claim, sku, have, need, account, caps, taken)
  local offer = claim.scope.offers[sku]
  if not usable(offer) then
    return
  end
  taken.draws, taken.counted = {}, {}
  -- while a cell is put back, claims were promised what is free: the rest is repaid when it opens
  local lacking = PHASE == "open" and draw(claim, 0, offer, need, account, taken) or need
  if lacking > 0 then
    owe(claim, offer, lacking, account, taken)
  end
  for _, entry in ipairs(taken.counted) do
    caps[entry[1]] = (caps[entry[1]] or 0) + entry[2]
  end
  for _, new in ipairs(taken.draws) do
    stack(have, new[2], new[3])
  end
end

-- Take or return the difference between what each SKU wants and what the hold has of it.
local function settle_units(claim, hold, lines, account, taken)
  local have, skus, add = drawn_before(hold)
  local caps, want = caps_of(hold), {}
  local before = hold and ACCOUNT[hold[STATE]] or account
  for _, line in ipairs(lines) do
    if line[4] ~= bundles.SOLD then
      want[line[1]] = (want[line[1]] or 0) + line[2]
      add(line[1])
    end
  end
  for _, sku in ipairs(skus) do
    local list, units = have[sku] or {}, 0
    have[sku] = list
    for _, held in ipairs(list) do
      units = units + held[2]
      if before ~= account then
        post(held[1], before, -held[2])
        post(held[1], account, held[2])
      end
    end
    if units > (want[sku] or 0) then
      shrink(claim, list, units - (want[sku] or 0), account, caps)
    elseif units < (want[sku] or 0) then
      grow(claim, sku, list, want[sku] - units, account, caps, taken)
    end
  end
  return have, caps
end

-- Share what each SKU has out over its lines, in their order; a line that gets less than it wants is
-- of a SKU that nothing can be drawn for.
local function share_out(lines, have)
  local draws, unmapped, at = {}, {}, {}
  for n, line in ipairs(lines) do
    local list, need = have[line[1]], line[4] ~= bundles.SOLD and line[2] or 0
    local i = at[line[1]] or 1
    while need > 0 and list[i] do
      local part = math.min(need, list[i][2])
      if part > 0 then
        draws[#draws + 1] = { n, list[i][1], part }
        list[i][2], need = list[i][2] - part, need - part
      end
      if list[i][2] == 0 then
        i = i + 1
      end
    end
    at[line[1]] = i
    if need > 0 then
      unmapped[#unmapped + 1] = n
      line[2] = line[2] - need
    end
  end
  return draws, unmapped
end

-- What is owed as far as this cell knows: less what went back, and what is owed newly.
local function shorts_after(hold, draws, owed)
  local before, shorts = hold and hold[SHORTS] or {}, {}
  if #before == 0 and #owed == 0 then
    return shorts
  end
  local had, has, last = {}, {}, {}
  for _, held in ipairs(hold and hold[DRAWS] or {}) do
    had[held[2]] = (had[held[2]] or 0) + held[3]
  end
  for _, held in ipairs(draws) do
    has[held[2]], last[held[2]] = (has[held[2]] or 0) + held[3], held[1]
  end
  local known, pools_of, add = {}, distinct()
  for _, short in ipairs(before) do
    local left = has[short[1]] or 0
    local back = math.max(0, (had[short[1]] or 0) - left)
    add(short[1])
    known[short[1]] = math.max(0, math.min(left, short[2] - back))
  end
  for _, short in ipairs(owed) do
    add(short[1])
    known[short[1]] = (known[short[1]] or 0) + short[2]
    short[3] = last[short[1]]
  end
  for _, pool in ipairs(pools_of) do
    if known[pool] > 0 then
      shorts[#shorts + 1] = { pool, known[pool], last[pool] }
    end
  end
  return shorts
end

local function deadline_of(claim, hold, state)
  local channel = claim.scope.channel
  if state ~= "P" or channel[7] ~= "us" then
    return 0, 0
  elseif hold and hold[PAY_BY] > 0 then
    return hold[PAY_BY], hold[UNTIL]
  end
  local pay_by = claim[PLACED_AT] + (channel[5][claim[METHOD]] or channel[3])
  return pay_by, pay_by + channel[4]
end

local function keep_in_time(order_id, hold, known)
  if hold[STATE] == "P" and hold[UNTIL] > 0 then
    due_add[order_id], due_remove[order_id] = hold[WARNED] == 0 and hold[PAY_BY] or hold[UNTIL], nil
  elseif known then
    due_add[order_id], due_remove[order_id] = nil, true
  end
  if hold[PROGRESS] >= FINAL or hold[STATE] == "E" then
    done_add[order_id], done_remove[order_id] = now + KEEP_MS, nil
  elseif known then
    done_add[order_id], done_remove[order_id] = nil, true
  end
end

-- As it is answered: what is owed as {line, units, sku}, never more than the pool owes by now, and the
-- lines that are blocked.
local function told(word, hold)
  local shorts = {}
  for _, short in ipairs(hold[SHORTS] or {}) do
    local units = math.min(short[2], pools[short[1]] and pools[short[1]][OWED] or 0)
    if units > 0 then
      shorts[#shorts + 1] = { short[3], units, hold[LINES][short[3]][1] }
    end
  end
  return { word, hold[STATE], hold[SEEN] or "", shorts, hold[UNMAPPED] or {}, hold[BELOW] or {} }
end

local function check_floors(claim, hold, lines)
  local taken, known = { below_floor = {} }, {}
  for _, n in ipairs(hold and hold[BELOW] or {}) do
    known[n] = true
  end
  for n, line in ipairs(lines) do
    local offer = claim.scope.offers[line[1]]
    if offer and line[2] > 0 and not bundles.is_part(line) then
      check_floor(claim, n, line, offer, taken)
    end
  end
  for _, n in ipairs(taken.below_floor) do
    if not known[n] then
      pause_below_floor(claim, lines[n][1])
    end
  end
  return taken.below_floor
end

-- Make the hold what this snapshot says.
local function adopt(claim, hold, payload)
  local channel, order_id = claim.scope.channel, claim[ORDER]
  local state = claim[S_STATE]
  if state == "P" and hold and hold[STATE] == "E" then
    state = "E" -- we ended it, and it is still not paid
  end
  local lines, line_keys, numbers = numbered(claim, hold)
  if #lines > LINES_KEPT_MAX then
    return { "CONFLICT" }
  end
  local counts = channel[2] == "external" and ACCOUNT[state] and (state == "C" or channel[6] ~= "paid")
  begin()
  for _, line in ipairs(lines) do
    line[5] = counts and line[1] == "" and line[2] > 0 -- a SKU of theirs that nobody here knows
    line[2] = counts and line[1] ~= "" and line[2] or 0
  end
  local account = ACCOUNT[state] or hold and ACCOUNT[hold[STATE]] or HELD
  local taken = { draws = {}, counted = {}, owed = {} }
  local below = check_floors(claim, hold, lines)
  local have, caps = settle_units(claim, hold, lines, account, taken)
  keep()
  local draws, unmapped = share_out(lines, have)
  for n, line in ipairs(lines) do
    if line[5] then
      unmapped[#unmapped + 1] = n
    end
    line[5] = nil
  end
  local counted = {}
  for field, units in pairs(caps) do
    if units > 0 then
      counted[#counted + 1] = { field, units, 0 }
    end
  end
  local shorts = shorts_after(hold, draws, taken.owed)
  local pay_by, held_until = deadline_of(claim, hold, state)
  local new = {
    HOLD_VERSION, state, hold and hold[ATTEMPT] or 1, claim[PRINT], claim[C_TENANT], claim[C_CHANNEL],
    claim[C_CAMPAIGN], claim[C_BUYER], claim[C_CURRENCY], claim[C_TOTAL], pay_by, held_until, lines,
    draws, counted, hold and hold[PAYMENTS] or {}, hold and hold[CANCELS] or {},
    hold and hold[WARNED] or 0, hold and hold[SINCE] or now, {}, {}, {}, 0,
    claim[S_SEEN], claim[S_PROGRESS], line_keys, shorts, unmapped, below,
  }
  if hold then
    forget_mine(order_id, hold) -- it makes room for no other
  end
  holds[order_id], held_dirty[order_id] = new, true
  keep_in_time(order_id, new, hold)
  accepted = accepted + (hold and 0 or 1)
  payloads[#payloads + 1] = payload
  events[#events + 1] = {
    "X", order_id, now, moves, hold and 0 or 1, state, pay_by, held_until, lines, line_keys, draws,
    counted, taken.owed, unmapped, below, #payloads, numbers,
  }
  return told(hold and "UPDATED" or "CREATED", new)
end

-- Whether something can be drawn by now for a line that nothing could be drawn for.
local function can_be_mapped(claim, hold)
  for _, n in ipairs(hold[UNMAPPED]) do
    local line = hold[LINES][n]
    if usable(claim.scope.offers[line[1]]) then
      return true
    end
    for _, part in ipairs(claim[S_PARTS] or {}) do
      if claim[C_LINES][part[1]][1] == line[1] and not bundles.is_part(line) then
        return true -- it has become a bundle
      end
    end
  end
end

local function judge_snapshot(claim, payload)
  local channel, hold = claim.scope.channel, holds[claim[ORDER]]
  if not channel then
    return { "UNKNOWN_CHANNEL" }
  elseif channel[2] == "gate" then
    return { "WRONG_CALL" }
  elseif hold then
    local newer = hold[SEEN] and rank(claim[S_SEEN], hold[SEEN]) or 1 -- 1: it was asked for before
    if newer == 0 and claim[PRINT] == hold[FINGERPRINT] and not can_be_mapped(claim, hold) then
      return told("UNCHANGED", hold)
    elseif newer < 0 or newer == 0 and claim[S_PROGRESS] < hold[PROGRESS] then
      return told("STALE", hold)
    end
  end
  return adopt(claim, hold, payload)
end

local function judge_all()
  load_snapshots(claims)
  local results = {}
  for i, claim in ipairs(claims) do
    results[i] = judge_snapshot(claim, ARGV[3 + i])
  end
  write_pools()
  write_holds()
  write_counters()
  return commit(results)
end
