#include "generate_flags.h"

#include <cstring>

#include "cache_flags.h"
#include "grammar/grammar.h"
#include "io/file.h"
#include "output.h"

namespace stepstone::cli {

void note_context(std::int64_t asked, std::int64_t used, const TransformerConfig& config) {
  if (used >= asked) return;
  put_note(fmt::format(
      "warning: -c {}: the context has {} tokens: {}\n", asked, used,
      used == config.max_positions ? "the model has no more" : "--kv-memory has no room for more"));
}

EngineRequest GenerateFlags::request_for(const Tokenizer& tokenizer) const {
  EngineRequest result = request;
  if (!dry_breakers.empty()) {
    const bool none = dry_breakers == std::vector<std::string>{"none"};
    result.sampling.dry_breakers = std::make_shared<const DryBreakers>(
        tokenizer, none ? std::vector<std::string>() : dry_breakers);
  }
  return result;
}

void add_generate_flags(CLI::App& verb, GenerateFlags& flags) {
  EngineRequest& o = flags.request;
  SamplingParams& s = o.sampling;
  verb.add_option("-m,--model", flags.model,
                  "Model folder, GGUF file, or OWNER/NAME of a pulled model")
      ->required();
  verb.add_option("-n,--n-predict", o.max_tokens, "New tokens at most; 0: none")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 40))
      ->capture_default_str();
  verb.add_option("-c,--ctx-size", flags.context, "Tokens of context to use (default: the model's)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  verb.add_option("--temp,--temperature", s.temperature, "Temperature; 0: always the most probable")
      ->capture_default_str();
  verb.add_option("--top-k", s.top_k, "Of the K most probable tokens; 0: of all")
      ->capture_default_str();
  verb.add_option("--top-p", s.top_p, "Of the fewest tokens that reach this probability; 1: of all")
      ->capture_default_str();
  verb.add_option("--min-p", s.min_p,
                  "Of tokens at least so probable, relative to the best; 0: of all")
      ->capture_default_str();
  verb.add_option("--typical", s.typical_p, "Of tokens of the most usual surprise; 1: of all")
      ->capture_default_str();
  verb.add_option("--dry-multiplier", s.dry_multiplier, "Against long repetitions; 0: off")
      ->capture_default_str();
  verb.add_option("--dry-base", s.dry_base, "Grows with each token repeated")
      ->capture_default_str();
  verb.add_option("--dry-allowed-length", s.dry_allowed, "Repetitions so long cost nothing more")
      ->capture_default_str();
  verb.add_option("--dry-penalty-last-n", s.dry_window, "Tokens that it looks back at; -1: all")
      ->capture_default_str();
  verb.add_option("--dry-sequence-breaker", flags.dry_breakers,
                  "What ends a repetition, in place of a line end and : \" *; may be given several "
                  "times; none: nothing does")
      ->allow_extra_args(false);
  verb.add_option_function<int>(
          "--mirostat", [&s](int version) { s.mirostat = version == 2; },
          "2: hold the surprise of the text; 0: off")
      ->check(CLI::IsMember({0, 2}));
  verb.add_option("--mirostat-ent", s.mirostat_tau, "The surprise to hold, bits")
      ->capture_default_str();
  verb.add_option("--mirostat-lr", s.mirostat_eta, "How fast it is corrected")
      ->capture_default_str();
  verb.add_option("--repeat-penalty", s.repeat_penalty, "Against tokens of the text; 1: none")
      ->capture_default_str();
  verb.add_option("--presence-penalty", s.presence_penalty, "Subtracted from logits of such tokens")
      ->capture_default_str();
  verb.add_option("--frequency-penalty", s.frequency_penalty, "Subtracted for each time they occur")
      ->capture_default_str();
  verb.add_option("--repeat-last-n", s.penalty_window,
                  "Tokens that penalties look back at; 0: none, -1: all")
      ->capture_default_str();
  verb.add_option("-s,--seed", s.seed, "The same seed gives the same text")->capture_default_str();
  const auto grammar = [&](const char* flag, const char* help, bool file, auto make) {
    return verb.add_option_function<std::string>(
        flag,
        [&o, flag, file, make](const std::string& text) {
          const std::string form = file ? read_input(text) : text;
          try {
            o.grammar = std::make_shared<const Grammar>(make(form));
          } catch (const Error& e) {
            const std::string where = file ? text : std::strstr(flag, "--");
            throw UsageError(fmt::format("{}: {}", where, e.what()));
          }
        },
        help);
  };
  CLI::Option* forms[] = {
      grammar("--grammar", "What the text must look like, in GBNF", false, Grammar::from_gbnf),
      grammar("--grammar-file", "The same from a file", true, Grammar::from_gbnf),
      grammar("-j,--json-schema", "The text is JSON after this schema ({}: any JSON)", false,
              Grammar::from_json_schema),
      grammar("--json-schema-file", "The same from a file", true, Grammar::from_json_schema),
      grammar("--regex", "The text matches this regular expression", false, Grammar::from_regex)};
  for (CLI::Option* one : forms) {
    for (CLI::Option* other : forms) {
      if (one != other) one->excludes(other);
    }
  }
  add_cache_flags(verb, flags.cache);
  add_speculation_flags(verb, flags.speculation);
  verb.add_option("--stop", o.stop_strings, "End before this text; may be given several times")
      ->allow_extra_args(false);
}

}  // namespace stepstone::cli
