"""The development registry's answers, without HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.http import Request
from infra.local.registry import RegistryApi, committed_store
from infra.local.registry_store import Level, RegistryStore
from schemas.codec import committed_subjects, schema_text


def record(*fields: str) -> str:
    """A record schema; a field whose name ends in ? has a default."""
    return json.dumps(
        {
            "type": "record",
            "name": "R",
            "fields": [
                {"name": name.rstrip("?"), "type": "int", **({"default": 0} if name.endswith("?") else {})}
                for name in fields
            ],
        }
    )


class Client:
    """Ask an API as an HTTP client would."""

    def __init__(self, level: Level = Level.FULL_TRANSITIVE) -> None:
        self._api = RegistryApi(RegistryStore(level))

    def __call__(self, line: str, document: Any = None) -> tuple[int, Any]:
        method, _, target = line.partition(" ")
        path, _, query = target.partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&")) if query else {}
        body = b"" if document is None else json.dumps(document).encode()
        answer = self._api.answer(Request(method, path, pairs, {}, body))
        assert "development registry" in answer.headers["X-Registry"]
        return answer.status, json.loads(answer.body)

    def register(self, subject: str, schema: str) -> tuple[int, Any]:
        return self(f"POST /subjects/{subject}/versions", {"schema": schema})


@pytest.fixture
def ask() -> Client:
    return Client()


def test_the_same_content_has_the_same_id_everywhere(ask: Client) -> None:
    """Under another subject, in another registry, with other blanks and key order."""
    _, first = ask.register("s", record("a"))
    _, again = ask.register("s", record("a"))
    _, other = ask.register("t", json.dumps(json.loads(record("a")), indent=2, sort_keys=True))
    elsewhere = Client()
    elsewhere.register("before", record("z"))
    _, there = elsewhere.register("s", record("a"))

    assert first["id"] == again["id"] == other["id"] == there["id"]
    assert (first["version"], again["version"]) == (1, 1)
    assert 0 < first["id"] < 2**31


def test_a_schema_is_found_by_id_guid_subject_and_content(ask: Client) -> None:
    """Every way that a client looks one up."""
    _, made = ask.register("s", record("a"))

    assert ask(f"GET /schemas/ids/{made['id']}?subject=s")[1]["schema"] == record("a")
    assert ask(f"GET /schemas/ids/{made['id']}/subjects")[1] == ["s"]
    assert ask(f"GET /schemas/ids/{made['id']}/versions")[1] == [{"subject": "s", "version": 1}]
    assert ask(f"GET /schemas/guids/{made['guid']}")[1]["id"] == made["id"]
    assert ask("GET /subjects/s/versions/latest")[1]["id"] == made["id"]
    assert ask("GET /subjects/s/versions/1/schema")[1] == json.loads(record("a"))
    assert ask("POST /subjects/s?normalize=False&deleted=False", {"schema": record("a")})[1]["version"] == 1


@pytest.mark.parametrize(
    ("level", "second", "third_reads"),
    [
        (Level.NONE, 200, 200),
        (Level.BACKWARD, 200, 200),
        (Level.BACKWARD_TRANSITIVE, 200, 409),
        (Level.FORWARD, 409, 409),
        (Level.FULL, 409, 409),
    ],
)
def test_a_level_decides_what_may_be_registered(level: Level, second: int, third_reads: int) -> None:
    """Dropping a field without default breaks older readers; adding one back breaks readers of the first version."""
    ask = Client(level)
    ask.register("s", record("a", "b"))

    assert ask.register("s", record("a", "c?"))[0] == second
    if second == 200:
        # Version 2 has c, so BACKWARD takes a reader that needs it; version 1 does not.
        assert ask.register("s", record("a", "c"))[0] == third_reads


def test_an_incompatible_schema_is_refused_with_its_reason(ask: Client) -> None:
    """409, and asking beforehand says the same."""
    ask.register("s", record("a"))
    body = {"schema": record("a", "b")}

    status, refusal = ask("POST /subjects/s/versions", body)

    assert (status, refusal["error_code"]) == (409, 409)
    assert "version 1" in refusal["message"]
    assert ask("POST /compatibility/subjects/s/versions/latest", body)[1] == {"is_compatible": False}
    verbose = ask("POST /compatibility/subjects/s/versions?verbose=True", body)[1]
    assert verbose["messages"]


@pytest.mark.parametrize(
    ("line", "body", "status", "code"),
    [
        ("GET /subjects/no/versions", None, 404, 40401),
        ("POST /subjects/no", {"schema": '"int"'}, 404, 40401),
        ("GET /subjects/s/versions/9", None, 404, 40402),
        ("GET /subjects/s/versions/0", None, 422, 42202),
        ("GET /subjects/s/versions/x", None, 422, 42202),
        ("GET /schemas/ids/1", None, 404, 40403),
        ("POST /subjects/s", {"schema": '"long"'}, 404, 40403),
        ("GET /config/s", None, 404, 40408),
        ("PUT /config", {"compatibility": "MAYBE"}, 422, 42203),
        ("PUT /mode", {"mode": "MAYBE"}, 422, 42204),
        ("POST /subjects/s/versions", {"schema": "not a schema"}, 422, 42201),
        ("POST /subjects/s/versions", {"schema": '{"type": "nothing"}'}, 422, 42201),
        ("POST /subjects/s/versions", {"schema": "{}", "schemaType": "JSON"}, 422, 42201),
        ("POST /subjects/s/versions", {}, 422, 42201),
        ("POST /subjects/s/versions", [], 422, 42201),
        ("DELETE /subjects/s?permanent=true", None, 404, 40405),
        ("DELETE /subjects/s/versions/1?permanent=true", None, 404, 40407),
        ("GET /associations/resources/-/topic?resourceType=topic&associationType=value", None, 404, 404),
        ("PATCH /subjects", None, 405, 405),
    ],
)
def test_errors_have_the_codes_of_the_api(ask: Client, line: str, body: Any, status: int, code: int) -> None:
    """Clients decide by these codes."""
    ask.register("s", '"int"')

    answered, document = ask(line, body)

    assert (answered, document["error_code"]) == (status, code)


def test_a_body_that_is_not_json_is_refused() -> None:
    """With the API's own error."""
    answer = RegistryApi(RegistryStore()).answer(Request("POST", "/subjects/s/versions", {}, {}, b"{"))

    assert (answer.status, json.loads(answer.body)["error_code"]) == (400, 400)


def test_versions_are_deleted_softly_then_for_good(ask: Client) -> None:
    """A soft deletion hides; numbers are not given twice while the deleted are kept."""
    ask.register("s", record("a"))
    ask.register("s", record("a", "b?"))

    assert ask("DELETE /subjects/s/versions/2") == (200, 2)
    assert ask("GET /subjects/s/versions") == (200, [1])
    assert ask("GET /subjects/s/versions?deleted=true") == (200, [1, 2])
    assert ask.register("s", record("a", "c?"))[1]["version"] == 3
    assert ask("DELETE /subjects/s") == (200, [1, 3])
    assert ask("GET /subjects") == (200, [])
    assert ask("GET /subjects?deleted=true") == (200, ["s"])
    assert ask("DELETE /subjects/s?permanent=true") == (200, [1, 2, 3])
    assert ask("GET /subjects?deleted=true") == (200, [])


def test_a_subject_has_the_global_level_until_it_has_its_own(ask: Client) -> None:
    """Set, shown, and taken away again."""
    assert ask("GET /config") == (200, {"compatibilityLevel": "FULL_TRANSITIVE"})
    assert ask("PUT /config/s", {"compatibility": "NONE"}) == (200, {"compatibility": "NONE"})
    assert ask("GET /config/s") == (200, {"compatibilityLevel": "NONE"})
    assert ask("DELETE /config/s")[0] == 200
    assert ask("GET /config/s?defaultToGlobal=true") == (200, {"compatibilityLevel": "FULL_TRANSITIVE"})


def test_nothing_changes_in_read_only_mode(ask: Client) -> None:
    """What is there is still served."""
    ask.register("s", record("a"))
    ask("PUT /mode", {"mode": "READONLY"})

    assert ask.register("s", record("a"))[0] == 200
    assert ask.register("s", record("a", "b?"))[1]["error_code"] == 42205
    assert ask("DELETE /subjects/s")[1]["error_code"] == 42205


def test_all_committed_schemas_are_there_from_the_start() -> None:
    """Each subject with the level that the offline gate holds it to."""
    store = committed_store()

    assert store.subjects() == sorted(committed_subjects())
    assert store.own_level("market.ticks-value") is Level.BACKWARD_TRANSITIVE
    assert store.version("market.bars-value", "1").text == schema_text("market.bars-value", 1)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["record", "int", "type", "enum"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "name", "fields", "items", "values", "symbols", "size", "default"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_document_breaks_it(document: Any) -> None:
    """Whatever is sent as a schema is one, or is refused as none."""
    status, _ = Client().register("s", json.dumps(document))

    assert status in (200, 422)
