-- A campaign's waiting room: {per_second, ticket_ms, key}, behind everything else in its rule. The cell
-- signs what it gives out and believes nothing else, so no process and no buyer can make a ticket.
-- The server knows no better digest than SHA-1; nested under a key it is still nobody's to forge.

-- A token of this kind that names an instant (ms, as digits), for one buyer of one campaign.
local function sealed(room, kind, who, at)
  return at .. "." .. redis.sha1hex(room[3] .. redis.sha1hex(room[3] .. kind .. SEP .. who .. SEP .. at))
end

local function whose(tenant, campaign, buyer)
  return tenant .. SEP .. campaign .. SEP .. buyer
end

-- The instant that a token names; nil for one that was not given so to this buyer.
local function instant_of(room, kind, who, token)
  local at = string.match(token, "^(%d+)%.")
  return at and sealed(room, kind, who, at) == token and tonumber(at) or nil
end
