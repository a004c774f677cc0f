-- For the composed scripts (ops/check): a raw file does not see what its includes define.
std = "lua51"
read_globals = { "redis", "KEYS", "ARGV", "cjson", "cmsgpack", "struct", "bit" }
max_line_length = 110
unused_args = false
-- A fragment of lua/include brings names that not every script needs.
ignore = { "211" }
