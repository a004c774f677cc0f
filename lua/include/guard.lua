-- Refuse a stale caller before anything is read that it might act on. Stands after "server".
-- A restart, a failover or a restored file has another run_id than the epoch record: all of them
-- close the cell by themselves. Needs PHASE (the phase this script runs in) from its script.
if cell[1] ~= ARGV[1] or cell[2] ~= run_id or cell[3] ~= PHASE then
  return cmsgpack.pack({ "FENCED", now, log_id, { cell[1] or "", cell[3] or "" } })
end
if ARGV[2] ~= "0" and now > tonumber(ARGV[2]) then
  return cmsgpack.pack({ "TOO_LATE", now, log_id, {} })
end
local claims = cmsgpack.unpack(ARGV[3])
