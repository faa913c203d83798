#include "serve/output_form.h"

#include "grammar/matcher.h"
#include "serve/api_error.h"

namespace stepstone {
namespace {

using GrammarPointer = std::shared_ptr<const Grammar>;

void check_size(std::size_t bytes) {
  require<UsageError>(bytes <= kMaxGrammarBytes, "longer than {} bytes", kMaxGrammarBytes);
}

// One that is too ambiguous to begin with is refused here.
GrammarPointer checked(Grammar grammar) {
  auto pointer = std::make_shared<const Grammar>(std::move(grammar));
  const GrammarMatcher trial(pointer, nullptr);
  return pointer;
}

// `make` compiles a notation in which a text is written down.
GrammarPointer compile(const std::string& text, Grammar (*make)(std::string_view)) {
  check_size(text.size());
  return checked(make(text));
}

std::string text_of(const OrderedJson& value) {
  require<UsageError>(value.is_string(), "expected a string");
  return value.get<std::string>();
}

GrammarPointer from_gbnf(const OrderedJson& value) {
  return compile(text_of(value), Grammar::from_gbnf);
}

GrammarPointer from_regex(const OrderedJson& value) {
  return compile(text_of(value), Grammar::from_regex);
}

// vLLM takes a schema as an object or as its text.
GrammarPointer from_schema(const OrderedJson& value) {
  return value.is_string() ? compile(text_of(value), Grammar::from_json_schema)
                           : schema_grammar(value);
}

GrammarPointer from_choice(const OrderedJson& value) {
  require<UsageError>(value.is_array() && !value.empty(), "expected a list of texts");
  std::size_t bytes = 0;
  std::vector<Expression> texts;
  for (const OrderedJson& item : value) {
    texts.push_back(Expression::literal(text_of(item)));
    bytes += texts.back().text.size() + 1;
  }
  check_size(bytes);
  Rules rules;
  rules.root = rules.add("choice", Expression::choice(std::move(texts)));
  return checked(Grammar(rules));
}

// {"type": "json_schema", "json_schema": {"schema": …}}; llama.cpp also takes "schema" beside
// "type".
GrammarPointer from_response_format(const OrderedJson& format) {
  require<UsageError>(format.is_object() && format.contains("type"),
                      "expected an object with a \"type\"");
  const std::string type = text_of(format["type"]);
  if (type == "text") return nullptr;
  require<UsageError>(type == "json_object" || type == "json_schema",
                      "the type must be text, json_object or json_schema");
  if (format.contains("schema")) return schema_grammar(format["schema"]);
  if (type == "json_object") return schema_grammar({{"type", "object"}});
  const auto named = format.find("json_schema");
  require<UsageError>(named != format.end() && named->is_object() && named->contains("schema"),
                      "json_schema must be an object with a \"schema\"");
  return schema_grammar((*named)["schema"]);
}

struct Form {
  std::string_view field;
  GrammarPointer (*compile)(const OrderedJson&);
};
constexpr Form kStructured[] = {
    {"json", from_schema}, {"regex", from_regex}, {"choice", from_choice}, {"grammar", from_gbnf}};

// vLLM's newer way.
GrammarPointer from_structured_outputs(const OrderedJson& value) {
  require<UsageError>(value.is_object() && value.size() == 1, "expected an object with one member");
  for (const Form& form : kStructured) {
    const auto member = value.find(form.field);
    if (member != value.end()) return form.compile(*member);
  }
  throw UsageError("expected json, regex, choice or grammar");
}

constexpr Form kForms[] = {{"response_format", from_response_format},
                           {"grammar", from_gbnf},
                           {"json_schema", from_schema},
                           {"guided_json", from_schema},
                           {"guided_regex", from_regex},
                           {"guided_choice", from_choice},
                           {"guided_grammar", from_gbnf},
                           {"structured_outputs", from_structured_outputs}};

}  // namespace

GrammarPointer schema_grammar(const OrderedJson& schema) {
  return compile(schema.dump(), Grammar::from_json_schema);
}

GrammarPointer output_grammar(const RequestBody& body) {
  GrammarPointer grammar;
  std::string_view first;
  for (const Form& form : kForms) {
    const std::string field(form.field);
    try {
      if (!given(body.json, field)) continue;
      GrammarPointer made = form.compile(body.ordered(field));
      if (!made) continue;
      require<UsageError>(!grammar, "does not go together with {}", first);
      grammar = std::move(made);
      first = form.field;
    } catch (const Error& e) {
      const std::string_view problem = e.what();
      const bool named = problem.starts_with(field + ": ");  // as every error of GBNF is
      throw ApiError(400, named ? std::string(problem) : fmt::format("{}: {}", field, problem),
                     field);
    }
  }
  return grammar;
}

}  // namespace stepstone
