#include "tokenizer/read_splits.h"

#include "core/error.h"

namespace stepstone {
namespace {

const Json* component(const Json& root, const char* field, const std::string& file) {
  const Json* value = find_field(root, field);
  if (value == nullptr || value->is_null()) return nullptr;
  if (!value->is_object()) throw FormatError(file, field, "expected an object or null");
  return value;
}

std::string type_of(const Json& json, const std::string& field, const std::string& file) {
  if (!json.is_object()) throw FormatError(file, field, "expected an object");
  return get<std::string>(json, "type", file);
}

[[noreturn]] void unsupported(const std::string& file, const std::string& field,
                              const std::string& what) {
  throw FormatError(file, field, fmt::format("{} is not supported", what));
}

// Calls visit(part, field, is_last) for the component itself or the parts of a Sequence.
template <typename F>
void for_each_part(const Json& json, const std::string& field, const std::string& list,
                   const std::string& file, F&& visit) {
  if (type_of(json, field, file) != "Sequence") {
    visit(json, field, true);
    return;
  }
  const Json* parts = find_field(json, list);
  if (parts == nullptr || !parts->is_array()) {
    throw FormatError(file, fmt::format("{}.{}", field, list), "expected an array");
  }
  for (std::size_t i = 0; i < parts->size(); ++i) {
    visit((*parts)[i], fmt::format("{}.{}[{}]", field, list, i), i + 1 == parts->size());
  }
}

SplitStep regex_step(const Json& json, const std::string& field, const std::string& file) {
  const Json* pattern = find_field(json, "pattern");
  if (pattern == nullptr || !pattern->is_object() || pattern->size() != 1 ||
      !pattern->contains("Regex")) {
    unsupported(file, field + ".pattern", "a pattern other than {\"Regex\": ...}");
  }
  const auto regex = get<std::string>(*pattern, "Regex", file);
  const auto behavior = get<std::string>(json, "behavior", file);
  const bool invert = get_or<bool>(json, "invert", file, false);
  const auto known = recognise_pattern(regex);
  // The known patterns match everything, so to keep only their matches is the same.
  const bool isolated =
      (behavior == "Isolated" && !invert) || (known && behavior == "Removed" && invert);
  if (!isolated) {
    unsupported(file, field + ".behavior", fmt::format("{} with invert {}", behavior, invert));
  }
  if (known) return {.pattern = *known};
  try {
    return {.pattern = Pattern::none, .regex = std::make_shared<RegexSplitter>(regex)};
  } catch (const UsageError& error) {
    throw FormatError(file, field + ".pattern.Regex", error.what());
  }
}

void read_pre_tokenizer(const Json& json, const std::string& file, TokenizerModel& model) {
  bool byte_level = false;
  const auto visit = [&](const Json& part, const std::string& field, bool is_last) {
    const std::string type = type_of(part, field, file);
    if (type == "Split") {
      model.splits.push_back(regex_step(part, field, file));
    } else if (type == "Digits") {
      const bool each = get_or<bool>(part, "individual_digits", file, false);
      model.splits.push_back({.pattern = each ? Pattern::each_digit : Pattern::digits});
    } else if (type == "ByteLevel") {
      if (!is_last) unsupported(file, field, "ByteLevel before another step");
      byte_level = true;
      model.add_prefix_space = get_or<bool>(part, "add_prefix_space", file, false);
      if (model.add_prefix_space && !model.splits.empty()) {
        unsupported(file, field + ".add_prefix_space", "true after other steps");
      }
      if (get_or<bool>(part, "use_regex", file, true)) {
        model.splits.push_back({.pattern = Pattern::gpt2});
      }
    } else {
      unsupported(file, field + ".type", fmt::format("\"{}\"", type));
    }
  };
  for_each_part(json, "pre_tokenizer", "pretokenizers", file, visit);
  if (!byte_level) {
    throw FormatError(file, "pre_tokenizer", "has no ByteLevel step; only byte-level is supported");
  }
}

void read_normalizer(const Json& json, const std::string& file, TokenizerModel& model) {
  for_each_part(json, "normalizer", "normalizers", file,
                [&](const Json& part, const std::string& field, bool) {
                  const std::string type = type_of(part, field, file);
                  if (type != "NFC") unsupported(file, field + ".type", '"' + type + '"');
                  model.compose = true;
                });
}

}  // namespace

void read_byte_level_steps(const Json& root, const std::string& file, TokenizerModel& model) {
  if (const Json* json = component(root, "normalizer", file)) read_normalizer(*json, file, model);
  const Json* pre_tokenizer = component(root, "pre_tokenizer", file);
  if (pre_tokenizer == nullptr) {
    throw FormatError(file, "pre_tokenizer", "missing; only byte-level is supported");
  }
  read_pre_tokenizer(*pre_tokenizer, file, model);
  if (const Json* json = component(root, "decoder", file)) {
    for_each_part(*json, "decoder", "decoders", file,
                  [&](const Json& part, const std::string& field, bool) {
                    const std::string type = type_of(part, field, file);
                    if (type != "ByteLevel") unsupported(file, field + ".type", '"' + type + '"');
                  });
  }
  if (const Json* json = component(root, "post_processor", file)) {
    for_each_part(*json, "post_processor", "processors", file,
                  [&](const Json& part, const std::string& field, bool) {
                    const std::string type = type_of(part, field, file);
                    if (type != "ByteLevel" && type != "TemplateProcessing") {
                      unsupported(file, field + ".type", '"' + type + '"');
                    }
                  });
    model.post_processor = dump_json(*json);
  }
}

void check_character_steps(const Json& root, const std::string& file) {
  for (const char* field : {"normalizer", "post_processor"}) {
    if (component(root, field, file)) unsupported(file, field, "this field with WordLevel");
  }
  const Json* json = component(root, "pre_tokenizer", file);
  if (json == nullptr || type_of(*json, "pre_tokenizer", file) != "Split" ||
      regex_step(*json, "pre_tokenizer", file).pattern != Pattern::characters) {
    unsupported(file, "pre_tokenizer", "WordLevel without a split into characters");
  }
  const Json* decoder = component(root, "decoder", file);
  if (decoder != nullptr && type_of(*decoder, "decoder", file) != "Fuse") {
    unsupported(file, "decoder.type", "a decoder other than Fuse");
  }
}

}  // namespace stepstone
