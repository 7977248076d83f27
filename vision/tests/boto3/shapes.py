"""Checks raw answers strictly against botocore's own model of Rekognition."""

import json
import re

# AWS leaves these lists empty although the shape, shared with a request, has a minimum.
MAY_BE_EMPTY = {"DeletedFaces"}


class Shapes:
    """Watches a client; raises where an answer is not what the model says."""

    def __init__(self, client):
        self.sent = {}
        self.errors = {}
        self.models = {}
        client.meta.events.register("before-parse.rekognition.*", self.watch)

    def watch(self, operation_model, response_dict, **_):
        name = operation_model.name
        self.models[name] = operation_model
        body = json.loads(response_dict["body"])
        kind = response_dict["headers"]["Content-Type"]
        assert kind == "application/x-amz-json-1.1", kind
        assert response_dict["headers"]["x-amzn-RequestId"], "a request has an id"
        if response_dict["status_code"] == 200:
            paths = self.sent.setdefault(name, set())
            check(operation_model.output_shape, body, name, paths, "")
            return
        error = body.pop("__type")
        modelled = {shape.name: shape for shape in operation_model.error_shapes}
        assert error in modelled, f"{name} has no {error}: {body}"
        self.errors.setdefault(name, set()).add(error)
        assert body["Message"], body
        # The members are those of every exception in the service's guide; few are in the model.
        assert set(body) == {"Message", "Code", "Logref"}, body
        assert body["Code"] == error, body

    def table(self):
        """Per operation: what was never sent though the model has it, and the errors seen."""
        return {
            name: {
                "left_out": sorted(missing(model.output_shape, self.sent.get(name, set()), "", ())),
                "errors": sorted(self.errors.get(name, [])),
            }
            for name, model in self.models.items()
        }


def check(shape, value, where, paths, path):
    paths.add(path)
    limits = shape.metadata
    if shape.type_name == "structure":
        assert isinstance(value, dict), f"{where}: {value!r} is no structure"
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{where} has no {unknown}"
        missing = set(shape.required_members) - set(value)
        assert not missing, f"{where} lacks {missing}"
        for member, inner in value.items():
            check(shape.members[member], inner, f"{where}.{member}", paths, f"{path}.{member}")
    elif shape.type_name == "list":
        assert isinstance(value, list), f"{where}: {value!r} is no list"
        least = 0 if where.rpartition(".")[2] in MAY_BE_EMPTY else limits.get("min", 0)
        assert least <= len(value) <= limits.get("max", len(value)), f"{where}: {len(value)} items"
        for n, inner in enumerate(value):
            check(shape.member, inner, f"{where}[{n}]", paths, path)
    elif shape.type_name == "string":
        assert isinstance(value, str), f"{where}: {value!r} is no string"
        assert not shape.enum or value in shape.enum, f"{where}: {value!r} is not in {shape.enum}"
        assert limits.get("min", 0) <= len(value) <= limits.get("max", len(value)), where
        pattern = limits.get("pattern")
        assert not pattern or re.fullmatch(pattern, value), f"{where}: {value!r} is not {pattern}"
    elif shape.type_name in ("integer", "long", "float", "double", "timestamp"):
        whole = shape.type_name in ("integer", "long")
        number = isinstance(value, int) if whole else isinstance(value, (int, float))
        assert number and not isinstance(value, bool), f"{where}: {value!r} is no {shape.type_name}"
        in_bounds = limits.get("min", value) <= value <= limits.get("max", value)
        assert in_bounds, f"{where}: {value} is out of bounds"
    elif shape.type_name == "boolean":
        assert isinstance(value, bool), f"{where}: {value!r} is no boolean"
    else:
        raise AssertionError(f"{where}: {shape.type_name} is not known to this check")


def missing(shape, paths, path, above):
    """Paths of the model that are not in `paths`, each only as deep as nothing of it was sent."""
    if path not in paths:
        yield path.lstrip(".")
    elif shape.type_name == "list":
        yield from missing(shape.member, paths, path, above)
    elif shape.type_name == "structure" and shape.name not in above:
        for member, inner in shape.members.items():
            yield from missing(inner, paths, f"{path}.{member}", (*above, shape.name))
