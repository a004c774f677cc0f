#!lua flags=allow-oom
--[[
Judge accepted snapshots once more that Postgres does not have, while a cell is being opened.

By version, as `sync` does: what the cell still has stays as it is. Runs even when memory is full.

Called by  engine/reservation/store.py
Cost       O(lines of the batch and of the holds it names); snapshots <= CLAIMS_PER_CALL_MAX, lines of
           the batch <= LINES_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time, count of accepted orders
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[6]    tg:{c}:rules     hash    channels, offers, pauses
KEYS[7]    tg:{c}:counters  hash    units counted against caps
KEYS[9]    tg:{c}:done      zset    orders of which nothing is expected, by when they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    snapshots        msgpack list, fields as in include/snapshot.lua
ARGV[4..]  payloads         bytes, one a snapshot: what Postgres is to remember, copied to the log

Returns    msgpack {"OK", now, log_id, results}, one result a snapshot:
           {"CREATED" | "UPDATED" | "UNCHANGED" | "STALE", state, version, shorts, unmapped, below}
                                  shorts {{line, units, sku}, …} as they were when last judged
           {"WRONG_CALL"}         the channel's orders are asked for, see `reserve`
           {"UNKNOWN_CHANNEL"}    the cell was not told of this channel yet
           {"CONFLICT"}           its snapshots have named too many different lines
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any snapshot
]]
local PHASE = "restoring"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"
--- @include "take"
--- @include "snapshot"

return judge_all()
