"""Grammars, regular expressions and schemas that are wrong, too large or made to cost time: each is
refused within a second for its reason, and those that are merely odd are followed."""

import time

from api_test import CHAT, hello
from harness import PROMPT_ANSWER, Server, check, finish

MANY = 30000
GRAMMARS = [  # GBNF, what the message says
    ("(" * 60000, "expected a rule's name"),
    ("root ::= " + "(" * 60000, "nested too deeply"),
    ("root ::= " + "(" * MANY + ")" * MANY, "nested too deeply"),
    ("root ::= " + "[" * MANY + "]" * MANY, "expected a line end"),
    ('root ::= "a', "unexpected end"),
    ("root ::= [a", "unexpected end"),
    ("root ::= a", "not defined"),
    ("root", "expected '::='"),
    ("::=", "expected a rule's name"),
    ("root ::= root", "can begin with itself"),
    ("root ::= a\na ::= b\nb ::= root", "can begin with itself"),
    ('root ::= a\na ::= "" a', "can begin with itself"),
    ('root ::= "x"{999999999}', "a repetition of more than"),
    ('root ::= "x"{5,2}', "a repetition of 5 to 2"),
    ('root ::= "x"{-1}', "expected a number"),
    ('root ::= (("x"{1000}){1000}){1000}', "larger than"),
    ("root ::= [z-a]", "ends before it begins"),
    ('root ::= "\\xZZ"', "hexadecimal digits"),
    ('root ::= "\\uD800"', "no such character"),
    ('root ::= "\\U00110000"', "no such character"),
    ('root ::= "a"\nroot ::= "b"', "defined twice"),
    ("root ::= *", "expected a line end"),
    ('root ::= "a" }', "expected a line end"),
    ('root ::= "a" )', "expected a line end"),
    ("\0", "expected a rule's name"),
    ('root ::= "a" # c\n b', "expected '::='"),
    ("root ::= " + '"a"|' * 40000 + '"a"', "longer than"),
]
REGEXES = [
    ("(" * 60000, "nested too deeply"),
    ("(" * MANY + ")" * MANY, "nested too deeply"),
    ("(a", "expected ')'"),
    ("a)", "not understood"),
    ("[a", "expected ']'"),
    ("[", "expected ']'"),
    ("[[:alpha:", "expected ']'"),
    ("[z-a]", "ends before it begins"),
    ("a{2,1}", "a repetition of 2 to 1"),
    ("a{99999999}", "a repetition of more than"),
    ("a{,}{", "expected a number"),
    ("*a", "nothing before it to repeat"),
    ("a**", "nothing before it to repeat"),
    ("+", "nothing before it to repeat"),
    ("(a|b){1000}{1000}", "nothing before it to repeat"),
    ("(?<=a)b", "kind of group"),
    ("(?=a)", "kind of group"),
    ("(?P<x>a)(?P=x)", "kind of group"),
    ("(?#", "kind of group"),
    ("(?i)a", "kind of group"),
    ("(a)\\1", "escape is not supported"),
    ("\\", "escape is not supported"),
    ("\\p{Nope}", "escape is not supported"),
    ("\\x{110000}", "hexadecimal digits"),
    ("\\uD800", "no such character"),
    ("((a{1000}){1000}){1000}", "larger than"),
    ("(a*)*" * 3000, "without end what may be empty"),
    ("(((a*)*)*)*b" * 100, "without end what may be empty"),
]
SCHEMAS = [
    ("x", "expected a"),
    (7, "expected an object or a boolean"),
    ([], "expected an object or a boolean"),
    (False, "allows nothing"),
    ({"type": "tree"}, "is no type"),
    ({"type": 7}, "expected a string or an array"),
    ({"type": []}, "names no type"),
    ({"pattern": "("}, "expected ')'"),
    ({"pattern": "a{99999999}"}, "a repetition of more than"),
    ({"$ref": "#/nope"}, "is not in the schema"),
    ({"$ref": "http://evil.example/x"}, "points outside"),
    ({"$ref": "file:///etc/passwd"}, "points outside"),
    ({"$ref": "#"}, "leads back to itself"),
    ({"allOf": [{"$ref": "#"}]}, "leads back to itself"),
    ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
     "leads back to itself"),
    ({"enum": []}, "expected an array of values"),
    ({"enum": "x"}, "expected an array of values"),
    ({"enum": ["x" * 1000] * 200}, "longer than"),
    ({"const": "x" * 200000}, "longer than"),
    ({"type": "integer", "minimum": 2, "maximum": 1}, "no integer lies between"),
    ({"type": "integer", "minimum": "x"}, "expected an integer"),
    ({"type": "string", "minLength": -1}, "expected 0 to 10000"),
    ({"type": "string", "minLength": 1 << 40}, "expected 0 to 10000"),
    ({"type": "string", "minLength": 5, "maxLength": 2}, "maxLength is below"),
    ({"type": "array", "minItems": -1}, "expected 0 to 10000"),
    ({"type": "array", "minItems": 1 << 40}, "expected 0 to 10000"),
    ({"type": "array", "minItems": 5, "maxItems": 2}, "maxItems is below"),
    ({"type": "array", "uniqueItems": True}, "is not supported"),
    ({"type": "object", "properties": []}, "expected an object"),
    ({"type": "object", "required": "a"}, "expected an array"),
    ({"type": "object", "properties": {"a": {}}, "required": ["b"]}, "is not among the properties"),
    ({"type": "object", "minProperties": 3}, "is not supported"),
    ({"type": "object", "patternProperties": {"(": {}}}, "is not supported"),
    ({"type": "number", "multipleOf": 0.3}, "is not supported"),
    ({"anyOf": []}, "expected an array of schemas"),
    ({"oneOf": {}}, "expected an array of schemas"),
    ({"not": {}}, "is not supported"),
    ({"if": {}}, "is not supported"),
    ({"format": 7}, "is not supported"),
]
CHOICES = [
    ([], "expected a list of texts"),
    ("x", "expected a list of texts"),
    ({}, "expected a list of texts"),
    ([1], "expected a string"),
    ([None], "expected a string"),
    ([[]], "expected a string"),
    (["x" * 200000], "longer than"),
]


def attacks():
    """Fields of a request, the one that is named, what the message says."""
    for text, says in GRAMMARS:
        yield {"grammar": text}, "grammar", says
        yield {"structured_outputs": {"grammar": text}}, "structured_outputs", says
    for text, says in REGEXES:
        yield {"guided_regex": text}, "guided_regex", says
        yield {"json_schema": {"type": "string", "pattern": text}}, "json_schema", says
    for schema, says in SCHEMAS:
        yield {"json_schema": schema}, "json_schema", says
        if not isinstance(schema, str):
            yield ({"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
                   "response_format", says)
        if isinstance(schema, dict) and "$ref" not in str(schema):  # it would mean another place there
            yield ({"tools": [{"type": "function", "function": {
                "name": "f", "strict": True, "parameters": {"type": "object", "properties": {"a": schema}}}}],
                "tool_choice": "required"}, "tools", says)
    for texts, says in CHOICES:
        yield {"guided_choice": texts}, "guided_choice", says


def odd():
    """Odd, large or ambiguous, but to be followed: for a few tokens, within the same second."""
    schema = {"type": "integer"}
    for _ in range(50):
        schema = {"type": "array", "items": schema}
    yield {"json_schema": schema}
    yield {"json_schema": {"type": "array", "minItems": 1000, "items": {"type": "array", "minItems": 1000}}}
    yield {"grammar": "root ::= " + "a " * MANY + '\na ::= "x"'}
    yield {"grammar": "root ::= (x{1,90}){1,90}\nx ::= [ -~]"}
    yield {"grammar": "root ::= |"}
    yield {"guided_regex": "(a{1,1000}){1,1000}"}
    yield {"guided_choice": ["", "\0"]}


def main():
    count = 0
    with Server() as server:
        for fields, param, says in attacks():
            start = time.monotonic()
            status, answer = server.post(CHAT, hello(**fields))
            took = time.monotonic() - start
            error = answer.get("error", {})
            name = str(fields)[:100]
            check(status == 400 and error.get("param") == param, f"{name}: {status} {str(answer)[:200]}")
            check(says in error.get("message", ""), f"{name}: {error} does not say: {says}")
            check(took <= PROMPT_ANSWER, f"{name}: {took:.1f} s")
            count += 1
        for fields in odd():
            start = time.monotonic()
            status, answer = server.post(CHAT, hello(**{**fields, "max_tokens": 8}))
            check(status == 200, f"{str(fields)[:100]}: {status} {str(answer)[:200]}")
            check(time.monotonic() - start <= 1, f"{str(fields)[:100]}: {time.monotonic() - start:.1f} s")
        check(server.get("/health")[0] == 200, "the server lives")
    finish(f"{count} malformed forms, each refused within a second for its reason")


main()
