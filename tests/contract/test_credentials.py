"""Secrets that were there before the system."""

from __future__ import annotations

import base64

from .support import Operator, System

WEAK = "Postgres-2024"


def test_a_secret_with_a_weak_password_is_refused_until_the_way_out_is_taken(
    operator: Operator, system: System
) -> None:
    literals = {
        "superuser-password": "long-enough-to-be-kept",
        "owner-password": "long-enough-too",
        "app-password": WEAK,
    }
    flags = [f"--from-literal={key}={value}" for key, value in literals.items()]
    system.kubectl("create", "secret", "generic", "m-postgres", *flags)
    system.apply()
    message = system.wait("Stalled", "True", "WeakCredentials")["message"]
    assert "Secret m-postgres: key app-password is a well-known default" in message
    assert WEAK not in message + operator.log.read_text()
    assert system.condition("Ready")["reason"] == "WeakCredentials"
    assert system.child("statefulset", "postgres") is None

    # The very command that the message gives.
    patch = message.split("--type=json -p '")[1].split("'")[0]
    system.kubectl("patch", "secret", "m-postgres", "--type=json", "-p", patch)
    system.wait("Stalled", "False")
    data = {
        key: base64.b64decode(value).decode() for key, value in system.wait_child("secret", "postgres")["data"].items()
    }
    assert data | {"app-password": ""} == literals | {"app-password": ""}
    assert len(data["app-password"]) == 32
