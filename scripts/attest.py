#!/usr/bin/env python3
"""Checks documents of `provenance` and `sbom` by the tools of those who defined the formats.

    attest.py statement FILE    in-toto Statement v1 with SLSA Provenance v1 (in-toto-attestation)
    attest.py spdx FILE         SPDX 2.3 (spdx-tools)
    attest.py cyclonedx FILE    CycloneDX 1.6 (the schema in cyclonedx-python-lib)

Run it with the Python that has these packages. The status is 1 if a document is not valid.
"""

import json
import sys


def statement(text):
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1 import statement_pb2

    read = json_format.Parse(text, statement_pb2.Statement())
    Statement.copy_from_pb(read).validate()
    if read.predicate_type != "https://slsa.dev/provenance/v1":
        raise ValueError(f"the predicate is {read.predicate_type}")
    # Unknown fields and wrong types are errors.
    predicate = json_format.ParseDict(json.loads(text)["predicate"], provenance_pb2.Provenance())
    if not predicate.build_definition.build_type or not predicate.run_details.builder.id:
        raise ValueError("required fields are missing")
    if not predicate.build_definition.external_parameters.fields:
        raise ValueError("externalParameters are missing")
    for dependency in predicate.build_definition.resolved_dependencies:
        if not dependency.digest:
            raise ValueError(f"`{dependency.name}` has no digest")


def spdx(text):
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    problems = validate_full_spdx_document(JsonLikeDictParser().parse(json.loads(text)))
    if problems:
        raise ValueError("\n".join(problem.validation_message for problem in problems[:10]))


def cyclonedx(text):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem:
        raise ValueError(problem)


def main():
    checks = {"statement": statement, "spdx": spdx, "cyclonedx": cyclonedx}
    if len(sys.argv) != 3 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    with open(sys.argv[2], encoding="utf-8") as file:
        text = file.read()
    try:
        checks[sys.argv[1]](text)
    except Exception as error:  # Each library has errors of its own.
        sys.exit(f"{sys.argv[2]}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
