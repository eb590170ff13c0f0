"""What becomes of a claim when the size in the spec changes, with an apiserver that says what it admits."""

from __future__ import annotations

from collections.abc import Callable

from .support import Operator, System, eventually


def test_volumes_grow_where_their_class_lets_them(operator: Operator, system: System) -> None:
    system.apply({"postgres": {"storage": {"size": "10Gi"}}, "graph": {"storage": {"size": "10Gi"}}})
    system.make_claim("postgres", storage_class="growing")
    system.make_claim("neo4j", storage_class="fixed")
    system.apply({"postgres": {"storage": {"size": "20Gi"}}, "graph": {"storage": {"size": "20Gi"}}})

    def grown() -> bool:
        claim = system.kubectl.get("pvc", "data-m-postgres-0")
        return claim is not None and claim["spec"]["resources"]["requests"]["storage"] == "20Gi"

    # Admission asks for a bound claim of a class that allows it; here nothing binds but the test itself.
    eventually("PostgreSQL's volume grown", grown)
    message = system.wait("Stalled", "True", "StorageNotExpandable")["message"]
    assert "spec.graph.storage.size" in message
    assert "fixed" in message
    system.apply({"postgres": {"storage": {"size": "20Gi"}}, "graph": {"storage": {"size": "10Gi"}}})
    system.wait("Stalled", "False")
    system.make_all_ready()
    system.wait("Reconciling", "True", "ResizePending")


def test_a_growth_that_the_storage_refuses_is_told_and_can_be_taken_back(operator: Operator, system: System) -> None:
    def ask(size: str) -> None:
        system.apply({"postgres": {"storage": {"size": size}}, "graph": {"provider": "none"}})

    name = f"data-{system.name}-postgres-0"

    def asked(size: str) -> Callable[[], bool]:
        def check() -> bool:
            claim = system.kubectl.get("pvc", name)
            return claim is not None and claim["spec"]["resources"]["requests"]["storage"] == size

        return check

    ask("10Gi")
    system.make_claim("postgres", storage_class="growing")
    ask("10Ti")
    eventually("the claim asks for more", asked("10Ti"))
    refused = {"type": "ControllerResizeError", "status": "True", "message": "the pool has 200 GiB"}
    system.kubectl.patch_status("pvc", name, {"conditions": [refused]})
    assert "the pool has 200 GiB" in system.wait("Stalled", "True", "ResizeRefused")["message"]
    ask("100Gi")
    eventually("the claim asks for less", asked("100Gi"))
    system.kubectl.patch_status("pvc", name, {"conditions": [], "capacity": {"storage": "100Gi"}})
    ask("5Gi")
    system.make_all_ready(graph=False)
    assert "has 100Gi and cannot shrink" in system.wait("Reconciling", "False", "UpToDate")["message"]
    assert system.condition("Stalled")["status"] == "False"
    assert asked("100Gi")()
