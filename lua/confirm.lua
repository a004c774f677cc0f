#!lua flags=allow-oom
--[[
Book payments on pending holds: held units become sold, or with a deposit stay held until the
balance is due. Runs even when memory is full.

A hold is confirmable while it is pending, even past its deadline: expiry is what `expire` says, so
a payment that races it has one winner. Money that no goods are for is logged, never refused.

Called by  engine/reservation/store.py
Cost       O(payments + lines of their holds); payments <= CLAIMS_PER_CALL_MAX

KEYS[1]    tg:{c}:cell      hash    epoch, phase, monotonic time
KEYS[2]    tg:{c}:log       stream  one entry for each batch that changed something
KEYS[3]    tg:{c}:pools     hash    pool -> packed pool
KEYS[4]    tg:{c}:holds     hash    order_id -> packed hold
KEYS[5]    tg:{c}:due       zset    order_id by its next deadline, ms
KEYS[7]    tg:{c}:counters  hash    a buyer's replaceable hold
KEYS[9]    tg:{c}:done      zset    ended holds by the instant from which they may be forgotten

ARGV[1]    epoch            the caller's; another one is FENCED
ARGV[2]    not_after        cell time in ms after which nothing may be done; 0 is never
ARGV[3]    payments         msgpack list of {order_id, payment_id, amount, currency, method, paid_at, stage,
                            actor}

Returns    msgpack {"OK", now, log_id, results}, one result a payment:
           {"CONFIRMED"}              the goods are sold
           {"DEPOSITED", pay_by, balance}   a stage is paid: the goods stay held until the next deadline
           {"REPEATED", outcome}      this payment_id came before: "applied", or why a refund is due
           {"CHANGED", amount}        it came before with another amount: nothing was done
           {"ALREADY_CONFIRMED"}      another payment came first: logged, refund due
           {"ALREADY_RELEASED"}       the order was cancelled: logged, refund due
           {"EXPIRED"}                nothing was done: send it to rehold
           {"CONFLICT", amount, currency}   this is what the order asks for: nothing was done
           {"UNKNOWN_ORDER"}          the cell does not remember it, or has 16 payments of it already
           or {"FENCED" | "TOO_LATE", now, log_id, detail}: nothing was done to any payment
]]
local PHASE = "open"
--- @include "server"
--- @include "guard"
--- @include "write"
--- @include "read"
--- @include "pools"
--- @include "hold"
--- @include "stages"
--- @include "pay"

local order_ids, add = distinct()
for _, payment in ipairs(claims) do
  add(payment[P_ORDER])
end
load_holds(order_ids)
load_ends_of(order_ids)

local results = {}
for i, payment in ipairs(claims) do
  results[i] = book(payment) or { "EXPIRED" }
end
write_pools()
write_holds()
write_counters()
return commit(results)
