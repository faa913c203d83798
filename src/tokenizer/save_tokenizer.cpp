#include "core/error.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/save_sentencepiece.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/tokenizer_model.h"

namespace stepstone {
namespace {

std::string json_string(std::string_view text) { return dump_json(Json(text)); }

std::string spelled(const TokenizerModel& model, std::int32_t id) {
  const std::string_view token = model.tokens[id];
  const bool raw = model.kind == TokenizerModel::Kind::characters || model.added_flags[id] != 0;
  return raw ? std::string(token) : to_byte_level(token);
}

void append_added(const TokenizerModel& model, std::string& out) {
  out += "  \"added_tokens\": [";
  const char* separator = "\n";
  for (const AddedToken& token : model.added) {
    out += fmt::format(
        "{}    {{\"id\": {}, \"content\": {}, \"single_word\": {}, \"lstrip\": {}, "
        "\"rstrip\": {}, \"normalized\": {}, \"special\": {}}}",
        separator, token.id, json_string(token.content), token.single_word, token.lstrip,
        token.rstrip, token.normalized, token.special);
    separator = ",\n";
  }
  out += model.added.empty() ? "],\n" : "\n  ],\n";
}

// Tokens in the order of their ids. Added tokens too: `tokenizers` would renumber one that has an
// id amid the others.
void append_vocab(const TokenizerModel& model, std::string& out) {
  out += "    \"vocab\": {";
  const char* separator = "\n";
  for (std::int32_t id = 0; id < model.tokens.size(); ++id) {
    out += fmt::format("{}      {}: {}", separator, json_string(spelled(model, id)), id);
    separator = ",\n";
  }
  out += "\n    }";
}

void append_merges(const TokenizerModel& model, std::string& out) {
  out += ",\n    \"merges\": [";
  const char* separator = "\n";
  for (const Merge& merge : model.bpe.merges()) {
    out += fmt::format("{}      [{}, {}]", separator, json_string(spelled(model, merge.left)),
                       json_string(spelled(model, merge.right)));
    separator = ",\n";
  }
  out += model.bpe.merges().empty() ? "]" : "\n    ]";
}

Json split(const SplitStep& step) {
  if (step.pattern == Pattern::digits || step.pattern == Pattern::each_digit) {
    return {{"type", "Digits"}, {"individual_digits", step.pattern == Pattern::each_digit}};
  }
  const std::string regex =
      step.regex ? step.regex->pattern() : std::string(pattern_regex(step.pattern));
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

bool is_gpt2(const SplitStep& step) { return step.pattern == Pattern::gpt2 && !step.regex; }

Json pre_tokenizer(const TokenizerModel& model) {
  if (model.kind == TokenizerModel::Kind::characters) {
    return split({.pattern = Pattern::characters});
  }
  Json parts = Json::array();
  std::size_t count = model.splits.size();
  const bool use_regex = count > 0 && is_gpt2(model.splits.back());
  if (use_regex) --count;
  for (std::size_t i = 0; i < count; ++i) parts.push_back(split(model.splits[i]));
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", model.add_prefix_space},
                           {"trim_offsets", true},
                           {"use_regex", use_regex}};
  if (parts.empty()) return byte_level;
  parts.push_back(byte_level);
  return {{"type", "Sequence"}, {"pretokenizers", parts}};
}

// The file that the tokenizer came from, with its added tokens as they are now.
std::string pipeline_json(const TokenizerModel& model) {
  const Pipeline& pipeline = *model.pipeline;
  require<UsageError>(!pipeline.source.empty() || pipeline.sentencepiece != nullptr,
                      "this tokenizer cannot be saved as tokenizer.json");
  auto root = pipeline.source.empty()
                  ? sentencepiece_json(*pipeline.sentencepiece)
                  : nlohmann::ordered_json(parse_json(pipeline.source, "tokenizer.json"));
  auto& list = root["added_tokens"] = nlohmann::ordered_json::array();
  for (const AddedToken& token : model.added) {
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return root.dump(1) + "\n";
}

std::string config_json(const TokenizerModel& model) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* field, std::optional<std::int32_t> id) {
    if (id) config[field] = std::string(model.tokens[*id]);
  };
  name("bos_token", model.bos);
  name("eos_token", model.eos);
  name("pad_token", model.pad);
  return dump_json(config, 2) + "\n";
}

}  // namespace

std::string tokenizer_json(const TokenizerModel& model) {
  if (model.kind == TokenizerModel::Kind::pipeline) return pipeline_json(model);
  const bool characters = model.kind == TokenizerModel::Kind::characters;
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  append_added(model, out);
  out += fmt::format("  \"normalizer\": {},\n", model.compose ? R"({"type": "NFC"})" : "null");
  out += fmt::format("  \"pre_tokenizer\": {},\n", dump_json(pre_tokenizer(model)));
  out += fmt::format("  \"post_processor\": {},\n",
                     model.post_processor.empty() ? "null" : model.post_processor);
  if (characters) {
    out += "  \"decoder\": {\"type\": \"Fuse\"},\n  \"model\": {\n    \"type\": \"WordLevel\",\n";
    append_vocab(model, out);
    // The format wants a name even where there is no such token.
    out += fmt::format(",\n    \"unk_token\": {}",
                       json_string(model.unknown ? model.tokens[*model.unknown] : "<unk>"));
  } else {
    out += R"(  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, )"
           "\"use_regex\": true},\n  \"model\": {\n    \"type\": \"BPE\",\n"
           "    \"dropout\": null,\n    \"unk_token\": null,\n"
           "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
           "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n";
    out += fmt::format("    \"ignore_merges\": {},\n", model.ignore_merges);
    append_vocab(model, out);
    append_merges(model, out);
  }
  return out + "\n  }\n}\n";
}

void save_tokenizer(const TokenizerModel& model, const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    write_file(path / "tokenizer.json", tokenizer_json(model));
    write_file(path / "tokenizer_config.json", config_json(model));
  } else {
    write_file(path, tokenizer_json(model));
  }
}

}  // namespace stepstone
