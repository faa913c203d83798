// JSON Schema as a grammar: every text that it lets through is valid under the schema.
//
// Known: type (one or several), properties, required, additionalProperties, items, prefixItems,
// minItems, maxItems, enum, const, anyOf, oneOf, allOf (of objects), $ref within the document,
// minLength, maxLength, pattern, format (date, time, date-time, uuid), minimum, maximum,
// exclusiveMinimum, exclusiveMaximum (integers), true, false and {}. Annotations (title,
// description, default, examples, …) mean nothing here. Any other keyword is a UsageError that
// names its place: to ignore it would let wrong texts through.
//
// Stricter than the schema where that costs nothing: properties come in the schema's order; an
// object whose schema names properties and says nothing of others has no others; of oneOf, more
// than one may match; white space is at most a blank after ':' and ',' and a line end with up to 20
// blanks around members.
#pragma once

#include <string_view>

#include "grammar/expression.h"

namespace stepstone {

// Throws FormatError for what is not JSON, UsageError for what cannot be a grammar.
Rules json_schema_rules(std::string_view schema);

}  // namespace stepstone
