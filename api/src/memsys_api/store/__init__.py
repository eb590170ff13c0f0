"""PostgreSQL, the one source of truth. The only room that imports psycopg."""

import orjson
from psycopg.types.json import set_json_dumps, set_json_loads

set_json_loads(orjson.loads)
set_json_dumps(orjson.dumps)
