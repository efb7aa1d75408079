"""Wire structs as pydantic and OpenAPI see them: web frameworks can take and return them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import GetJsonSchemaHandler
from pydantic_core import core_schema

if TYPE_CHECKING:
    from nexus_bounty.models import Wire

_REFERENCE: Final = "#/"
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", re.MULTILINE)


def core_schema_of(kind: type[Wire]) -> core_schema.CoreSchema:
    """How pydantic makes a `kind` of JSON or of itself, and writes it."""

    def made(value: Any) -> Wire:
        return value if isinstance(value, kind) else kind.from_dict(value)

    def described(_schema: Any, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return json_schema_of(kind)

    return core_schema.no_info_plain_validator_function(
        made,
        ref=f"{kind.__module__}.{kind.__qualname__}:{id(kind)}",
        serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins),
        metadata={"pydantic_js_functions": [described]},
    )


def json_schema_of(kind: type[Wire]) -> dict[str, Any]:
    """The JSON schema of a `kind`, whole in itself: what it consists of is written out inside."""
    return deepcopy(_schema_of(kind))  # the caller's own, to be changed as it likes


@cache  # whoever describes an API asks for the same few again and again
def _schema_of(kind: type[Wire]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components(
        [kind], ref_template=f"{_REFERENCE}{{name}}"
    )
    for struct in _structs_in(msgspec.inspect.type_info(kind)):
        _explain(components[struct.cls.__name__], struct)
    whole: dict[str, Any] = _written_out(schema, components)
    return whole


def _structs_in(part: object) -> Iterator[msgspec.inspect.StructType]:
    """Every struct that a type consists of."""
    if isinstance(part, msgspec.inspect.StructType):
        yield part
    if isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field):
        for name in part.__struct_fields__:
            yield from _structs_in(getattr(part, name))
    if isinstance(part, tuple):
        for each in part:
            yield from _structs_in(each)


def _explain(schema: dict[str, Any], struct: msgspec.inspect.StructType) -> None:
    """Say in a struct's schema what its docstring does, and which of its fields are times."""
    docstring = inspect.getdoc(struct.cls) or ""
    told, _, attributes = docstring.partition("\nAttributes:\n")
    schema["description"] = told.strip()
    texts = {name: " ".join(text.split()) for name, text in _ATTRIBUTE.findall(attributes)}
    for field in struct.fields:
        shown = schema["properties"][field.encode_name]
        if field.name in texts:
            shown = {"description": texts[field.name], **shown}
        schema["properties"][field.encode_name] = _with_format(shown, field.type)


def _with_format(schema: dict[str, Any], kind: msgspec.inspect.Type) -> dict[str, Any]:
    if isinstance(kind, msgspec.inspect.DateTimeType):
        return {**schema, "format": "date-time"}
    if isinstance(kind, msgspec.inspect.UnionType) and "anyOf" in schema:
        pairs = zip(schema["anyOf"], kind.types, strict=True)
        return {**schema, "anyOf": [_with_format(*pair) for pair in pairs]}
    return schema


def _written_out(part: Any, components: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        name = part.get("$ref")
        if isinstance(name, str):
            component = components[name.removeprefix(_REFERENCE)]
            beside = {key: item for key, item in part.items() if key != "$ref"}
            return _written_out(component | beside, components)
        return {key: _written_out(item, components) for key, item in part.items()}
    if isinstance(part, list):
        return [_written_out(item, components) for item in part]
    return part
