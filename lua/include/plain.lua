-- Most claims of a sale are plain: one line, still to be paid, nothing replaced or split, and by its
-- rules drawn from one pool, with no limit but its buyer's. They come as columns and are taken without
-- tables of their own; what is constant in their holds and events comes packed.
-- This lane accepts or says nothing: what it leaves is judged by the rules in take.lua, and what it
-- writes is byte for byte what they would (tests/lua/test_plain.py).
local function plain_lane() -- a function, because a script may have no more than 200 locals
  local PLAIN = 0 -- stands for the claim in the list of claims
  -- Columns; those of a claim that is not plain are empty but for its order_id. As in take.lua:
  -- FACTS are PRINT to TOTAL, P_LINES C_LINES, P_KEYS BUYER_KEYS, P_ACTOR ACTOR, packed
  local order_ids, scope_keys, skus, quantities, buyers, methods, totals, FACTS, P_LINES, P_KEYS, P_ACTOR
  local all_ids, add_id = distinct()
  for i = 1, #claims do
    if claims[i] ~= PLAIN then
      add_id(claims[i][ORDER])
    elseif not order_ids then
      order_ids, scope_keys, skus, quantities, buyers, methods, totals, FACTS, P_LINES, P_KEYS, P_ACTOR
        = unpack(cmsgpack.unpack(ARGV[4 + #claims]))
    end
  end

  local counted_fields = {} -- what each counts towards its buyer's limit
  local numbers = {}

  local function packed_number(value)
    local packed = numbers[value]
    if not packed then
      packed = cmsgpack.pack(value)
      numbers[value] = packed
    end
    return packed
  end

  -- What stands before a packed text of this length.
  local heads = {}

  local function head_of(text)
    local head = string.sub(cmsgpack.pack(text), 1, -1 - #text)
    heads[#text] = head
    return head
  end

  -- The claim as the rules of take.lua read it.
  local function row_of(i)
    return cmsgpack.unpack(table.concat({
      "\220\0\17", cmsgpack.pack(order_ids[i]), FACTS[i], cmsgpack.pack("", methods[i], 0), P_LINES[i],
      "\144", P_KEYS[i], "\0", P_ACTOR[i], "\160",
    }))
  end

  -- Whether nothing but stock and the buyer's own limit can refuse a plain claim of this scope.
  local function is_plain(scope)
    local channel, campaign = scope.channel, scope.campaign
    if not channel or channel[2] ~= "gate" or outside_window(scope)
      or scope.pause_field and rules[scope.pause_field] then
      return false
    end
    return not campaign or #campaign[6] == 0 and (campaign[7] or 0) == 0 and not campaign[8]
  end

  -- What plain claims of one SKU share, or false: one pool without a cap, and no floor to look at.
  local function shelf_of(scope, sku)
    local offer = scope.offers[sku]
    local source = offer and offer[2][1]
    if not source or offer[2][2] or source[2] >= 0 or offer[4] > 0 then
      return false
    end
    return {
      pool = source[1], packed_pool = cmsgpack.pack(source[1]), limit = offer[3],
      pause_field = scope.pause_fields[sku], counts = scope.buyer_prefix .. sku .. SEP,
    }
  end

  -- What plain claims of one scope and payment method share: when they are due, and what goes around.
  local function terms_of(scope, method)
    local pay_by, held_until = deadline(scope, method)
    local times = cmsgpack.pack(pay_by, held_until)
    local terms = {
      due = string.format("%.0f", pay_by), times = times,
      answer = "\149" .. cmsgpack.pack("RESERVED", "P", pay_by),
    }
    scope.terms[method] = terms
    return terms
  end

  local since = cmsgpack.pack(now)
  -- no payments, no cancels, not warned; since; nothing dropped
  local unpaid_since = "\144\144\0" .. since .. "\144"

  -- Take a plain claim, and answer; nothing is changed and nothing answered where anything is in the way.
  local function accept_plainly(i, payload)
    if claims[i] ~= PLAIN then
      return nil
    end
    local order_id, buyer, units = order_ids[i], buyers[i], quantities[i]
    local scope = scopes[scope_keys[i]]
    local shelf = scope.shelves[skus[i]]
    local pool = pools[shelf.pool]
    if stored[order_id] or held_dirty[order_id] or rules[shelf.pause_field]
      or not pool or pool[ENDED] == 1 or pool[AVAILABLE] < units then
      return nil
    end
    local added, counted = fresh.counters, "\144"
    if shelf.limit > 0 then
      local field = counted_fields[i]
      local sum = field and counters[field] + units
      if not field or sum > shelf.limit then
        return nil
      end
      counters[field] = sum
      added[#added + 1] = field
      added[#added + 1] = sum
      counted = "\145\147" .. cmsgpack.pack(field, units, 1)
    end
    if buyer ~= "" then
      local own = scope.mine_prefix .. buyer
      counters[own] = order_id
      added[#added + 1] = own
      added[#added + 1] = order_id
    end
    pool[AVAILABLE], pool[HELD], dirty[shelf.pool] = pool[AVAILABLE] - units, pool[HELD] + units, true
    local units_packed = packed_number(units)
    local draws = "\145\147\1" .. shelf.packed_pool .. units_packed
    local terms = scope.terms[methods[i]] or terms_of(scope, methods[i])
    local hold = "\220\0\21\1\161P\1" .. FACTS[i] .. terms.times .. P_LINES[i] .. draws .. counted
      .. unpaid_since .. P_KEYS[i]
    stored[order_id] = hold
    local held, due = fresh.holds, fresh.due
    held[#held + 1] = order_id
    held[#held + 1] = hold
    due[#due + 1] = terms.due
    due[#due + 1] = order_id
    accepted = accepted + 1
    payloads[#payloads + 1] = payload
    events[#events + 1] = "\220\0\26\161R" .. (heads[#order_id] or head_of(order_id)) .. order_id .. since
      .. "\145\150" .. shelf.packed_pool .. "\0\0" .. packed_number(-units) .. units_packed .. "\0"
      .. "\1\161P" .. terms.times .. draws .. counted .. "\144\144\144\144" .. FACTS[i] .. P_ACTOR[i]
      .. packed_number(#payloads) .. "\144\160\160"
    return terms.answer .. packed_number(totals[i]) .. "\144"
  end

  -- Read what these claims may meet, of the plain ones and of the others alike; what turns out not to
  -- be plain by its rules becomes a row.
  local function load_columns()
    local rows = {}
    for i = 1, #claims do
      if claims[i] ~= PLAIN then
        rows[#rows + 1] = claims[i]
      else
        local scope = scopes[scope_keys[i]] or scope_of(string.match(scope_keys[i], "^(.-)\31(.-)\31(.*)$"))
        ask_for(scope, skus[i])
      end
    end
    put_in_scope(rows)
    load_rules()
    for _, scope in pairs(scopes) do
      scope.terms, scope.shelves = {}, {}
      for sku in pairs(is_plain(scope) and scope.offers or {}) do
        scope.shelves[sku] = shelf_of(scope, sku)
      end
    end
    local wanted, add = distinct()
    for i = 1, #claims do
      local shelf = claims[i] == PLAIN and scopes[scope_keys[i]].shelves[skus[i]]
      if shelf and shelf.limit > 0 and buyers[i] ~= "" then
        counted_fields[i] = shelf.counts .. buyers[i]
        wanted[#wanted + 1] = counted_fields[i]
      elseif claims[i] == PLAIN and not shelf then
        claims[i] = row_of(i)
        rows[#rows + 1] = claims[i]
        put_in_scope({ claims[i] })
      end
    end
    count_for(rows, add)
    load_stock(wanted, add)
    return rows
  end

  -- The claim for the rules of take.lua; all they ask for is read already.
  local function claim_at(i)
    local claim = claims[i]
    if claim == PLAIN then
      claim = row_of(i)
      put_in_scope({ claim })
      count_for({ claim }, function() end)
    end
    return claim
  end

  return order_ids or all_ids, load_columns(), accept_plainly, claim_at
end
