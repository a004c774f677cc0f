"""Write every script of lua/ with its includes pasted in, for luacheck, which cannot follow them.

Usage: ops/compose_lua.py FOLDER
"""

import sys
from pathlib import Path

from engine.infra.scripts import source

LUA = Path(__file__).resolve().parent.parent / "lua"

for script in sorted(LUA.glob("*.lua")):
    composed = Path(sys.argv[1]) / script.name
    composed.write_text(source(script.stem), encoding="utf-8")
