"""What schemathesis has to know to send JSON Lines."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
