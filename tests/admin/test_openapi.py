"""Tests for the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

from tests.admin.case import READ, AdminCase
from tests.requires import requiresModule
from txroom.admin.openapi import PATH


class DocumentTests(AdminCase):
    """The document."""

    def document(self) -> dict[str, Any]:
        self.start()
        answer = self.ask("GET", PATH, token=READ)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        document: dict[str, Any] = answer.json
        return document

    def test_valid(self) -> None:
        """It is valid OpenAPI 3.1."""
        validator = requiresModule("openapi_spec_validator").OpenAPIV31SpecValidator
        self.assertEqual(list(validator(self.document()).iter_errors()), [])

    def test_complete(self) -> None:
        """Each operation says who may use it, and refers to schemas that are there."""
        document = self.document()
        schemas = document["components"]["schemas"]
        for reference in re.findall(r"'#/components/schemas/(\w+)'", str(document)):
            self.assertIn(reference, schemas)
        names = []
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                names.append(operation["operationId"])
                role = "manage" if method != "get" and "query" not in path else "read"
                needs, _, isShort = operation["description"].partition(". ")
                self.assertEqual(needs.rstrip("."), f"Needs the role `{role}`")
                self.assertEqual("The same as `notify`" in isShort, "/v1/" not in path)
                self.assertIn("401", operation["responses"])
                hasKey = any(each["in"] == "header" for each in operation["parameters"])
                takesKey = role == "manage" and operation["operationId"] != "notifyAll"
                self.assertEqual(hasKey, takesKey, operation["operationId"])
        self.assertEqual(len(names), len(set(names)))
        self.assertIn(PATH, document["paths"])

    def test_fields(self) -> None:
        """Fields have their limits and their texts."""
        document = self.document()
        publish = document["components"]["schemas"]["Publish"]
        self.assertEqual(publish["required"], ["type"])
        self.assertEqual(publish["properties"]["type"]["minLength"], 1)
        self.assertFalse(publish["additionalProperties"])
        parameters = {each["name"]: each for each in document["paths"]["/api/v1/rooms"]["get"]["parameters"]}
        self.assertEqual(parameters["limit"]["schema"]["maximum"], 1000)
        self.assertFalse(parameters["limit"]["required"])
