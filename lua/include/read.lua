-- HMGET of any number of fields (unpack takes fewer than 8,000): their values, false for none.
local function values_of(key, fields)
  if #fields <= 4000 then
    return #fields > 0 and redis.call("HMGET", key, unpack(fields)) or {}
  end
  local values = {}
  for first = 1, #fields, 4000 do
    local last = math.min(first + 3999, #fields)
    for _, value in ipairs(redis.call("HMGET", key, unpack(fields, first, last))) do
      values[#values + 1] = value
    end
  end
  return values
end

-- The same as field -> value or false.
local function fetch(key, fields)
  local found = {}
  for i, value in ipairs(values_of(key, fields)) do
    found[fields[i]] = value
  end
  return found
end

-- A list in which each value stands once.
local function distinct()
  local list, seen = {}, {}
  return list, function(value)
    if not seen[value] then
      seen[value] = true
      list[#list + 1] = value
    end
  end
end
