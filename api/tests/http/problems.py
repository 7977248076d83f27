"""A check for schemathesis: every error is a problem document that the API's own description lists."""

import schemathesis

WORDS = ("code", "title", "detail", "next_step")


@schemathesis.check
def error_is_a_problem(ctx, response, case):
    if response.status_code < 400 or case.method == "HEAD":
        return
    content_type = response.headers.get("content-type", [""])[0]
    assert content_type == "application/problem+json", f"an error is {content_type!r}"
    problem = response.json()
    for word in WORDS:
        assert isinstance(problem.get(word), str) and problem[word], f"the problem has no {word}"
    assert problem["status"] == response.status_code
    assert problem["type"] == f"urn:reelmill:problem:{problem['code']}"
    if problem["code"] in ("wrong_method", "no_such_route"):
        return
    listed = case.operation.definition.raw["x-problem-codes"]
    assert problem["code"] in listed, f"{problem['code']} is not listed for {case.operation.label}"
