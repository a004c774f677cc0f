-- What the server and the cell say of themselves, read once a script. Time never goes back: the
-- cell remembers the last instant it acted on.
local clock = redis.call("TIME")
local cell = redis.call("HMGET", KEYS[1], "epoch", "run_id", "phase", "now", "last", "accepted")
local now = math.max(clock[1] * 1000 + math.floor(clock[2] / 1000), tonumber(cell[4]) or 0)
local log_id = cell[5] or "0-0"
local accepted = tonumber(cell[6]) or 0
local run_id = string.match(redis.call("INFO", "server"), "run_id:(%w+)")
