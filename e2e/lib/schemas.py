"""Writes a strict JSON schema for each kind of Kubernetes' own OpenAPI document, as kubeconform reads them.

Usage: schemas.py swagger.json OUT. The schemas that kubeconform fetches by default are made the same way.
"""

import json
import pathlib
import sys

SCALARS = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}
REFERENCE = "#/definitions/"


def strict(schema):
    """The schema with unknown fields refused and its references pointed at the common file."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if isinstance(out.get("$ref"), str):
        return {"$ref": "_definitions.json" + out["$ref"]}
    if isinstance(out.get("properties"), dict) and "type" in out:
        out.setdefault("additionalProperties", False)
    return out


def main(swagger, out):
    out = pathlib.Path(out)
    definitions = json.loads(pathlib.Path(swagger).read_text())["definitions"]
    schemas = {name: SCALARS.get(name) or strict(schema) for name, schema in definitions.items()}
    (out / "_definitions.json").write_text(json.dumps({"definitions": schemas}))
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", []):
            # Of a group's name, kubeconform's file names keep the part before the first dot.
            parts = [kind["kind"], kind["group"].split(".")[0], kind["version"]]
            file = out / ("-".join(part.lower() for part in parts if part) + ".json")
            file.write_text(json.dumps({"$ref": f"_definitions.json{REFERENCE}{name}"}))


if __name__ == "__main__":
    main(*sys.argv[1:])
