-- HMGET of any number of fields (unpack takes fewer than 8,000): field -> value or false.
local function fetch(key, fields)
  local found = {}
  for first = 1, #fields, 4000 do
    local last = math.min(first + 3999, #fields)
    local values = redis.call("HMGET", key, unpack(fields, first, last))
    for i = first, last do
      found[fields[i]] = values[i - first + 1]
    end
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
