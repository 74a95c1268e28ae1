"""Compares the control service with its description, openapi.yaml.

Each call is checked in both directions: the schema takes what the service takes, and the response
validates. At the end every route, every field of every schema and every error code was met.
"""

import json
import pathlib
import re
from collections import defaultdict
from typing import Any

import openapi_spec_validator
import yaml
from daemon import Daemon, Response
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTROL = ROOT / "daemon/src/control"
METHODS = ("get", "post", "delete", "put", "patch")
JSON = {"Content-Type": "application/json"}
#: Codes that need a daemon that is broken or half a minute. Tests of daemon/src/http have them.
ELSEWHERE = {"internal", "request_timeout"}


class Description:
    """openapi.yaml, and the parts of it that calls have met."""

    def __init__(self) -> None:
        self.text = (CONTROL / "openapi.yaml").read_text()
        self.api = yaml.safe_load(self.text)
        self.registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(self.api))
        self.met: dict[str, set[str]] = defaultdict(set)
        self.calls: set[tuple[str, str]] = set()
        self.codes: set[str] = set()
        self.kinds: set[str] = set()

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        paths = self.api["paths"].items()
        return [(method, path, of[method]) for path, of in paths for method in METHODS if method in of]

    def follow(self, part: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in part:
            place: Any = self.api
            for step in part["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            part = place
        return part

    def faults(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Returns the mistakes of a value, and notes its fields."""
        name = schema["$ref"].rpartition("/")[2]
        validator = Draft202012Validator({"$ref": f"urn:api{schema['$ref']}"}, registry=self.registry)
        found = [error.message for error in validator.iter_errors(value)]
        if not found:
            self.note(name, value)
        return found

    def note(self, name: str, value: Any) -> None:
        if not isinstance(value, dict):
            return
        self.met[name] |= value.keys()
        for field, of in self.api["components"]["schemas"][name].get("properties", {}).items():
            inner = of.get("items", of)
            if "$ref" in inner and field in value:
                several = value[field] if isinstance(value[field], list) else [value[field]]
                for one in several:
                    self.note(inner["$ref"].rpartition("/")[2], one)

    def check(self, method: str, path: str, answer: Response) -> None:
        """Checks a response of an operation."""
        self.calls.add((method, path))
        operation = self.api["paths"][path][method]
        declared = operation["responses"].get(str(answer.status))
        if declared is None:
            assert answer.status >= 400, (method, path, answer)
            declared = operation["responses"]["default"]
        content = self.follow(declared)["content"]
        kind = answer.headers["content-type"]
        assert kind in content, (method, path, kind)
        if kind == "application/yaml":
            assert answer.body.decode() == self.text
            return
        lines = answer.body.splitlines() if kind == "application/x-ndjson" else [answer.body]
        for line in lines:
            value = json.loads(line)
            assert not (found := self.faults(content[kind]["schema"], value)), (method, path, value, found)
            if answer.status >= 400:
                self.codes.add(value["code"])


class Session:
    """Calls of a daemon, by the description."""

    def __init__(self, daemon: Daemon, description: Description) -> None:
        self.daemon, self.of = daemon, description

    def raw(self, method: str, path: str, target: str, body: bytes | None, headers: dict[str, str]) -> Response:
        answer = self.daemon.request(method.upper(), target, body, headers)
        self.of.check(method, path, answer)
        return answer

    def call(self, method: str, path: str, body: Any = None, query: str = "", id: int = 0) -> Any:
        """Calls an operation as the description allows it, and returns the answer."""
        if method == "post":
            taken = self.of.follow(self.of.api["paths"][path][method]["requestBody"])
            schema = taken["content"]["application/json"]["schema"]
            assert not (found := self.of.faults(schema, body)), (path, body, found)
            self.of.kinds |= {body["kind"]} if "kind" in body else set()
        text = None if body is None else json.dumps(body).encode()
        answer = self.raw(method, path, path.replace("{id}", str(id)) + query, text, JSON if text else {})
        assert answer.status < 300, (method, path, body, answer.status, answer.body)
        if answer.headers["content-type"] == "application/json":
            return answer.json()
        return answer.body.decode()

    def refused(self, method: str, path: str, code: str, body: Any = None, query: str = "", id: Any = 0, **headers: str) -> str:
        """Calls an operation in a way that is refused, and returns the message."""
        text = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = JSON if method == "post" else {}
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.raw(method, path, path.replace("{id}", str(id)) + query, text, {**kind, **names})
        found = answer.json()
        assert answer.status >= 400 and found["code"] == code, (method, path, body, code, found)
        return found["message"]

    def wrong(self, path: str, body: Any, message: str) -> None:
        """Sends a body that neither the service nor the description takes."""
        schema = self.of.api["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert self.of.faults(schema, body), (path, body)
        found = self.refused("post", path, "invalid_argument", body)
        assert re.search(message, found), (body, message, found)


def check_contract(program: str, place: pathlib.Path) -> None:
    """Compares the service of a daemon with its description."""
    of = Description()
    openapi_spec_validator.validate(of.api)
    routes(of)
    with Daemon(program) as daemon:
        session = Session(daemon, of)
        every_route(session)
        clock(session)
        faults(session)
        server(session)
        watch(session)
        refusals(session)
    proxy(of, program, place)
    tokens(of, program, place)
    complete(of)


def routes(of: Description) -> None:
    """Compares the routes of the code with those of the description."""
    code = (CONTROL / "mod.rs").read_text()
    found = {
        (method, path)
        for path, methods in re.findall(r'\.route\("([^"]+)", (.+)\)\n', code)
        for method in re.findall(r"\b(get|post|put|patch|delete)\(", methods)
    }
    described = {(method, path) for method, path, _ in of.operations()}
    assert found == described, found ^ described
    manifest = (ROOT / "Cargo.toml").read_text()
    assert f'\nversion = "{of.api["info"]["version"]}"\n' in manifest


def every_route(session: Session) -> None:
    """Sends to each route what each route refuses."""
    for method, path, operation in session.of.operations():
        allowed = {name.upper() for name in session.of.api["paths"][path] if name in METHODS}
        for other in {"PUT", "PATCH", "DELETE", "POST", "GET"} - allowed:
            answer = session.daemon.request(other, path.replace("{id}", "1"))
            assert answer.status == 405 and answer.json()["code"] == "method_not_allowed", (other, path)
            assert set(answer.headers["allow"].split(",")) - {"HEAD"} == allowed, answer.headers["allow"]
            session.of.codes.add("method_not_allowed")
        assert "unknown=" not in str(operation.get("parameters"))
        message = session.refused(method, path, "invalid_argument", query="?unknown=1", id=1)
        assert "unknown" in message or "not after the ?" in message, message
        session.refused(method, path, "forbidden_host", Host="cache.example:80")
        session.refused(method, path, "forbidden_origin", Origin="http://localhost")
        if method == "post":
            for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
                session.refused(method, path, "unsupported_media_type", {}, Content_Type=kind)
            for body in (b"{", b"null x", b'{"a":1}}', b"\xff"):
                session.refused(method, path, "invalid_json", body)
            for body in ([], [1], 1, "text", b"null", {"unknown": 1}):
                session.refused(method, path, "invalid_argument", body)
            session.refused(method, path, "payload_too_large", b"{" + b" " * (64 << 10) + b"}")
    answer = session.daemon.request("GET", "/v1/nothing")
    assert answer.status == 404 and answer.json()["code"] == "not_found"
    session.of.codes.add("not_found")
    assert session.daemon.request("HEAD", "/v1/clock").status == 200
    assert session.call("get", "/openapi.yaml").startswith("openapi: ")


def clock(session: Session) -> None:
    state = session.call("post", "/v1/clock/freeze", {})
    assert state["frozen"]
    assert session.call("post", "/v1/clock/advance", {"seconds": 3600})["time"] == state["time"] + 3600
    assert session.call("post", "/v1/clock/advance", {"seconds": -60.0})["time"] == state["time"] + 3540
    assert session.call("post", "/v1/clock/set", {"time": 2_000_000_000}) == {"time": 2_000_000_000, "frozen": True}
    assert session.call("get", "/v1/clock") == {"time": 2_000_000_000, "frozen": True}
    assert session.daemon.ask("set key 0 60 5\r\nvalue") == b"STORED\r\n"
    session.call("post", "/v1/clock/advance", {"seconds": 59})
    assert session.daemon.ask("get key") == b"VALUE key 0 5\r\nvalue\r\nEND\r\n"
    session.call("post", "/v1/clock/advance", {"seconds": 1})
    assert session.daemon.ask("get key") == b"END\r\n"
    assert session.call("post", "/v1/clock/resume", {})["frozen"] is False
    assert session.call("post", "/v1/clock/reset", {})["time"] - state["time"] < 600
    session.wrong("/v1/clock/advance", {}, "missing field `seconds`")
    session.wrong("/v1/clock/advance", {"seconds": 0.5}, "whole number")
    session.wrong("/v1/clock/advance", {"seconds": "60"}, "^seconds: ")
    session.wrong("/v1/clock/advance", {"seconds": None}, "^seconds: ")
    session.wrong("/v1/clock/set", {"time": 1.5}, "^time: ")
    session.wrong("/v1/clock/set", {}, "missing field `time`")
    for far in (4_294_967_294, -4_000_000_000):
        assert "clock" in session.refused("post", "/v1/clock/advance", "invalid_argument", {"seconds": far})
    for far in (2**62, -(2**63)):
        assert "time: the clock" in session.refused("post", "/v1/clock/set", "invalid_argument", {"time": far})


def faults(session: Session) -> None:
    daemon = session.daemon
    daemon.ask("set user:1 0 0 5\r\nvalue")

    def meets(answer: bytes, **fault: Any) -> None:
        """Adds a fault, and checks what a client meets."""
        made = session.call("post", "/v1/faults", {"command": "get", "key": "user:*", **fault})
        assert made["applied"] == 0 and made["kind"] == fault["kind"]
        assert session.call("get", "/v1/faults/{id}", id=made["id"]) == made
        assert daemon.ask("get other") == b"END\r\n"
        assert (found := daemon.ask("get user:1")) == answer, (fault, found)
        assert session.call("get", "/v1/faults") == {"faults": [{**made, "applied": 1}]}
        assert session.call("delete", "/v1/faults/{id}", id=made["id"]) == {"applied": 1}
        session.refused("delete", "/v1/faults/{id}", "unknown_fault", id=made["id"])

    value = b"VALUE user:1 0 5\r\nvalue\r\nEND\r\n"
    meets(value, kind="delay", seconds=0.01)
    meets(value, kind="delay_reply", seconds=0)
    meets(b"", kind="drop", times=1)
    meets(b"SERVER_ERROR injected\r\n", kind="error", probability=1)
    meets(b"SERVER_ERROR out of order\r\n", kind="error", message="out of order", times=None)
    meets(b"END\r\n", kind="miss")
    meets(b"VALUE", kind="truncate", after=5)
    session.call("post", "/v1/faults", {"kind": "miss", "probability": 0})
    assert daemon.ask("get user:1") == value
    assert session.call("delete", "/v1/faults") == {"faults": []}

    path = "/v1/faults"
    session.wrong(path, {}, "missing field `kind`")
    session.wrong(path, {"kind": "stall"}, "kind must be one of delay, ")
    session.wrong(path, {"kind": "delay", "seconds": -1}, "seconds must be from 0")
    session.wrong(path, {"kind": "drop", "probability": 1.5}, "probability must be from 0 to 1")
    session.wrong(path, {"kind": "drop", "times": -1}, "^times: ")
    session.wrong(path, {"kind": "drop", "times": 1.5}, "^times: ")
    session.wrong(path, {"kind": "truncate", "after": -1}, "^after: ")
    session.wrong(path, {"kind": "drop", "key": 1}, "^key: ")
    # Rules between fields, which the description tells in words.
    for body in ({"kind": "delay"}, {"kind": "truncate"}, {"kind": "miss", "seconds": 1}, {"kind": "error", "message": "a\nb"}):
        session.refused("post", path, "invalid_argument", body)
    assert session.call("get", path) == {"faults": []}
    for _ in range(256):
        session.call("post", path, {"kind": "drop", "times": 0})
    session.refused("post", path, "too_many_faults", {"kind": "drop"})
    for id in ("x", "-1", "0", str(2**64), "%ff"):
        session.refused("get", "/v1/faults/{id}", "unknown_fault", id=id)
    session.call("delete", path)


def server(session: Session) -> None:
    daemon = session.daemon
    [address] = session.call("get", "/v1/server")["addresses"]
    assert (address["host"], address["port"]) == daemon.cache
    assert session.call("get", "/v1/server")["pid"] == daemon.process.pid

    with daemon.client() as client:
        client.sendall(b"set site:1 0 0 1 noreply\r\na\r\nset other 0 0 1 noreply\r\nb\r\n")
        # A request waits for the commands before it, also for those without a reply.
        stats = session.call("get", "/v1/stats")["stats"]
        assert (stats["version"], stats["cmd_set"] >= 2) == ("1.6.45", True)
        assert session.call("post", "/v1/settle", {}) == {"settled": True}
        assert session.call("post", "/v1/settle", {"timeout": 5})["settled"]
    assert session.call("get", "/v1/last_commands")["last_commands"][-2:] == ["set site:1 0 0 1 noreply", "set other 0 0 1 noreply"]
    session.call("post", "/v1/flush_prefix", {"prefix": "site:"})
    assert daemon.ask("get site:1 other") == b"VALUE other 0 1\r\nb\r\nEND\r\n"
    session.call("post", "/v1/flush", {})
    assert daemon.ask("get other") == b"END\r\n"
    [group] = session.of.api["paths"]["/v1/stats"]["get"]["parameters"]
    groups = group["schema"]["enum"]
    assert re.findall(r"'(\w*)'", session.refused("get", "/v1/stats", "invalid_argument", query="?group=nothing")) == groups
    for group in groups:
        if not group.startswith("proxy"):
            assert isinstance(session.call("get", "/v1/stats", query=f"?group={group}")["stats"], dict)
    session.call("delete", "/v1/last_commands")
    assert session.call("get", "/v1/last_commands") == {"last_commands": []}
    session.call("delete", "/v1/stats")
    assert session.call("get", "/v1/stats")["stats"]["cmd_set"] == 0

    daemon.ask("set key 0 0 1\r\na")
    session.call("post", "/v1/faults", {"kind": "drop"})
    session.call("post", "/v1/clock/freeze", {})
    session.call("post", "/v1/reset", {})
    stats = session.call("get", "/v1/stats")["stats"]
    assert (stats["curr_items"], stats["cmd_set"]) == (0, 0)
    assert session.call("get", "/v1/faults") == {"faults": []}
    assert session.call("get", "/v1/last_commands") == {"last_commands": []}
    assert session.call("get", "/v1/clock")["frozen"] is False

    assert "no proxy" in session.refused("post", "/v1/proxy/reload", "invalid_argument", {})
    session.wrong("/v1/settle", {"timeout": 21}, "timeout must be from 0 to 20 seconds, got 21")
    session.wrong("/v1/settle", {"timeout": -1}, "timeout must be")
    session.wrong("/v1/flush_prefix", {}, "missing field `prefix`")
    session.wrong("/v1/flush_prefix", {"prefix": None}, "^prefix: ")


def watch(session: Session) -> None:
    daemon = session.daemon
    with daemon.connect() as stream:
        stream.sendall(b"GET /v1/watch?kinds=mutations&limit=2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        heard = stream.makefile("rb")
        while heard.readline() != b"\r\n":
            pass
        # The headers arrive once the watch is open, before any event.
        daemon.ask("set user:1 0 0 1\r\na")
        daemon.ask("set user:2 0 0 1\r\nb")
        lines = [line for line in heard.read().splitlines() if line.startswith(b"{")]
    events = [json.loads(line) for line in lines]
    for event in events:
        assert not (found := session.of.faults({"$ref": "#/components/schemas/Event"}, event)), found
    assert [(event["type"], event["key"]) for event in events] == [("item_store", "user:1"), ("item_store", "user:2")]
    assert events[0]["fields"]["key"] == "user%3A1"
    assert session.call("get", "/v1/watch", query="?timeout=0.01") == ""
    assert session.call("get", "/v1/watch", query="?limit=0&kinds=evictions,fetchers") == ""
    for query in ("?kinds=nothing", "?limit=-1", "?limit=x", "?timeout=-1", "?timeout=NaN", "?timeout=x"):
        session.refused("get", "/v1/watch", "invalid_argument", query=query)
    streams = [daemon.connect() for _ in range(20)]
    for stream in streams:
        stream.sendall(b"GET /v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(12) == b"HTTP/1.1 200"
    session.refused("get", "/v1/watch", "too_many_watchers")
    for stream in streams:
        stream.close()
    # A watch ends with its connection.
    while session.daemon.request("GET", "/v1/watch?timeout=0").status != 200:
        pass


def proxy(of: Description, program: str, place: pathlib.Path) -> None:
    """Replaces the configuration of a daemon that is a proxy."""
    file = place / "proxy.toml"
    file.write_text("route = { error = 'first' }")
    with Daemon(program, "-o", f"proxy_config={file}") as daemon:
        session = Session(daemon, of)
        file.write_text("route = { error = 'second' }")
        assert daemon.ask("get key") == b"SERVER_ERROR first\r\n"
        session.call("post", "/v1/proxy/reload", {})
        assert daemon.ask("get key") == b"SERVER_ERROR second\r\n"
        session.call("post", "/v1/proxy/reload", {"config": "route = { error = 'third' }"})
        for body, message in (({"config": "route = 'a'"}, "^proxy: line 1: "), ({"config": "first"}, "^config must be a text in TOML, or .*proxy.toml, the file of the start")):
            assert re.search(message, session.refused("post", "/v1/proxy/reload", "invalid_argument", body))
        session.wrong("/v1/proxy/reload", {"config": 1}, "^config: ")
        assert daemon.ask("get key") == b"SERVER_ERROR third\r\n"
        session.call("post", "/v1/proxy/reload", {"config": None})
        assert daemon.ask("get key") == b"SERVER_ERROR third\r\n"
        session.call("post", "/v1/proxy/reload", {"config": str(file)})
        assert daemon.ask("get key") == b"SERVER_ERROR second\r\n"


def refusals(session: Session) -> None:
    with session.daemon.connect() as client:
        client.sendall(
            b"POST /v1/flush HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nno length\r\n"
        )
        heard = b"".join(iter(lambda: client.recv(4096), b""))
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), heard
    assert json.loads(body)["code"] == "invalid_body"
    session.of.codes.add("invalid_body")


def tokens(of: Description, program: str, place: pathlib.Path) -> None:
    """Sends requests to a daemon with a token."""
    secret = "0123456789abcdefghij"
    file = place / "token"
    file.write_text(f"{secret}\n")
    with Daemon(program, "--control-token-file", str(file)) as daemon:
        session = Session(daemon, of)
        for method, path, _ in of.operations():
            for value in ("", "Bearer", "Bearer 0123456789abcdefghik", f"Basic {secret}", f"Bearer {secret}x"):
                session.refused(method, path, "unauthorized", {}, Authorization=value)
        answer = daemon.request("GET", "/v1/clock")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        # Names other than those of loopback are for containers.
        headers = {"Authorization": f"Bearer {secret}", "Host": "cache.example"}
        assert session.raw("get", "/v1/clock", "/v1/clock", None, headers).status == 200
        assert session.raw("post", "/v1/reset", "/v1/reset", None, {**headers, **JSON}).status == 200


def complete(of: Description) -> None:
    """Checks that calls have met the whole description."""
    assert of.calls == {(method, path) for method, path, _ in of.operations()}
    schemas = of.api["components"]["schemas"]
    for name, schema in schemas.items():
        missing = schema.get("properties", {}).keys() - of.met[name]
        assert not missing, f"{name}: no call has {', '.join(missing)}"
    assert of.kinds == set(schemas["FaultKind"]["enum"])
    codes = set(schemas["Error"]["properties"]["code"]["enum"])
    assert of.codes | ELSEWHERE == codes, of.codes ^ codes
